"""`autoposter doctor`: what it says of a healthy house, and of each thing that is wrong."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from typing import Any

import pytest
from pydantic import SecretStr
from town import PUBLIC, Town, living_in

from autoposter import cli
from autoposter.credentials import Keyring, new_key
from autoposter.publishers.stub import Stub


@dataclass
class Said:
    code: int
    checks: list[dict[str, str]]

    def of(self, about: str, verdict: str) -> list[str]:
        return [check["says"] for check in self.checks if (check["about"], check["verdict"]) == (about, verdict)]


@pytest.fixture
def doctor(database, database_url, redis_url, monkeypatch, tmp_path, capsys) -> Callable[..., Said]:
    """Runs it on the test's servers; `AUTOPOSTER_` settings may be added or, with None, taken away."""
    monkeypatch.chdir(tmp_path)

    def run(**settings: str | None) -> Said:
        wanted: dict[str, str | None] = {"DATABASE_URL": database_url, "REDIS_URL": redis_url} | settings
        for name, value in wanted.items():
            if value is None:
                monkeypatch.delenv(f"AUTOPOSTER_{name}", raising=False)
            else:
                monkeypatch.setenv(f"AUTOPOSTER_{name}", value)
        capsys.readouterr()
        code = cli.main(["doctor", "--json"])
        return Said(code, json.loads(capsys.readouterr().out))

    return run


@pytest.fixture
def alive(factories) -> Callable[..., None]:
    """A worker that was just seen, with periodiq's scan."""

    def make(name: str = "host-1", **columns: Any) -> None:
        told = {
            "id": name,
            "host": "host",
            "pid": 1,
            "version": version("autoposter"),
            "platforms": json.dumps(["stub"]),
            "scanned_at": datetime.now(UTC),
        } | columns
        names, places = ", ".join(told), ", ".join(["%s"] * len(told))
        factories.query(f"insert into worker ({names}) values ({places})", list(told.values()))  # noqa: S608 - constant names

    return make


def test_a_healthy_house_has_only_good_news_and_exit_code_0(doctor, alive, make_post):
    alive()
    make_post(timedelta(hours=1))

    said = doctor()

    assert {check["verdict"] for check in said.checks} == {"ok"}
    assert {check["about"] for check in said.checks} == {
        "broker", "plugins", "database", "workers", "scheduler", "posts", "accounts",
    }  # fmt: skip
    assert said.code == 0


def test_a_house_without_workers_is_told_how_to_start_one(doctor):
    said = doctor()

    assert said.of("workers", "problem") == ["No worker is alive: start `dramatiq autoposter.actors`."]
    assert said.code == 1


def test_a_worker_that_was_not_seen_for_long_does_not_count(doctor, alive, factories):
    alive(seen_at=datetime.now(UTC) - timedelta(minutes=1))

    assert doctor().of("workers", "problem")


def test_a_scheduler_that_is_gone_is_a_warning_since_posts_go_out_all_the_same(doctor, alive):
    alive(scanned_at=datetime.now(UTC) - timedelta(minutes=10))

    said = doctor()

    assert "periodiq autoposter.actors" in said.of("scheduler", "warning")[0]
    assert said.code == 0


def test_a_worker_of_another_version_or_with_a_wrong_clock_or_other_platforms_is_named(doctor, alive):
    alive("old-1", version="0.0.1")
    alive("fast-2", clock_offset=timedelta(seconds=-5))
    alive("more-3", platforms=json.dumps(["stub", "board"]))

    said = doctor()

    warnings = " ".join(said.of("workers", "warning") + said.of("clock", "warning"))
    assert "old-1 is autoposter 0.0.1" in warnings
    assert "fast-2 has a clock 5.0 s ahead of the database's" in warnings
    assert "more-3 publishes on board, and others do not" in warnings
    assert said.code == 0


def test_posts_that_wait_are_counted(doctor, alive, make_post, make_account):
    alive()
    make_post(timedelta(minutes=-2))
    make_post(status="Unconfirmed")
    make_post(timedelta(hours=1), last_error="It would be refused: too long")
    make_post(timedelta(minutes=-2), channel_account_id=make_account(status="disabled"))

    warnings = doctor().of("posts", "warning")

    assert [warning.split(" (")[0].split(";")[0] for warning in warnings] == [
        "Overdue by more than a minute: 1",
        "Unconfirmed: 1",
        "Refused, or would be: 1",
    ]


