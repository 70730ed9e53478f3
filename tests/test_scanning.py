"""The scan on the real database: what it finds, in which order, how often, and what it ends."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import moves
import pytest
import redis
from factories import Factories
from moves import claimed, forge_job, intended, receive, unconfirmed, unknown
from staging import Stage

from autoposter import refusals, scanning
from autoposter.clock import Clock
from autoposter.lifecycle import Status
from autoposter.store import dispatch

pytestmark = pytest.mark.usefixtures("database")

SECOND = timedelta(seconds=1)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)


def tell_nobody(event: str, about: int) -> None:
    """No plugin listens."""


def mend() -> int:
    return scanning.mend_stray_posts(max_attempts=2)


class Broker:
    """Remembers what was sent; may refuse after so many."""

    def __init__(self) -> None:
        self.sent: list[int] = []
        self.delays: list[timedelta] = []
        self.takes: float = float("inf")

    def send(self, hints: Sequence[scanning.Hint]) -> None:
        if len(self.sent) + len(hints) > self.takes:
            raise redis.ConnectionError("OOM")
        for post, delay in hints:
            self.sent.append(post)
            self.delays.append(delay)


@pytest.fixture
def broker() -> Broker:
    return Broker()


@pytest.fixture
def scan(broker: Broker) -> Callable[..., scanning.Found]:
    """`scan(room=20)`: one scan."""
    return lambda room=20: scanning.dispatch_due_posts(broker.send, Clock(), max_lateness=DAY, room=room)


@pytest.fixture
def stage(database_url: str) -> Iterator[Stage]:
    made = Stage(database_url)
    yield made
    made.close()


# --- what it finds ---------------------------------------------------------------------------------------------------


def test_posts_are_dispatched_when_they_fall_due_within_five_seconds(
    scan: Any, broker: Broker, make_post: Any, post_row: Any
) -> None:
    soon, due, overdue = make_post(4 * SECOND), make_post(timedelta(0)), make_post(-HOUR)
    make_post(7 * SECOND)

    assert scan().posts == 3

    assert broker.sent == [due, soon, overdue]
    assert post_row(soon)["dispatched_for"] == post_row(soon)["due_at"]
    assert post_row(soon)["dispatched_at"] is not None
    assert post_row(soon)["status"] == "Scheduled"


@pytest.mark.parametrize(
    ("due_in", "is_near"), [(4 * SECOND, True), (-SECOND, True), (6 * SECOND, False), (-3 * SECOND, False)]
)
def test_posts_that_fall_due_within_five_seconds_are_near_also_when_they_were_dispatched(
    make_post: Any, due_in: timedelta, is_near: bool
) -> None:
    make_post(due_in)
    dispatch.mark_on_time(max_lateness=DAY)

    assert dispatch.what_waits().near == is_near


def test_a_message_arrives_400_ms_before_the_due_time_and_at_once_when_overdue(
    scan: Any, broker: Broker, make_post: Any
) -> None:
    began = time.monotonic()
    make_post(3 * SECOND)
    make_post(0.2 * SECOND)
    make_post(-HOUR)

    scan()

    took = time.monotonic() - began
    assert [delay / SECOND for delay in broker.delays] == pytest.approx([0, 2.6, 0], abs=0.1 + took)
    assert min(broker.delays) >= timedelta(0)


def test_what_is_not_due_is_left_alone(
    scan: Any, broker: Broker, make_post: Any, make_account: Any, factories: Factories
) -> None:
    make_post(-SECOND, content_item_id=None)
    make_post(-SECOND, autopost_enabled=False)
    make_post(-SECOND, channel_account_id=make_account(status="disabled"))
    make_post(-25 * HOUR)
    make_post(-SECOND, retry_at=datetime.now(UTC) + HOUR)
    make_post(-SECOND, prepare_at=datetime.now(UTC) + SECOND, prepared_key="begun")
    for status in ("Draft", "Publishing", "Posted", "Failed", "Unconfirmed", "Missed", "Cancelled"):
        make_post(-SECOND, status=status)
    claimed(make_post(-SECOND))
    intended(make_post(-SECOND))

    assert scan() == scanning.Found(0, more=False)
    assert broker.sent == []


def test_the_posts_of_disconnected_and_paused_accounts_are_dispatched_for_the_claim_to_decide(
    scan: Any, broker: Broker, make_post: Any, make_account: Any
) -> None:
    disconnected = make_post(-HOUR, channel_account_id=make_account(status="disconnected"))
    paused = make_post(-SECOND, channel_account_id=make_account(paused_until=datetime.now(UTC) + HOUR))

    scan()

    assert broker.sent == [paused, disconnected]


def test_a_stale_save_over_a_published_post_is_dispatched_for_the_claim_to_put_back(
    scan: Any, broker: Broker, make_post: Any, factories: Factories
) -> None:
    posted, lost = make_post(-SECOND), make_post(-SECOND)
    receive(intended(posted))
    unknown(lost)
    factories.query("update post_instance set status = 'Scheduled'")

    scan()

    assert sorted(broker.sent) == [posted, lost]


def test_a_post_that_could_not_be_read_stops_no_scan(
    scan: Any, broker: Broker, make_post: Any, make_content: Any
) -> None:
    """The scan reads ids and due times only; the years that no driver reads are refused by the database."""
    odd = make_post(
        -SECOND,
        content_item_id=make_content(options={"stub": {"n": "x"}}, caption="\u0001" * 1000),
        posted_at="infinity",
        prepare_at="-infinity",
        dispatched_at="-infinity",
        last_error="x" * 1_000_000,
    )
    healthy = make_post(-SECOND)

    scan()

    assert sorted(broker.sent) == [odd, healthy]


# --- how often -------------------------------------------------------------------------------------------------------


def test_a_post_is_dispatched_once_while_it_is_on_time(scan: Any, broker: Broker, make_post: Any) -> None:
    make_post(3 * SECOND)

    for _ in range(3):
        scan()

    assert len(broker.sent) == 1


def test_a_row_that_is_moved_is_dispatched_anew(
    scan: Any, broker: Broker, make_post: Any, factories: Factories
) -> None:
    post = make_post(3 * SECOND)
    scan()

    factories.query("update post_instance set scheduled_for = scheduled_for + interval '1 s'")
    scan()

    assert broker.sent == [post, post]


def test_an_overdue_post_is_dispatched_again_and_its_waits_double(
    scan: Any, broker: Broker, make_post: Any, factories: Factories
) -> None:
    make_post(timedelta(0))
    scan()
    moments = []

    for overdue in range(1, 40):
        factories.query(  # a second passes
            "update post_instance set scheduled_for = scheduled_for - interval '1 s',"
            " dispatched_for = dispatched_for - interval '1 s', dispatched_at = dispatched_at - interval '1 s'"
        )
        before = len(broker.sent)
        scan()
        moments += [overdue] * (len(broker.sent) - before)

    assert moments[0] in (2, 3)
    for one, following in pairwise(moments):
        assert one <= following - one <= one + 2
    assert 3 <= len(moments) <= 5


def test_the_longest_wait_is_five_minutes(scan: Any, broker: Broker, make_post: Any, factories: Factories) -> None:
    make_post(-10 * HOUR)
    scan()

    for passed, sent in (("299 s", 1), ("301 s", 2)):
        factories.query(
            "update post_instance set dispatched_for = due_at, dispatched_at = now() - %s::interval", (passed,)
        )
        scan()
        assert len(broker.sent) == sent


# --- in which order, and how many ------------------------------------------------------------------------------------


def test_what_falls_due_now_goes_before_a_backlog_and_the_oldest_of_each_first(
    scan: Any, broker: Broker, make_post: Any
) -> None:
    backlog = [make_post(-number * HOUR) for number in (1, 3, 2)]
    fresh = [make_post(number * SECOND) for number in (3, 1, 2)]

    scan()

    assert broker.sent == [fresh[1], fresh[2], fresh[0], backlog[1], backlog[2], backlog[0]]


def backlog(factories: Factories, number: int) -> None:
    account, content = factories.account(), factories.content()
    factories.query(
        "insert into post_instance (channel_account_id, content_item_id, scheduled_for)"
        " select %s, %s, now() - interval '1 hour' + n * interval '1 s' from generate_series(1, %s) n",
        (account, content, number),
    )


@pytest.mark.parametrize(("room", "more"), [(20, True), (0, True)])
def test_a_backlog_is_dispatched_only_as_far_as_there_is_room(
    scan: Any, broker: Broker, factories: Factories, room: int, more: bool
) -> None:
    backlog(factories, 300)

    found = scan(room)

    assert (found.posts, found.more, len(broker.sent)) == (room, more, room)


def test_a_backlog_is_sent_so_that_all_else_may_overtake_it(broker: Broker, make_post: Any) -> None:
    overdue, fresh = make_post(-HOUR), make_post(SECOND)
    slow = Broker()

    scanning.dispatch_due_posts(broker.send, Clock(), max_lateness=DAY, room=20, send_behind=slow.send)

    assert (broker.sent, slow.sent) == ([fresh], [overdue])


def test_what_was_dispatched_is_dispatched_again_when_messages_were_lost(
    scan: Any, broker: Broker, make_post: Any
) -> None:
    soon = make_post(4 * SECOND)
    scan()
    later = make_post(HOUR)
    assert scan().posts == 0

    scanning.dispatch_again()

    assert scan().posts == 1
    assert broker.sent == [soon, soon]
    assert later not in broker.sent


def test_what_is_claimed_already_stays_dispatched_when_messages_were_lost(
    scan: Any, make_post: Any, post_row: Any
) -> None:
    """Nobody begins to prepare beside its attempt."""
    begun = make_post(0.5 * SECOND)
    scan()
    moves.claimed(begun)

    scanning.dispatch_again()

    assert post_row(begun)["dispatched_for"] == post_row(begun)["due_at"]


def test_what_makes_a_crowd_of_one_account_may_be_overtaken_by_what_others_have_due(
    broker: Broker, factories: Factories, make_post: Any
) -> None:
    crowded = factories.account()
    crowd = [make_post(SECOND, channel_account_id=crowded) for _ in range(scanning.CROWD + 3)]
    others = [make_post(2 * SECOND) for _ in range(2)]
    behind = Broker()

    scanning.dispatch_due_posts(broker.send, Clock(), max_lateness=DAY, room=20, send_behind=behind.send)

    assert sorted(broker.sent) == sorted([*set(crowd) - set(behind.sent), *others])
    assert len(behind.sent) == 3


def test_a_backlog_that_is_all_dispatched_asks_for_no_haste(scan: Any, broker: Broker, factories: Factories) -> None:
    backlog(factories, 3)

    assert scan() == scanning.Found(3, more=False)
    assert scan() == scanning.Found(0, more=False)


def test_a_long_backlog_keeps_nothing_from_being_on_time(
    scan: Any, broker: Broker, factories: Factories, make_post: Any
) -> None:
    backlog(factories, 300)
    fresh = make_post(3 * SECOND)

    scan(room=0)

    assert broker.sent == [fresh]


def test_looking_for_overdue_posts_in_vain_takes_a_twentieth_of_the_time_at_most(
    broker: Broker, make_post: Any, make_account: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where a disabled account has many: they are read each time."""
    now = 1000.0
    monkeypatch.setattr(scanning.time, "monotonic", lambda: now)
    make_post(-HOUR, channel_account_id=make_account(status="disabled"))
    pace = scanning.Pace()

    def scan() -> list[int]:
        broker.sent.clear()
        scanning.dispatch_due_posts(broker.send, Clock(), max_lateness=DAY, room=20, pace=pace)
        return list(broker.sent)

    assert scan() == []
    pace.took(0.2, fruitless=True)
    overdue, on_time = make_post(-HOUR), make_post(SECOND)
    now += 3.9
    assert scan() == [on_time]
    now += 0.1
    assert scan() == [overdue]
    pace.took(0.2, fruitless=False)
    assert pace.is_time()


