"""New credentials for old: when, by whom, and what counts of what a platform says."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import puppets
import pytest
from factories import Factories
from moves import expire_right
from puppets import Puppet, Renewable, raises, returns
from pydantic import SecretStr

from autoposter import recovery, refreshing
from autoposter.credentials import Keyring, new_key
from autoposter.database import DATABASE_AWAY
from autoposter.publishers import AccountCheck, AccountRejected, Refreshed, Transient
from autoposter.publishing import publish_post
from autoposter.store import account_states
from autoposter.workbench import Workbench

SECOND = timedelta(seconds=1)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)


@pytest.fixture
def bench(database: Any) -> Workbench:
    return puppets.bench()


@pytest.fixture
def connect(factories: Factories, bench: Workbench) -> Callable[..., int]:
    """`connect(**columns)`: an account with the token `old-token` that is to be refreshed by now."""

    def made(values: dict[str, str] | None = None, **columns: Any) -> int:
        columns = {"refresh_at": datetime.now(UTC) - SECOND} | columns
        account = factories.account("renewable", **columns)
        sealed = bench.keyring.encrypt(account, values or {"token": "old-token", "refresh_token": "old-refresh"})
        factories.query("update channel_account set credentials = %s where id = %s", (sealed, account))
        return account

    return made


@pytest.fixture
def opened(factories: Factories, bench: Workbench) -> Callable[[int], dict[str, Any]]:
    """The credentials that an account has now."""
    return lambda account: bench.keyring.decrypt(account, factories.row("channel_account", account)["credentials"])


def act(**acts: Callable[..., Any]) -> None:
    Puppet.acts.update(acts)


def fresh(token: str = "new-token", refresh_token: str | None = None, expires_at: Any = None) -> Refreshed:
    given = {"token": SecretStr(token)} | ({} if refresh_token is None else {"refresh_token": refresh_token})
    return Refreshed(Renewable.Credentials.model_validate(given), expires_at)


# --- ahead of time ---------------------------------------------------------------------------------------------------


def test_credentials_are_refreshed_when_a_third_of_their_time_is_left(
    bench: Workbench, connect: Any, opened: Any, factories: Factories
) -> None:
    account = connect()
    expires_at = datetime.now(UTC) + 3 * HOUR
    act(refresh=returns(fresh("new-token", "new-refresh", expires_at)))

    refreshing.refresh_ahead(account, bench)

    row = factories.row("channel_account", account)
    assert opened(account) == {"token": "new-token", "refresh_token": "new-refresh"}
    assert (row["credentials_version"], row["refreshing_until"], row["last_error"]) == (1, None, None)
    assert row["credentials_expire_at"] == expires_at
    assert abs(row["refresh_at"] - (expires_at - HOUR)) < 5 * SECOND


def test_credentials_that_last_long_are_refreshed_seven_days_ahead() -> None:
    now = datetime.now(UTC)

    assert refreshing.refresh_at(now + 60 * DAY, now) == now + 53 * DAY
    assert refreshing.refresh_at(None, now) is None


def test_only_what_is_due_is_dispatched_the_most_urgent_first(bench: Workbench, connect: Any) -> None:
    now = datetime.now(UTC)
    second, first = connect(refresh_at=now - SECOND), connect(refresh_at=now - HOUR)
    connect(refresh_at=now + HOUR)
    connect(refresh_at=None)
    connect(status="disabled")
    connect(refreshing_until=now + HOUR)
    sent: list[int] = []

    assert refreshing.dispatch_due(sent.append) == 2
    assert sent == [first, second]


def test_an_account_is_refreshed_once_however_often_that_is_asked(bench: Workbench, connect: Any) -> None:
    account = connect()
    act(refresh=returns(fresh(expires_at=datetime.now(UTC) + DAY)))

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda _: refreshing.refresh_ahead(account, bench), range(24)))

    assert Puppet.asked.count("refresh") == 1


@pytest.mark.parametrize("left_out", [None, "", "   "])
def test_an_empty_refresh_token_never_overwrites_a_stored_one(
    bench: Workbench, connect: Any, opened: Any, left_out: str | None
) -> None:
    account = connect()
    act(refresh=returns(fresh("new-token", left_out)))

    refreshing.refresh_ahead(account, bench)

    assert opened(account) == {"token": "new-token", "refresh_token": "old-refresh"}


@pytest.mark.parametrize(
    "absurd",
    [
        datetime.now(UTC) - SECOND,
        datetime(1970, 1, 1, tzinfo=UTC),
        datetime.max.replace(tzinfo=UTC),
        datetime.now(UTC) + timedelta(days=60_000),
        datetime.now(UTC).replace(tzinfo=None) + DAY,
        "tomorrow",
        3600,
    ],
    ids=["past", "epoch", "for ever", "milliseconds", "no zone", "text", "number"],
)
def test_an_absurd_expiry_is_not_believed_and_the_new_credentials_are_kept_all_the_same(
    bench: Workbench, connect: Any, opened: Any, factories: Factories, absurd: Any, caplog: Any
) -> None:
    account = connect()
    act(refresh=returns(fresh("new-token", expires_at=absurd)))

    refreshing.refresh_ahead(account, bench)

    row = factories.row("channel_account", account)
    assert opened(account)["token"] == "new-token"
    assert (row["credentials_expire_at"], row["refresh_at"]) == (None, None)
    assert "not believed" in caplog.text


@pytest.mark.parametrize(
    "refusal",
    [
        raises(Transient("busy")),
        raises(AccountRejected("refresh token revoked")),
        raises(TimeoutError("no answer")),
        raises(SystemExit(1)),
        returns("a token"),
        returns(Refreshed(SecretStr("x"))),  # type: ignore[arg-type] # what a careless plugin does
        lambda *_: Renewable.Credentials.model_validate({"token": ["t0p-secret"]}),
    ],
    ids=["transient", "rejected", "timeout", "exit", "garbage", "no model", "invalid"],
)
def test_a_refresh_that_fails_changes_no_credentials_and_is_tried_again_ever_more_rarely(
    bench: Workbench, connect: Any, opened: Any, factories: Factories, refusal: Any, caplog: Any
) -> None:
    account = connect()
    act(refresh=refusal)
    waits = []

    for _ in range(8):
        refreshing.refresh_ahead(account, bench)
        row = factories.row("channel_account", account)
        waits.append(round((row["refresh_at"] - datetime.now(UTC)) / timedelta(minutes=1)))
        factories.query("update channel_account set refresh_at = now()")

    assert waits == [1, 2, 4, 8, 16, 32, 60, 60]
    assert (row["status"], row["credentials_version"], row["refreshing_until"]) == ("active", 0, None)
    assert row["last_error"].startswith("Not refreshed: ")
    assert opened(account)["token"] == "old-token"
    assert "t0p-secret" not in caplog.text + row["last_error"]


def test_a_platform_that_refreshes_nothing_is_not_asked_again(
    bench: Workbench, connect: Any, factories: Factories
) -> None:
    account = connect()

    refreshing.refresh_ahead(account, bench)

    row = factories.row("channel_account", account)
    assert (row["refresh_at"], row["refreshing_until"], row["last_error"]) == (None, None, None)


def test_without_the_key_nothing_is_asked_for_and_nothing_is_lost(
    bench: Workbench, connect: Any, opened: Any, factories: Factories
) -> None:
    account = connect()
    act(refresh=returns(fresh()))

    refreshing.refresh_ahead(account, replace(bench, keyring=Keyring([SecretStr(new_key())])))

    assert Puppet.asked == []
    assert "do not open" in factories.row("channel_account", account)["last_error"]
    assert opened(account)["token"] == "old-token"


def test_a_persons_reconnect_in_the_middle_wins(
    bench: Workbench, connect: Any, opened: Any, factories: Factories, caplog: Any
) -> None:
    account = connect()

    def reconnected(*_: Any) -> Refreshed:
        sealed = bench.keyring.encrypt(account, {"token": "the-persons"})
        factories.query(
            "update channel_account set credentials = %s, credentials_version = credentials_version + 1", (sealed,)
        )
        return fresh("new-token")

    act(refresh=reconnected)

    refreshing.refresh_ahead(account, bench)

    assert opened(account) == {"token": "the-persons"}
    assert "the person's credentials stay" in caplog.text


def test_what_came_after_the_right_had_run_out_is_kept_for_the_old_may_be_used_up(
    bench: Workbench, connect: Any, opened: Any, factories: Factories
) -> None:
    account = connect()

    def slow(*_: Any) -> Refreshed:
        expire_right(factories, account)
        act(refresh=raises(AccountRejected("that refresh token was used")))
        refreshing.refresh_ahead(account, bench)
        return fresh("new-token")

    act(refresh=slow)

    refreshing.refresh_ahead(account, bench)

    assert opened(account)["token"] == "new-token"
    assert factories.row("channel_account", account)["refresh_failures"] == 0


def test_a_move_whose_answer_was_lost_is_repeated_without_harm(connect: Any, factories: Factories) -> None:
    """The database may have committed, and the connection broken before it said so."""
    account, until = connect(), datetime.now(UTC) + HOUR
    others = until + timedelta(microseconds=1)

    assert account_states.begin_refresh(account, until=until)
    assert account_states.begin_refresh(account, until=until), "it is still ours"
    assert account_states.begin_refresh(account, until=others) is None
    assert not account_states.end_refresh(account, until=others, reason="not ours to end")
    for _ in range(2):
        assert account_states.write_refreshed(account, "v1:x", credentials_version=0, expire_at=None, refresh_at=None)
    assert factories.row("channel_account", account)["credentials_version"] == 1


# --- warnings --------------------------------------------------------------------------------------------------------


def test_a_person_is_warned_once_a_day_of_what_expires_and_nothing_refreshes(
    bench: Workbench, connect: Any, factories: Factories, caplog: Any
) -> None:
    now = datetime.now(UTC)
    connect(name="Soon", credentials_expire_at=now + 6 * DAY, refresh_at=None)
    connect(name="Failing", credentials_expire_at=now + HOUR, refresh_at=now, refresh_failures=3)
    connect(name="Refreshed", credentials_expire_at=now + HOUR, refresh_at=now)
    connect(name="Late", credentials_expire_at=now + 9 * DAY, refresh_at=None)
    connect(name="Off", credentials_expire_at=now + DAY, refresh_at=None, status="disabled")

    assert refreshing.warn_of_expiry() == 2
    assert refreshing.warn_of_expiry() == 0
    factories.query("update channel_account set expiry_warned_at = now() - interval '25 hours'")
    assert refreshing.warn_of_expiry() == 2

    assert "renewable:Soon expire at" in caplog.text and "accounts reconnect renewable:Failing" in caplog.text
    assert not {"Refreshed", "Late", "Off"} & {record.args[0].partition(":")[2] for record in caplog.records}


def test_a_person_is_warned_as_soon_as_it_turns_out_that_nothing_refreshes_what_expires(
    bench: Workbench, connect: Any, caplog: Any
) -> None:
    account = connect(name="Soon", credentials_expire_at=datetime.now(UTC) + 3 * DAY)
    act(refresh=returns(None))

    refreshing.refresh_ahead(account, bench)

    assert "renewable:Soon expire at" in caplog.text


# --- after a rejection -----------------------------------------------------------------------------------------------


def takes(right: str) -> Callable[..., Any]:
    """A platform that takes this token only."""

    def publish(publisher: Any, post: Any) -> Any:
        if publisher.account.credentials.token.get_secret_value() != right:
            raise AccountRejected("token gone")
        return publisher

    return publish


def test_a_rejected_post_goes_out_with_refreshed_credentials(
    bench: Workbench, connect: Any, factories: Factories, post_row: Any
) -> None:
    post = factories.post(-SECOND, channel_account_id=connect(refresh_at=None))
    act(publish=takes("new-token"), refresh=returns(fresh("new-token")))

    publish_post(post, bench)
    waiting = post_row(post)
    factories.query("update post_instance set retry_at = now()")
    publish_post(post, bench)

    assert waiting["status"] == "Scheduled" and "were refreshed" in waiting["last_error"]
    assert waiting["retry_at"] - datetime.now(UTC) < 2 * SECOND
    assert post_row(post)["status"] == "Posted"
    assert Puppet.asked.count("refresh") == 1 and "check" not in Puppet.asked


def test_a_platform_that_rejects_what_it_has_just_refreshed_is_not_asked_to_refresh_again(
    bench: Workbench, connect: Any, factories: Factories, post_row: Any
) -> None:
    account = connect()
    post = factories.post(-SECOND, channel_account_id=account)
    act(publish=takes("none"), refresh=returns(fresh()), check=returns(AccountCheck(ok=False, problem="revoked")))

    publish_post(post, bench)
    factories.query("update post_instance set retry_at = now()")
    publish_post(post, bench)

    assert (post_row(post)["status"], Puppet.asked.count("refresh")) == ("Failed", 1)
    assert factories.row("channel_account", account)["status"] == "disconnected"


@pytest.mark.parametrize("refusal", [raises(AccountRejected("revoked")), returns(None)], ids=["fails", "has none"])
def test_where_nothing_can_be_refreshed_the_check_decides(
    bench: Workbench, connect: Any, factories: Factories, post_row: Any, refusal: Any
) -> None:
    account = connect()
    post = factories.post(-SECOND, channel_account_id=account)
    act(publish=takes("none"), refresh=refusal, check=returns(AccountCheck(ok=False, problem="revoked")))

    publish_post(post, bench)

    assert post_row(post)["status"] == "Failed"
    assert factories.row("channel_account", account)["status"] == "disconnected"
    assert Puppet.asked[-2:] == ["refresh", "check"]


def test_nobody_is_disconnected_while_somebody_else_refreshes(
    bench: Workbench, connect: Any, factories: Factories, post_row: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(refreshing, "LONGEST_WAIT", SECOND / 2)
    account = connect(refreshing_until=datetime.now(UTC) + HOUR)
    post = factories.post(-SECOND, channel_account_id=account)
    act(publish=takes("none"), check=returns(AccountCheck(ok=False)))

    publish_post(post, bench)
    first = post_row(post)["status"]
    factories.query("update post_instance set retry_at = now()")
    publish_post(post, bench)

    assert (first, post_row(post)["status"]) == ("Scheduled", "Scheduled")
    assert not account_states.disconnect(account, credentials_version=0, reason="no")
    assert factories.row("channel_account", account)["status"] == "active"
    assert "refresh" not in Puppet.asked and "check" not in Puppet.asked


class SingleUse:
    """A platform whose refresh tokens work once; using one twice revokes everything, as some do."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.number = 0
        self.expired = False
        self.refreshed = 0
        self.revoked = False

    def expire(self) -> None:
        """The present token works no more; its refresh token does."""
        self.expired = True

    def works(self, publisher: Any) -> bool:
        token = publisher.account.credentials.token.get_secret_value()
        return not self.revoked and not self.expired and token == f"token-{self.number}"

    def publish(self, publisher: Any, post: Any) -> Any:
        if not self.works(publisher):
            raise AccountRejected("token gone")
        return publisher

    def check(self, publisher: Any, post: Any) -> AccountCheck:
        return AccountCheck(ok=self.works(publisher))

    def refresh(self, publisher: Any, post: Any) -> Refreshed:
        with self.lock:
            if publisher.account.credentials.refresh_token.get_secret_value() != f"refresh-{self.number}":
                self.revoked = True
                raise AccountRejected("a used refresh token")
            self.number += 1
            self.refreshed += 1
            self.expired = False
            return fresh(f"token-{self.number}", f"refresh-{self.number}", datetime.now(UTC) + HOUR)


