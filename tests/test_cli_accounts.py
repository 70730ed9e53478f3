"""`autoposter accounts` as a person at a terminal uses it, and `keys rotate`."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from select import select

import pytest
from factories import Factories
from pydantic import SecretStr

from autoposter.credentials import Keyring, new_key

AUTOPOSTER = Path(sys.executable).parent / "autoposter"

TOWN = """
from pydantic import BaseModel, Field, SecretStr
from autoposter import hookimpl
from autoposter.publishers import AccountCheck, Choice, Delivery, Publisher


class Town(Publisher):
    platform = "town"
    delivery = Delivery.BLIND
    setup = "On town.example: Settings > Apps > New token."

    class Settings(BaseModel):
        page: str
        language: str = "en"

    class Credentials(BaseModel):
        token: SecretStr = Field(description="of the user")
        refresh_token: SecretStr | None = None

    def choices(self):
        token = self.account.credentials.token.get_secret_value()
        if token.startswith("page"):
            return []
        return [
            Choice(name, {"page": name.lower()}, self.Credentials(token=SecretStr("page-" + token)))
            for name in ("Bakery", "Cafe")
        ]

    def check(self):
        if "wrong" in self.account.credentials.token.get_secret_value():
            return AccountCheck(ok=False, problem="The token is unknown.")
        page = self.account.settings.page
        return AccountCheck(ok=True, external_id=f"id-{page}", name=page.title())

    def publish(self, post, prepared):
        raise NotImplementedError


@hookimpl
def autoposter_publishers():
    return [Town]