def test_a_look_that_the_database_held_up_stops_the_looking_for_seconds_only():
    pace = scanning.Pace()

    pace.took(30, fruitless=True)

    assert timedelta(0) < pace.left <= 5 * SECOND


def test_a_thousand_posts_of_one_moment_are_one_scan_and_the_rest_follows_at_once(
    scan: Any, broker: Broker, factories: Factories
) -> None:
    factories.query(
        "insert into post_instance (channel_account_id, content_item_id, scheduled_for)"
        " select %s, %s, now() + interval '3 s' from generate_series(1, 1100)",
        (factories.account(), factories.content()),
    )

    assert scan() == scanning.Found(1000, more=True)
    assert scan() == scanning.Found(100, more=False)
    assert len(set(broker.sent)) == 1100


# --- when the broker refuses -----------------------------------------------------------------------------------------


def test_the_marks_of_what_the_broker_refused_are_taken_back(
    scan: Any, broker: Broker, make_post: Any, post_row: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scanning, "SENT_TOGETHER", 1)
    posts = [make_post(number * SECOND) for number in (1, 2, 3)]
    broker.takes = 1

    with pytest.raises(redis.ConnectionError):
        scan()

    assert [post_row(post)["dispatched_for"] is None for post in posts] == [False, True, True]
    broker.takes = 99
    scan()
    assert broker.sent == posts


