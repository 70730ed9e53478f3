"""Publishers and listeners that do their neighbours all the harm they can.  Installed by test_hostile_plugins.py.

Each does what it does until the file that `HOSTILE_RELEASE` names is there, so that the test that asked for it can end
it.
"""

from __future__ import annotations

import itertools
import logging
import os
import socket
import sys
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from autoposter import hookimpl
from autoposter.publishers import (
    AccountCheck,
    AccountRejected,
    Delivery,
    NotReady,
    OutcomeUnknown,
    Post,
    Publisher,
    Receipt,
)

log = logging.getLogger("hostile")

RELEASE = Path(os.environ.get("HOSTILE_RELEASE", "/nonexistent"))

GIANT = 20_000_000  # characters


class Hostile(Publisher):
    """Publishes nothing anywhere, without a fault; each below has one of its own."""

    delivery = Delivery.BLIND
    publish_timeout = timedelta(seconds=2)
    find_after = timedelta(0)

    def publish(self, post: Post, prepared: dict[str, Any]) -> Any:
        return Receipt(f"h{post.id}")


PUBLISHERS: list[type[Publisher]] = []


def hostile(platform: str, **members: Any) -> None:
    """Make a publisher that differs from `Hostile` in these members."""
    PUBLISHERS.append(type(platform.title(), (Hostile,), {"platform": platform, **members}))


def raises(error: BaseException) -> Callable[..., Any]:
    def method(*_: Any) -> Any:
        raise error

    return method


def returns(value: Any) -> Callable[..., Any]:
    return lambda *_: value


# --- exceptions in each method ---------------------------------------------------------------------------------------

for error in (ZeroDivisionError("by its own fault"), SystemExit("by its own fault")):
    name = "exit" if isinstance(error, SystemExit) else "error"
    for method in ("__init__", "validate", "prepare", "publish"):
        hostile(f"{name}_in_{method.strip('_')}", **{method: raises(error)})
    hostile(
        f"{name}_in_find",
        delivery=Delivery.FINDABLE,
        publish=raises(OutcomeUnknown("It may be out.")),
        find=raises(error),
    )
    hostile(f"{name}_in_check", publish=raises(AccountRejected("No.")), check=raises(error))


# --- time ------------------------------------------------------------------------------------------------------------


def loops(self: Publisher, post: Post, prepared: dict[str, Any]) -> Receipt:
    while not RELEASE.exists():
        for _ in range(1_000_000):  # pure Python: it gives the interpreter away only when it must
            pass
    return Receipt(f"h{post.id}")


def waits_for_a_byte(self: Publisher, post: Post, prepared: dict[str, Any]) -> Receipt:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        while not RELEASE.exists():
            ours.settimeout(0.5)  # so that the test can end it
            try:
                ours.recv(1)
            except TimeoutError:
                continue
    return Receipt(f"h{post.id}")


def waits_in_validate(self: Publisher, post: Post) -> list[str]:
    while not RELEASE.exists():
        time.sleep(0.05)
    return ["It is too bad."]


hostile("endless_validate", validate=waits_in_validate)
hostile("endless_loop", publish=loops)
hostile("endless_wait", publish=waits_for_a_byte)


# --- garbage and giants ----------------------------------------------------------------------------------------------


def endless_sentences(self: Publisher, post: Post) -> Iterator[str]:
    for number in itertools.count():
        yield f"Reason {number}: " + "x" * GIANT


class Garbage:
    """Cannot even be shown."""

    def __repr__(self) -> str:
        raise ValueError("not shown")

    __str__ = __repr__


class SpeechlessError(OutcomeUnknown):
    """A declared error whose words fail."""

    @property
    def message(self) -> str:  # type: ignore[override]
        raise ValueError("not told")

    @message.setter
    def message(self, value: str) -> None: ...


class SpeechlessRefusal(SpeechlessError, AccountRejected):
    """The same, of a refusal."""


hostile("nothing_published", publish=returns(None))
hostile("garbage_published", publish=returns(Garbage()))
hostile("receipt_of_nothing", publish=returns(Receipt(None)))  # type: ignore[arg-type]
hostile("receipt_of_garbage", publish=returns(Receipt("h1", Garbage())))  # type: ignore[arg-type]
hostile("speechless", publish=raises(SpeechlessError("?")))
hostile("speechless_preparing", prepare=raises(SpeechlessRefusal("?")))
hostile("nothing_validated", validate=returns(None))
hostile("one_text_validated", validate=returns("The caption is bad."))
hostile("garbage_validated", validate=returns([Garbage()]))
hostile("garbage_prepared", prepare=returns({"upload": Garbage()}))
hostile("half_a_character_prepared", prepare=returns({"upload": "\ud800"}))
hostile("garbage_not_ready", prepare=raises(NotReady({}, 30)))  # type: ignore[arg-type]
hostile("garbage_checked", publish=raises(AccountRejected("No.")), check=returns(AccountCheck))
hostile("giant_receipt", publish=returns(Receipt("h" * GIANT, "https://example.org/" + "x" * GIANT)))
hostile("giant_words", publish=raises(OutcomeUnknown("x" * GIANT)))
hostile("giant_prepared", prepare=returns({"upload": "x" * GIANT}))
hostile("giant_validated", validate=endless_sentences)


# --- the wire --------------------------------------------------------------------------------------------------------


class OnABoard(Hostile):
    """Hangs notes on the test's board, and can look for them."""

    platform = "on_a_board"
    delivery = Delivery.FINDABLE

    class Settings(BaseModel):
        url: str

    def send(self, post: Post) -> Receipt:
        assert isinstance(self.account.settings, self.Settings)
        answer = self.http.post(f"{self.account.settings.url}/notes", json={"text": post.caption}).raise_for_status()
        return Receipt(answer.json()["id"])

    def find(self, post: Post, prepared: dict[str, Any]) -> Receipt | None:
        assert isinstance(self.account.settings, self.Settings)
        shown = self.http.get(f"{self.account.settings.url}/notes").raise_for_status().json()["notes"]
        return next((Receipt(note["id"]) for note in shown if note["text"] == post.caption), None)


class SendsTwice(OnABoard):
    platform = "sends_twice"

    def publish(self, post: Post, prepared: dict[str, Any]) -> Receipt:
        self.send(post)
        return self.send(post)


class LooksUpTheAddress(OnABoard):
    platform = "looks_up_the_address"

    def publish(self, post: Post, prepared: dict[str, Any]) -> Receipt:
        receipt = self.send(post)
        assert isinstance(self.account.settings, self.Settings)
        address = self.http.get(f"{self.account.settings.url}/nowhere").raise_for_status().text
        return Receipt(receipt.platform_post_id, address)


PUBLISHERS += [SendsTwice, LooksUpTheAddress]


# --- noise, and listeners --------------------------------------------------------------------------------------------


def logs_much(self: Publisher, post: Post, prepared: dict[str, Any]) -> Receipt:
    for number in range(10_000):
        log.warning("line %s of 10,000: %s", number, "x" * 200)
    sys.stdout.write("and one that is printed\n")
    return Receipt(f"h{post.id}")


hostile("noisy", publish=logs_much)
hostile("heard", publish=returns(Receipt("heard")))  # its listener hangs


@hookimpl
def autoposter_publishers() -> list[type[Publisher]]:
    return PUBLISHERS


@hookimpl
def autoposter_post_published(post: Post, receipt: Receipt) -> None:
    while receipt.platform_post_id == "heard" and not RELEASE.exists():
        time.sleep(0.05)


@hookimpl
def autoposter_post_failed(error: str) -> None:
    raise SystemExit("from a listener")
