"""No secret in what is written, whoever writes it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
from pydantic import BaseModel

from autoposter import redaction
from autoposter.credentials import new_key
from autoposter.publishers import Delivery, Post, Publisher, Receipt
from autoposter.redaction import REMEMBERED, Known, Mask

CANARY = 'c4nary/of the "mine"&more'


@pytest.mark.parametrize(
    "text",
    [
        CANARY,
        "at https://x.example/c4nary%2Fof%20the%20%22mine%22%26more/me",
        json.dumps({"token": CANARY}),
        repr({"token": CANARY}),
        repr(CANARY.encode()),
        str(json.dumps([CANARY])),
    ],
)
def test_a_secret_is_masked_however_it_is_quoted(text: str) -> None:
    masked = Mask([CANARY]).text(text)

    assert "c4nary" not in masked
    assert redaction.MASK in masked


def test_each_line_of_a_private_key_is_masked() -> None:
    key = "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkqhkiG9w0B\nAQEFAASCBKcwggSjAgEAAoIB\n-----END PRIVATE KEY-----"

    assert "MIIEvQ" not in Mask([key]).text("ValueError: MIIEvQIBADANBgkqhkiG9w0B is no key")


def test_what_is_too_short_to_be_a_secret_leaves_texts_legible() -> None:
    assert Mask(["eu", ""]).text("the queue of Europe") == "the queue of Europe"


def test_secrets_opened_last_are_remembered_and_those_kept_for_good_stay() -> None:
    known = Known()
    known.keep(["the-key-of-all"])
    known.remember(["first-secret"])
    known.remember(f"secret-number-{number}" for number in range(REMEMBERED - 1))
    assert known.text("first-secret") == redaction.MASK

    known.remember(["one-more-secret"])

    assert known.text("first-secret one-more-secret the-key-of-all") == "first-secret *** ***"


def said_by(script: str, *, expect: int = 0) -> str:
    """What a process writes to stderr, and nothing else."""
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert (ran.returncode, ran.stdout) == (expect, ""), ran.stdout + ran.stderr
    return ran.stderr


LIBRARIES = """
import logging
from autoposter import logs
from autoposter.credentials import Keyring
from autoposter.settings import load_settings

logs.configure("DEBUG", "FORM")
key = "KEY"
settings = load_settings(
    database_url="postgresql://worker:c4nary-pg@db/autoposter",
    redis_url="redis://:c4nary-redis@redis:6379/0",
    secret_keys=key,
)
ring = Keyring(settings.secret_keys)
ring.decrypt(7, ring.encrypt(7, {"token": "c4nary/token", "pages": [{"secret": "c4nary-page"}]}))
logging.getLogger("dramatiq.worker").debug("got %r", ["c4nary/token", "c4nary-page"])
logging.getLogger("sloppy").error("%d", "c4nary/token")
for secret in (settings.database_url, settings.redis_url, *settings.secret_keys):
    logging.getLogger("redis").error("cannot: %s", secret.get_secret_value())
try:
    raise RuntimeError("Bearer c4nary/token") from ValueError("c4nary-page")
except RuntimeError:
    logging.getLogger("some.plugin").exception("it failed")
"""


@pytest.mark.parametrize("form", ["text", "json"])
def test_what_this_process_opened_stands_in_no_log_of_any_library(form: str) -> None:
    key = new_key()

    said = said_by(LIBRARIES.replace("FORM", form).replace("KEY", key))

    assert "it failed" in said and "RuntimeError" in said and "was lost" in said and said.count("cannot") == 3
    assert "c4nary" not in said and key not in said


UNCAUGHT = """
import logging, threading
from pydantic import SecretStr
from autoposter import cli
from autoposter.credentials import Keyring, new_key

Keyring([SecretStr(new_key())]).encrypt(1, {"token": "c4nary-token"})
cli.main(["no-such-command"])
logging.getLogger("a.library").warning("c4nary-token is about to expire")
thread = threading.Thread(target=lambda said: 1 / int(said), args=["c4nary" + "-token"])
thread.start()
thread.join()
raise RuntimeError("c4nary" + "-token")
"""


def test_errors_that_nobody_catches_are_told_without_secrets() -> None:
    said = said_by(UNCAUGHT, expect=1)

    assert said.count("Traceback") == 2 and "RuntimeError" in said and "*** is about to expire" in said
    assert "c4nary-token" not in said


class Careless(Publisher):
    platform = "careless"
    delivery = Delivery.BLIND

    class Credentials(BaseModel):
        token: str

    def publish(self, post: Post, prepared: dict[str, Any]) -> Receipt:
        raise NotImplementedError


@pytest.mark.parametrize("shown", [repr, str, lambda value: f"{value!r:>80}", lambda value: repr([value])])
def test_a_plain_text_among_the_credentials_does_not_show(shown: Callable[[object], str]) -> None:
    said = shown(Careless.Credentials(token="c4nary"))

    assert "c4nary" not in said
    assert "token" in said