def test_a_backlog_that_the_broker_refused_is_dispatched_again_as_soon_as_it_takes_messages(
    scan: Any, broker: Broker, factories: Factories, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scanning, "SENT_TOGETHER", 1)
    backlog(factories, 4)
    broker.takes = 2

    for _ in range(3):
        with pytest.raises(redis.ConnectionError):
            scan()
    broker.takes = 99
    scan()

    assert len(set(broker.sent)) == len(broker.sent) == 4


def test_a_mark_is_not_taken_from_a_post_that_is_no_longer_scheduled(make_post: Any, post_row: Any) -> None:
    post = make_post(-SECOND, dispatched_for=datetime.now(UTC), status="Posted")

    dispatch.take_back([post])

    assert post_row(post)["dispatched_for"] is not None


# --- several at once -------------------------------------------------------------------------------------------------


def test_two_scans_at_once_send_each_post_once(stage: Stage, factories: Factories) -> None:
    backlog(factories, 40)
    brokers = [Broker() for _ in range(4)]

    scans = [
        stage.begin(scanning.dispatch_due_posts, broker.send, Clock(), max_lateness=DAY, room=20)
        for broker in brokers
        for _ in range(3)
    ]
    for scan in scans:
        scan.result(timeout=20)

    sent = [post for broker in brokers for post in broker.sent]
    assert len(sent) == len(set(sent)) == 40