DROP = """
    select pg_terminate_backend(pid) from pg_stat_activity
     where datname = current_database() and application_name = 'autoposter'"""


@pytest.fixture
def drops(factories: Factories) -> Iterator[Callable[[], None]]:
    """The database ends all connections every quarter of a second, and whenever it is called."""
    stop = threading.Event()

    def go_on() -> None:
        while not stop.wait(0.25):
            factories.query(DROP)

    dropper = threading.Thread(target=go_on)
    dropper.start()
    yield lambda: factories.query(DROP)
    stop.set()
    dropper.join()


def eight_at_once(factories: Factories, bench: Workbench, account: int) -> None:
    """Eight posts of one account, which eight workers attempt at once, until none is left to be attempted."""
    posts = [factories.post(-SECOND, channel_account_id=account) for _ in range(8)]
    benches = [replace(bench, worker=f"w{post}") for post in posts]
    for _ in range(100):
        with ThreadPoolExecutor(8) as threads:
            list(threads.map(publish_post, posts, benches))
        if not factories.query(
            "update post_instance set retry_at = now() where id = any(%s) and status = 'Scheduled' returning id",
            (posts,),
        ):
            return
        factories.query("update publish_job set lease_until = now() where status = 'running' and intent_at is null")
        with suppress(*DATABASE_AWAY):  # as the heartbeat does
            recovery.take_over_expired(puppets.POLICY)
    raise AssertionError("they never ended")


@pytest.mark.parametrize("weather", ["calm", "drops"])
def test_eight_workers_that_are_rejected_at_once_refresh_once_and_lose_nothing(
    weather: str, bench: Workbench, connect: Any, factories: Factories, request: Any
) -> None:
    board = SingleUse()
    account = connect({"token": "token-0", "refresh_token": "refresh-0"})
    drop = request.getfixturevalue("drops") if weather == "drops" else lambda: None

    def refresh(publisher: Any, post: Any) -> Refreshed:
        drop()
        refreshed = board.refresh(publisher, post)
        drop()
        return refreshed

    act(publish=board.publish, refresh=refresh, check=board.check)
    for round_ in range(30 if request.config.getoption("--long") else 3):
        board.expire()
        eight_at_once(factories, bench, account)

        assert (board.refreshed, board.revoked) == (round_ + 1, False)
        assert factories.row("channel_account", account)["status"] == "active"