def test_an_account_that_cannot_be_used_is_named_with_what_to_do(doctor, alive, make_account):
    alive()
    make_account(name="gone", status="disconnected", last_error="The token was revoked.")
    make_account(name="Ann's shop", status="disconnected")
    make_account(name="soon", credentials_expire_at=datetime.now(UTC) + timedelta(days=3))
    make_account(name="renewed", credentials_expire_at=datetime.now(UTC), refresh_at=datetime.now(UTC))
    make_account(name="late", credentials_expire_at=datetime.now(UTC) + timedelta(days=30))
    make_account(name="alien", platform="nowhere")
    make_account(name="off", platform="nowhere", status="disabled")

    said = doctor()

    problems = said.of("accounts", "problem")
    assert len(problems) == 3
    assert any(shlex.quote("stub:Ann's shop") in problem for problem in problems)
    assert "stub:gone is disconnected (The token was revoked.): `autoposter accounts reconnect stub:gone`." in problems
    assert "No plugin installed here publishes for nowhere:alien." in problems
    [warning] = said.of("accounts", "warning")
    assert warning.startswith("The credentials of stub:soon expire at ")
    assert warning.endswith(": `autoposter accounts reconnect stub:soon`.")
    assert said.code == 1


def test_credentials_that_no_key_opens_are_a_problem_and_those_that_open_are_not(
    doctor, alive, make_account, factories
):
    alive()
    ours, theirs = new_key(), new_key()
    good, bad = make_account(name="good"), make_account(name="bad")
    for account, key in ((good, ours), (bad, theirs)):
        text = _encrypted(account, key)
        factories.query("update channel_account set credentials = %s where id = %s", (text, account))

    said = doctor(SECRET_KEYS=ours)

    [problem] = said.of("accounts", "problem")
    assert problem.startswith("stub:bad: ")
    assert "canary" not in json.dumps(said.checks)


def _encrypted(account: int, key: str) -> str:
    return Keyring([SecretStr(key)]).encrypt(account, {"token": "canary"})


@pytest.mark.parametrize(
    ("settings", "about"),
    [
        ({"DATABASE_URL": "postgresql://nobody:canary@127.0.0.1:1/none"}, "database"),
        ({"REDIS_URL": "redis://:canary@127.0.0.1:1/0"}, "broker"),
    ],
)
def test_what_is_out_of_reach_is_said_without_its_password_beside_all_the_rest(doctor, alive, settings, about):
    alive()

    said = doctor(**settings)

    [sentence] = said.of(about, "out of reach")
    assert "canary" not in sentence
    assert said.of("plugins", "ok")
    assert said.code == 3


def test_what_is_not_set_is_said_in_one_sentence(doctor):
    said = doctor(DATABASE_URL=None, REDIS_URL=None)

    assert said.of("database", "problem")[0].startswith("AUTOPOSTER_DATABASE_URL is not set")
    assert said.of("broker", "problem")[0].startswith("AUTOPOSTER_REDIS_URL is not set")
    assert said.code == 1


@pytest.mark.parametrize(("days", "says"), [(-1, "has ended on"), (80, "ends on"), (100, None)])
def test_the_end_of_a_platforms_api_is_told_in_time(doctor, alive, monkeypatch, days, says):
    alive()
    day = datetime.now(UTC).date() + timedelta(days=days)
    monkeypatch.setattr(Stub, "api_ends", day)

    said = doctor().of("plugins", "warning")

    sentence = f"The version of the API of stub that is used by default {says} {day}: upgrade autoposter."
    assert said == ([sentence] if says else [])


def test_a_media_root_that_is_no_folder_is_a_problem(doctor, alive, tmp_path):
    alive()

    said = doctor(MEDIA_ROOT=str(tmp_path / "none"))

    assert "is no folder that can be read here" in said.of("media", "problem")[0]


@pytest.fixture
def town(tmp_path_factory) -> Iterator[Town]:
    with living_in(tmp_path_factory.mktemp("town")) as town:
        town.names |= {"media.town.example": [[PUBLIC]], "intern.town.example": [["10.0.0.7"]]}
        yield town


@pytest.mark.parametrize(
    ("base", "verdict", "says"),
    [
        ("https://media.town.example/shop", "ok", "answers, and is of the public internet"),
        ("http://media.town.example/shop", "problem", "is no https address of a public host"),
        ("https://media.house.lan/shop", "problem", "is no https address of a public host"),
        ("https://192.168.0.9/shop", "problem", "is no https address of a public host"),
        ("https://intern.town.example/shop", "warning", "has the address 10.0.0.7"),
        ("https://nowhere.town.example/shop", "warning", "cannot be looked up"),
    ],
)
def test_a_base_url_that_no_platform_can_fetch_from_is_told(doctor, alive, town, base, verdict, says):
    alive()

    [said] = doctor(MEDIA_BASE_URL=base).of("media", verdict)

    assert says in said
    assert town.reached_inside == []


def test_a_database_without_our_tables_is_told_to_be_migrated(doctor, servers):
    empty = servers.url_of("postgres")

    said = doctor(DATABASE_URL=empty)

    assert said.of("database", "problem") == ["The database has no autoposter tables: run `autoposter migrate` first."]
    assert said.code == 1


def test_a_table_is_printed_for_people(doctor, alive, capsys):
    alive()
    doctor()

    assert cli.main(["doctor"]) == 0

    assert "PostgreSQL answers" in capsys.readouterr().out