def test_a_scan_waits_for_no_one_who_holds_a_row(
    scan: Any, stage: Stage, broker: Broker, make_post: Any, factories: Factories
) -> None:
    held, free = make_post(-SECOND), make_post(-SECOND)

    with stage.program() as owner:
        owner("select 1 from post_instance where id = %s for update", (held,))
        stage.begin(scan).result(timeout=5)
    scan()

    assert broker.sent == [free, held]


# --- looks -----------------------------------------------------------------------------------------------------------


def test_unknown_outcomes_are_dispatched_when_their_time_has_come_and_not_again_at_once(
    make_post: Any, factories: Factories
) -> None:
    first, second, later, leased = (unknown(make_post(-SECOND)).job_id for _ in range(4))
    unconfirmed(make_post(-SECOND))
    intended(make_post(-SECOND))
    factories.query("update publish_job set look_at = now() - interval '9 s' where id = %s", (first,))
    factories.query("update publish_job set look_at = now() + interval '9 s' where id = %s", (later,))
    factories.query("update publish_job set lease_until = now() + interval '9 s' where id = %s", (leased,))
    sent: list[int] = []

    assert scanning.dispatch_looks(sent.append) == 2
    assert scanning.dispatch_looks(sent.append) == 0

    assert sorted(sent) == [first, second]
    factories.query("update publish_job set look_at = look_at - interval '6 s'")
    assert scanning.dispatch_looks(sent.append) >= 2