"""


@dataclass
class Terminal:
    """A person who answers questions, and what they see."""

    environment: dict[str, str]

    def talk(self, command: str, answers: Iterable[tuple[str, str]] = ()) -> tuple[int, str]:
        """The exit code, and all that was shown."""
        child, terminal = pty.fork()
        if child == 0:
            signal.signal(signal.SIGINT, signal.SIG_DFL)  # a shell has it ignored in the background
            os.execve(AUTOPOSTER, [str(AUTOPOSTER), *command.split()], self.environment)
        shown = b""
        for question, answer in answers:
            while question.encode() not in shown:
                assert select([terminal], [], [], 30)[0], shown
                shown += os.read(terminal, 1000)
            os.write(terminal, answer.encode() + b"\n")
        while select([terminal], [], [], 30)[0]:
            try:
                more = os.read(terminal, 1000)
            except OSError:  # the other end is closed
                break
            if not more:
                break
            shown += more
        os.close(terminal)  # and a child that still waits for an answer ends
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), shown.decode()

    def run(self, command: str) -> subprocess.CompletedProcess[str]:
        """The same without a terminal."""
        return subprocess.run(
            [AUTOPOSTER, *command.split()],
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
        )


@pytest.fixture
def key() -> str:
    return new_key()


@pytest.fixture
def terminal(tmp_path: Path, database_url: str, key: str) -> Terminal:
    """In a place where a plugin for the platform `town` is installed."""
    info = tmp_path / "autoposter_town-1.0.dist-info"
    info.mkdir()
    (tmp_path / "autoposter_town.py").write_text(TOWN)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: autoposter-town\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[autoposter]\ntown = autoposter_town\n")
    ours = {
        "PYTHONPATH": str(tmp_path),
        "AUTOPOSTER_DATABASE_URL": database_url,
        "AUTOPOSTER_SECRET_KEYS": key,
        "TOKEN": "secret-of-ann",
    }
    return Terminal(dict(os.environ) | ours)


@pytest.fixture
def opened(factories: Factories, key: str) -> Callable[[], dict[str, object]]:
    """The credentials of the only account."""
    ring = Keyring([SecretStr(key)])
    return lambda: ring.decrypt(*factories.query("select id, credentials from channel_account")[0])


def test_connecting_asks_for_every_field_and_which_of_several_accounts(
    terminal: Terminal, factories: Factories, opened: Callable[[], dict[str, object]]
) -> None:
    code, shown = terminal.talk(
        "accounts add town",
        [
            ("token (of the user): ", "secret-of-ann"),
            ("refresh_token [none]: ", ""),
            ("Which, 1 to 2: ", "3"),
            ("Which, 1 to 2: ", "2"),
            ("language [en]: ", "de"),
        ],
    )

    assert code == 0, shown
    assert "Settings > Apps > New token" in shown and "2  Cafe (cafe)" in shown
    assert "is connected: town:Cafe (id-cafe)." in shown
    assert "secret-of-ann" not in shown and "page:" not in shown
    assert factories.query("select settings from channel_account") == [({"page": "cafe", "language": "de"},)]
    assert opened() == {"token": "page-secret-of-ann"}


def test_a_script_says_which_account_and_is_told_what_there_is(terminal: Terminal, factories: Factories) -> None:
    which = terminal.run("accounts add town --set token=env:TOKEN")
    added = terminal.run("accounts add town --set token=env:TOKEN --set page=cafe")
    twice = terminal.run("accounts add town --name again --set token=env:TOKEN --set page=cafe")

    assert which.returncode == 2 and "--set page=bakery (Bakery), --set page=cafe (Cafe)" in which.stderr
    assert (added.returncode, added.stderr) == (0, "")
    assert twice.returncode == 1 and "connected already, as town:Cafe" in twice.stderr
    assert "secret" not in which.stderr + added.stdout + twice.stderr


def test_reconnecting_keeps_the_settings_and_offers_to_publish_what_failed(
    terminal: Terminal, factories: Factories, opened: Callable[[], dict[str, object]]
) -> None:
    terminal.run("accounts add town --set token=env:TOKEN --set page=cafe")
    ((account,),) = factories.query("update channel_account set status = 'disconnected' returning id")
    post = factories.post(channel_account_id=account, status="Failed")
    factories.query(
        "insert into publish_job (post_instance_id, channel_account_id, attempt, status, scheduled_for, content,"
        " idempotency_key, error_kind, finished_at)"
        " values (%s, %s, 1, 'failed', now(), '{}', 'k', 'account', now()) returning id",
        (post, account),
    )

    scripted = terminal.run("accounts reconnect Cafe --set token=env:TOKEN")
    waiting = factories.row("post_instance", post)["status"]
    code, shown = terminal.talk(
        "accounts reconnect Cafe",
        [("token (of the user): ", "secret-of-ben"), ("refresh_token [none]: ", "more-secret"), ("Publish now? ", "y")],
    )

    assert "1 post failed" in scripted.stdout
    assert "`autoposter posts retry --account town:Cafe --because account`" in scripted.stdout
    assert waiting == "Failed"
    assert code == 0 and "town:Cafe (id-cafe) is connected again, and active." in shown
    assert "secret" not in shown and "Which" not in shown
    assert factories.row("post_instance", post)["status"] == "Scheduled"
    assert opened() == {"token": "page-secret-of-ben"}, "what the choice brings counts"


def test_checking_says_which_accounts_do_not_work(terminal: Terminal, factories: Factories, key: str) -> None:
    terminal.run("accounts add town --set token=env:TOKEN --set page=cafe")
    bad = factories.account("town", name="bad", settings={"page": "bad"})
    sealed = Keyring([SecretStr(key)]).encrypt(bad, {"token": "page-wrong"})
    factories.query("update channel_account set credentials = %s where id = %s", (sealed, bad))
    factories.account("stub", name="stub")

    ran = terminal.run("accounts check")

    assert ran.returncode == 1
    assert ran.stdout.splitlines() == [
        "stub:stub works.",
        "town:Cafe (id-cafe) works.",
    ]
    assert ran.stderr == (
        "town:bad does not work: The token is unknown. `autoposter accounts reconnect town:bad`"
        " gives it new credentials.\n"
    )
    assert factories.row("channel_account", bad)["status"] == "disconnected"


def test_rotating_says_what_it_did_and_when_the_old_key_may_go(terminal: Terminal, key: str) -> None:
    terminal.run("accounts add town --set token=env:TOKEN --set page=cafe")
    new = new_key()

    keys: dict[str, list[str]] = {"both": [new, key], "new": [new], "neither": [new_key()], "none": []}
    ran = {}
    for which, given in keys.items():
        terminal.environment["AUTOPOSTER_SECRET_KEYS"] = ",".join(given)
        ran[which] = terminal.run("keys rotate")

    assert [one.returncode for one in ran.values()] == [0, 0, 1, 2]
    assert ran["both"].stdout.startswith("1 credentials were encrypted") and "can be taken out" in ran["both"].stdout
    assert ran["new"].stdout.startswith("0 credentials were encrypted with the newest key, 1 had been before, 0 do not")
    assert "do not open with AUTOPOSTER_SECRET_KEYS" in ran["neither"].stderr
    assert "is not set" in ran["none"].stderr


def test_a_mistake_is_told_before_a_person_has_typed_anything(terminal: Terminal) -> None:
    misspelt = terminal.talk("accounts add town --set tokn=x")
    twice = terminal.talk("accounts add town --set page=cafe --set page=bakery")
    del terminal.environment["AUTOPOSTER_SECRET_KEYS"]
    without_key = terminal.talk("accounts add town")

    for code, shown in (misspelt, twice, without_key):
        assert code == 2 and "token (of the user)" not in shown
    assert "no 'tokn'; did you mean 'token'?" in misspelt[1]
    assert "page is given twice" in twice[1]
    assert "AUTOPOSTER_SECRET_KEYS is not set" in without_key[1]


def test_an_unset_variable_of_a_script_is_no_token(terminal: Terminal, factories: Factories) -> None:
    (Path(terminal.environment["PYTHONPATH"]) / "empty").write_text("\n")
    empty = [f"@{terminal.environment['PYTHONPATH']}/empty", "env:EMPTY", ""]
    terminal.environment["EMPTY"] = " "

    said = [terminal.run(f"accounts add town --set page=cafe --set token={one}") for one in empty]

    assert [(one.returncode, "need token: give it" in one.stderr) for one in said] == [(2, True)] * 3
    assert factories.query("select count(*) from channel_account") == [(0,)]


def test_a_secret_whose_key_was_forgotten_is_not_repeated(terminal: Terminal) -> None:
    for secret in ("c2VjcmV0", "c2VjcmV0cw==", "c2VjcmV0LQ="):
        said = terminal.run(f"accounts add town --set {secret}")

        assert said.returncode == 2 and "--set takes KEY=VALUE" in said.stderr
        assert "c2Vj" not in said.stderr


def test_who_stops_at_the_last_question_is_not_told_that_nothing_was_done(
    terminal: Terminal, factories: Factories, opened: Callable[[], dict[str, object]]
) -> None:
    terminal.run("accounts add town --set token=env:TOKEN --set page=cafe")
    ((account,),) = factories.query("select id from channel_account")
    post = factories.post(channel_account_id=account, status="Failed")
    factories.query(
        "insert into publish_job (post_instance_id, channel_account_id, attempt, status, scheduled_for, content,"
        " idempotency_key, error_kind, finished_at)"
        " values (%s, %s, 1, 'failed', now(), '{}', 'k', 'account', now()) returning id",
        (post, account),
    )

    code, shown = terminal.talk(
        "accounts reconnect Cafe",
        [("token (of the user): ", " secret-of-ben "), ("refresh_token [none]: ", ""), ("Publish now? ", "\x03")],
    )

    assert code == 130 and shown.rstrip().endswith("Stopped.")
    assert opened() == {"token": "page-secret-of-ben"}, "what is pasted brings spaces along"
    assert factories.row("post_instance", post)["status"] == "Failed"