# --- too late --------------------------------------------------------------------------------------------------------


def test_a_post_that_came_too_late_is_missed_and_one_that_was_ever_sent_failed(
    make_post: Any, factories: Factories, post_row: Any, caplog: pytest.LogCaptureFixture
) -> None:
    never, unsent, tried = make_post(-25 * HOUR), make_post(-25 * HOUR), make_post(-25 * HOUR, last_error="busy")
    forge_job(factories, unsent, intent_at=None, error_kind="worker_lost")
    forge_job(factories, tried)
    last = forge_job(factories, tried)
    forge_job(factories, tried, intent_at=None, error_kind="worker_lost")
    told: list[tuple[str, int]] = []

    with caplog.at_level(logging.ERROR):
        assert scanning.end_missed_posts(DAY, lambda event, about: told.append((event, about))) == 3

    assert [post_row(post)["status"] for post in (never, unsent, tried)] == ["Missed", "Missed", "Failed"]
    assert "AUTOPOSTER_MAX_LATENESS" in post_row(never)["last_error"]
    assert post_row(tried)["last_error"] == "busy"
    assert sorted(told) == [
        ("autoposter_post_failed", last),
        ("autoposter_post_missed", never),
        ("autoposter_post_missed", unsent),
    ]
    assert f"post {never} is Missed" in caplog.text
    assert f"post {tried} is Failed" in caplog.text


def test_lateness_counts_from_the_scheduled_time_not_from_a_retry(make_post: Any, post_row: Any) -> None:
    waits = make_post(-25 * HOUR, retry_at=datetime.now(UTC) + HOUR)
    waited = make_post(-25 * HOUR, retry_at=datetime.now(UTC) - HOUR)

    scanning.end_missed_posts(DAY, tell_nobody)

    assert post_row(waits)["status"] == "Scheduled"
    assert post_row(waited)["status"] == "Missed"


def test_what_is_not_due_is_never_missed(
    make_post: Any, make_account: Any, factories: Factories, post_row: Any
) -> None:
    late = -25 * HOUR
    kept = [
        make_post(-23 * HOUR),
        make_post(late, content_item_id=None),
        make_post(late, autopost_enabled=False),
        make_post(late, channel_account_id=make_account(status="disabled")),
        make_post(late, status="Draft"),
    ]
    under_way = make_post(-SECOND)
    claimed(under_way)
    posted = make_post(-SECOND)
    receive(intended(posted))
    factories.query(
        "update post_instance set status = 'Scheduled', scheduled_for = now() - interval '25 h' where id in (%s, %s)",
        (under_way, posted),
    )
    before = [post_row(post)["status"] for post in kept]

    assert scanning.end_missed_posts(DAY, tell_nobody) == 0

    assert [post_row(post)["status"] for post in kept] == before
    assert post_row(under_way)["status"] == "Scheduled"


def test_without_a_limit_nothing_is_ever_too_late(make_post: Any, broker: Broker) -> None:
    ancient = make_post(timedelta(0), scheduled_for=datetime(2001, 1, 1, tzinfo=UTC))

    assert scanning.end_missed_posts(None, tell_nobody) == 0
    scanning.dispatch_due_posts(broker.send, Clock(), max_lateness=None, room=20)

    assert broker.sent == [ancient]


# --- what another program wrote differently ---------------------------------------------------------------------------


@pytest.mark.parametrize("written", [str(status) for status in Status if status is not Status.POSTED])
def test_a_published_post_that_was_written_differently_is_posted_again(
    make_post: Any, factories: Factories, post_row: Any, written: str, caplog: pytest.LogCaptureFixture
) -> None:
    post = make_post(-HOUR)
    receive(intended(post))
    before = post_row(post)
    factories.query(
        "update post_instance set status = %s, posted_at = null, platform_post_id = null, permalink = null,"
        " last_error = 'old', retry_at = now() - interval '1 min'",
        (written,),
    )

    assert mend() == 1
    assert mend() == 0

    kept = ("status", "posted_at", "platform_post_id", "permalink", "last_error", "retry_at")
    assert {name: post_row(post)[name] for name in kept} == {name: before[name] for name in kept}
    assert f"post {post} was written as {written} by another program" in caplog.text


def test_a_post_that_is_publishing_without_an_attempt_is_due_anew(
    make_post: Any, factories: Factories, post_row: Any, scan: Any, broker: Broker
) -> None:
    post, refused = make_post(-SECOND), make_post(-SECOND)
    forge_job(factories, refused)
    factories.query("update post_instance set status = 'Publishing', dispatched_for = due_at")

    assert mend() == 2
    scan()

    assert [post_row(each)["status"] for each in (post, refused)] == ["Scheduled", "Scheduled"]
    assert sorted(broker.sent) == [post, refused]


LAST_JOBS: dict[str, tuple[dict[str, Any], str]] = {
    "refused for now": ({}, "Scheduled"),
    "withdrawn": ({"status": "cancelled", "error_kind": None}, "Scheduled"),
    "a person said: send it again": (
        {"error_kind": "unknown", "evidence": {"resolution": "not posted, send again"}},
        "Scheduled",
    ),
    "a lasting failure": ({"error_kind": "content", "error": "too rude"}, "Failed"),
    "a person said: it is not there": ({"error_kind": "unknown", "evidence": {"resolution": "not posted"}}, "Failed"),
    "unknown, looked for": ({"status": "unknown", "look_at": datetime.now(UTC)}, "Publishing"),
    "unknown, nobody can tell": ({"status": "unknown"}, "Unconfirmed"),
}


@pytest.mark.parametrize("written", ["Publishing", "Unconfirmed"])
@pytest.mark.parametrize(("job", "follows"), LAST_JOBS.values(), ids=LAST_JOBS.keys())
def test_a_post_that_was_written_as_under_way_follows_its_last_job(
    make_post: Any, factories: Factories, post_row: Any, job: dict[str, Any], follows: str, written: str
) -> None:
    post = make_post(-SECOND, status=written, last_error="first cause")
    forge_job(factories, post, **job)

    mend()
    assert mend() == 0

    assert post_row(post)["status"] == follows
    assert post_row(post)["last_error"] == (job.get("error") or "first cause")


def test_a_post_whose_budget_is_used_up_is_not_due_anew(make_post: Any, factories: Factories, post_row: Any) -> None:
    post = make_post(-SECOND, status="Publishing")
    for kind in ("transient", "rate_limited", "worker_lost"):
        forge_job(factories, post, error_kind=kind)

    mend()

    assert post_row(post)["status"] == "Failed"


def test_a_published_post_that_was_moved_to_another_day_is_mended_when_it_falls_due(
    make_post: Any, factories: Factories, post_row: Any
) -> None:
    post = make_post(-SECOND)
    receive(intended(post))
    factories.query("update post_instance set status = 'Scheduled', scheduled_for = now() + interval '1 min'")

    assert mend() == 0
    factories.query("update post_instance set scheduled_for = now()")
    assert mend() == 1

    assert post_row(post)["status"] == "Posted"


def test_what_agrees_with_its_jobs_is_left_alone(make_post: Any, factories: Factories, post_row: Any) -> None:
    receive(intended(make_post(-SECOND)))
    unconfirmed(make_post(-SECOND))
    for move in (claimed, intended, unknown):
        move(make_post(-SECOND))
    for status in ("Draft", "Scheduled", "Failed", "Missed", "Cancelled"):
        forge_job(factories, make_post(-SECOND, status=status))
    before = factories.query("select id, status, updated_at from post_instance order by id")

    assert mend() == 0

    assert factories.query("select id, status, updated_at from post_instance order by id") == before


@pytest.fixture
def refuse(factories: Factories, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., object]]:
    """`refuse(*posts)`: let a trigger of the owner's refuse every change of posts."""
    monkeypatch.setattr(refusals, "_refusals", refusals._Refusals())
    made = "create function theirs() returns trigger language plpgsql as $$ begin raise exception 'not mine'; end $$"
    factories.query(made)
    yield lambda *posts: factories.query(
        "create trigger theirs before update on post_instance for each row"
        f" when (new.id in ({', '.join(map(str, posts))})) execute function theirs()"
    )
    factories.query("drop function theirs cascade")


def test_a_post_that_a_trigger_of_its_owner_holds_fast_keeps_no_other_from_being_mended(
    make_post: Any, factories: Factories, post_row: Any, refuse: Any, caplog: pytest.LogCaptureFixture
) -> None:
    held, free = make_post(-SECOND), make_post(-SECOND)
    factories.query("update post_instance set status = 'Publishing'")
    refuse(held)

    assert mend() == 1

    assert [post_row(post)["status"] for post in (held, free)] == ["Publishing", "Scheduled"]
    assert f"post {held} cannot be put back to what its jobs say: not mine" in caplog.text


@pytest.mark.parametrize("due_in", [SECOND, -HOUR], ids=["on time", "overdue"])
def test_a_post_that_a_trigger_of_its_owner_holds_fast_keeps_no_other_from_being_dispatched(
    make_post: Any, scan: Any, broker: Any, refuse: Any, caplog: pytest.LogCaptureFixture, due_in: timedelta
) -> None:
    before, held, after = (make_post(due_in) for _ in range(3))
    refuse(held)

    scan()

    assert sorted(broker.sent) == [before, after]
    assert f"post {held} cannot be dispatched: not mine" in caplog.text


def test_posts_that_a_trigger_of_their_owner_holds_fast_hide_none_behind_them_and_are_told_of_once(
    make_post: Any, scan: Any, broker: Broker, refuse: Any, caplog: pytest.LogCaptureFixture
) -> None:
    held, other = [make_post(-2 * HOUR) for _ in range(5)], make_post(-HOUR)
    refuse(*held)

    scan(room=2)
    scan(room=2)

    assert broker.sent == [other]
    assert caplog.text.count("cannot be dispatched: not mine") == len(held)


def test_a_post_that_its_owner_lets_go_again_is_dispatched(
    make_post: Any, scan: Any, broker: Broker, refuse: Any, factories: Factories, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = make_post(-HOUR)
    refuse(held)
    scan()
    factories.query("drop trigger theirs on post_instance")
    monkeypatch.setattr(refusals, "_refusals", refusals._Refusals())  # minutes later

    scan()

    assert broker.sent == [held]


def test_a_post_that_a_trigger_of_its_owner_holds_fast_keeps_no_other_from_being_prepared(
    make_post: Any, broker: Broker, refuse: Any, caplog: pytest.LogCaptureFixture
) -> None:
    held, other = make_post(HOUR), make_post(HOUR)
    refuse(held)

    assert scanning.begin_preparing({"stub": 2 * HOUR}) == 1
    assert scanning.dispatch_preparations(broker.sent.append, room=9) == 1

    assert broker.sent == [other]
    assert f"post {held} cannot be begun to be prepared: not mine" in caplog.text


def test_a_post_that_a_trigger_of_its_owner_holds_fast_keeps_no_other_from_being_missed(
    make_post: Any, post_row: Any, refuse: Any, caplog: pytest.LogCaptureFixture
) -> None:
    held, other = make_post(-2 * DAY), make_post(-2 * DAY)
    refuse(held)

    assert scanning.end_missed_posts(DAY, tell_nobody) == 1

    assert [post_row(post)["status"] for post in (held, other)] == ["Scheduled", "Missed"]
    assert f"post {held} cannot be ended as too late: not mine" in caplog.text


def test_mending_waits_for_no_one_who_holds_a_row(
    make_post: Any, factories: Factories, stage: Stage, post_row: Any
) -> None:
    held, free = make_post(-SECOND), make_post(-SECOND)
    factories.query("update post_instance set status = 'Publishing'")

    with stage.program() as owner:
        owner("select 1 from post_instance where id = %s for update", (held,))
        assert stage.begin(mend).result(timeout=5) == 1

    assert [post_row(post)["status"] for post in (held, free)] == ["Publishing", "Scheduled"]
