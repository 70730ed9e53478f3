"""Which leases a process renews, which of its threads count as lost, and the heartbeat that does it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import peewee
import puppets
import pytest
import redis
from factories import Factories
from moves import claimed, intended

from autoposter import database as pool
from autoposter import leases as rooms
from autoposter.duty import Duty
from autoposter.heartbeat import Heartbeat
from autoposter.leases import Leases
from autoposter.workbench import Workbench

SECOND = timedelta(seconds=1)


class Time:
    """The monotonic clock of this process, as a test sets it."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        patch.setattr(rooms.time, "monotonic", lambda: self.now)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Time:
    return Time(monkeypatch)


# --- which to renew --------------------------------------------------------------------------------------------------


def test_a_lease_is_renewed_while_it_is_held_and_within_its_deadline(clock: Time) -> None:
    leases = Leases()

    with leases.hold(7, 30 * SECOND):
        assert (leases.to_renew(), leases.lost(), leases.held()) == ([7], 0, 1)
        clock.now += 29.9
        assert leases.to_renew() == [7]
        clock.now += 0.1
        assert (leases.to_renew(), leases.lost(), leases.held()) == ([], 1, 1)

    assert (leases.to_renew(), leases.lost(), leases.held()) == ([], 0, 0)


def test_a_deadline_is_set_anew_from_now(clock: Time) -> None:
    leases = Leases()

    with leases.hold(7, 30 * SECOND):
        clock.now += 29
        leases.allow(7, 30 * SECOND)
        clock.now += 29
        assert leases.to_renew() == [7]


def test_an_outcome_that_waits_for_the_database_is_renewed_for_ever(clock: Time) -> None:
    leases = Leases()

    with leases.hold(7, 30 * SECOND):
        clock.now += 100
        leases.allow(7, None)
        clock.now += 1e9
        assert (leases.to_renew(), leases.lost()) == ([7], 0)


def test_a_thread_that_hangs_counts_as_lost_while_another_looks_for_its_job(clock: Time) -> None:
    leases = Leases()

    def look() -> None:
        with leases.hold(7, 30 * SECOND):
            seen.append((leases.to_renew(), leases.lost()))

    seen: list[tuple[list[int], int]] = []
    with leases.hold(7, 30 * SECOND):
        clock.now += 31
        looking = threading.Thread(target=look)
        looking.start()
        looking.join(5)

        assert seen == [([7], 1)]
        assert (leases.to_renew(), leases.lost()) == ([], 1)


@pytest.mark.parametrize("error", [ValueError, SystemExit, KeyboardInterrupt])
def test_a_lease_is_let_go_however_its_work_ends(error: type[BaseException]) -> None:
    leases = Leases()

    with pytest.raises(error), leases.hold(7, SECOND):
        raise error

    assert leases.held() == 0


def test_what_is_only_watched_has_no_lease_but_counts_as_lost(clock: Time) -> None:
    leases = Leases()

    with leases.watch(30 * SECOND), leases.watch(60 * SECOND):
        clock.now += 30
        assert (leases.to_renew(), leases.lost(), leases.held()) == ([], 1, 2)

    assert leases.held() == 0


def test_many_threads_may_hold_and_let_go_at_once() -> None:
    leases = Leases()
    failed: list[BaseException] = []

    def work(first: int) -> None:
        try:
            for number in range(first, first + 300):
                with leases.hold(number, SECOND):
                    assert number in leases.to_renew()
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=work, args=(1000 * number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)

    assert not failed and leases.held() == 0


# --- the heartbeat ---------------------------------------------------------------------------------------------------


@pytest.fixture
def bench(database: Any) -> Workbench:
    return puppets.bench("w1")


@pytest.fixture
def heartbeat(bench: Workbench, clock: Time) -> Duty:
    """Beats when the test says so; time passes only by the test."""
    return Duty("heartbeat", Heartbeat(bench, lambda: None).beat, until=threading.Event())


def beats(heartbeat: Duty, clock: Time, number: int) -> None:
    """So many beats, a second apart."""
    for _ in range(number):
        heartbeat.turn()
        clock.now += 1


def lease_of(factories: Factories, job: int) -> timedelta:
    """How long it still lasts."""
    asked = "select lease_until - clock_timestamp() from publish_job where id = %s"
    left: timedelta = factories.query(asked, (job,))[0][0]
    return left


def test_a_lease_is_renewed_every_third_second(
    heartbeat: Duty, bench: Workbench, clock: Time, factories: Factories, make_post: Any
) -> None:
    job = claimed(make_post(-SECOND)).job_id
    renewed = []

    with bench.leases.hold(job, timedelta(minutes=5)):
        for _ in range(10):
            factories.query("update publish_job set lease_until = now() + interval '1 s'")
            beats(heartbeat, clock, 1)
            renewed.append(lease_of(factories, job) > 5 * SECOND)

    assert renewed == [True, False, False, True, False, False, True, False, False, True]


def test_expired_leases_are_taken_over_after_ten_seconds_of_unbroken_beats(
    heartbeat: Duty, bench: Workbench, clock: Time, factories: Factories, make_post: Any
) -> None:
    job = claimed(make_post(-SECOND), "dead").job_id
    factories.query("update publish_job set lease_until = now() - interval '1 s'")

    beats(heartbeat, clock, 10)
    assert factories.row("publish_job", job)["status"] == "running"
    beats(heartbeat, clock, 1)

    assert factories.row("publish_job", job)["status"] == "failed"


@pytest.fixture
def away(database_url: str) -> Iterator[Callable[[bool], None]]:
    """`away(True)`: no database there."""

    def choose(is_away: bool) -> None:
        pool.connect_to("postgresql://127.0.0.1:1/nothing" if is_away else database_url)

    yield choose
    choose(False)


def test_after_an_outage_the_living_renew_first_and_nothing_expires_in_masses(
    heartbeat: Duty, bench: Workbench, clock: Time, factories: Factories, make_post: Any, away: Callable[[bool], None]
) -> None:
    mine, others = intended(make_post(-SECOND), "w1"), intended(make_post(-SECOND), "w2")
    with bench.leases.hold(mine.job_id, timedelta(minutes=5)):
        beats(heartbeat, clock, 10)  # the last one renewed
        factories.query("update publish_job set lease_until = now() - interval '1 s'")
        away(True)
        beats(heartbeat, clock, 1)
        away(False)

        beats(heartbeat, clock, 1)
        assert lease_of(factories, mine.job_id) > 5 * SECOND  # at once
        beats(heartbeat, clock, 8)
        assert factories.row("publish_job", others.job_id)["status"] == "running"
        beats(heartbeat, clock, 3)

    assert factories.row("publish_job", others.job_id)["status"] == "unknown"
    assert factories.row("publish_job", mine.job_id)["status"] == "running"


def test_a_process_that_was_frozen_takes_nothing_over_before_it_has_beaten_again(
    heartbeat: Duty, bench: Workbench, clock: Time, factories: Factories, make_post: Any
) -> None:
    job = claimed(make_post(-SECOND), "dead").job_id
    beats(heartbeat, clock, 11)
    factories.query("update publish_job set lease_until = now() - interval '1 s'")

    clock.now += 60
    beats(heartbeat, clock, 1)
    assert factories.row("publish_job", job)["status"] == "running"
    beats(heartbeat, clock, 10)

    assert factories.row("publish_job", job)["status"] == "failed"


def test_a_beat_that_was_held_up_by_the_database_takes_nothing_over_before_the_living_have_renewed(
    heartbeat: Duty,
    bench: Workbench,
    clock: Time,
    factories: Factories,
    make_post: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A database that stands still and goes on (a migrated machine) refuses nothing: all beats just take that long."""
    job = claimed(make_post(-SECOND), "living").job_id
    beats(heartbeat, clock, 11)

    def stands_still(_: object) -> None:
        clock.now += 8
        factories.query("update publish_job set lease_until = now() - interval '1 s'")

    with monkeypatch.context() as patched:
        patched.setattr(bench.clock, "measure", stands_still)
        beats(heartbeat, clock, 1)
    assert factories.row("publish_job", job)["status"] == "running"
    beats(heartbeat, clock, 11)

    assert factories.row("publish_job", job)["status"] == "failed"


def test_a_heartbeat_waits_for_no_broker_that_is_slow_to_take_what_it_tells(
    database: Any, clock: Time, factories: Factories, make_post: Any
) -> None:
    told: list[str] = []
    policy = replace(puppets.POLICY, max_attempts=1)
    bench = replace(puppets.bench("w1"), policy=policy, announce=lambda event, _: told.append(event))
    beating = Heartbeat(bench, lambda: None)
    claimed(make_post(-SECOND), "dead")
    factories.query("update publish_job set lease_until = now() - interval '1 s'")

    beats(Duty("heartbeat", beating.beat, until=threading.Event()), clock, 11)
    assert factories.query("select status from post_instance") == [("Failed",)]
    assert told == []
    beating.tell()
    beating.tell()

    assert told == ["autoposter_post_failed"]


def test_a_publisher_that_hangs_loses_its_job_like_a_dead_workers(
    heartbeat: Duty, bench: Workbench, clock: Time, factories: Factories, make_post: Any
) -> None:
    job = intended(make_post(-SECOND)).job_id

    with bench.leases.hold(job, 5 * SECOND):
        beats(heartbeat, clock, 8)
        factories.query("update publish_job set lease_until = least(lease_until, now() - interval '1 s')")
        beats(heartbeat, clock, 4)
        assert bench.leases.lost() == 1

    assert factories.row("publish_job", job)["status"] == "unknown"


def test_a_heartbeat_renews_while_others_have_used_the_pool_up(
    heartbeat: Duty, bench: Workbench, clock: Time, factories: Factories, make_post: Any
) -> None:
    """As where a program locks the rows of the posts in flight, and each of their threads waits with a connection."""
    job = claimed(make_post(-SECOND)).job_id
    factories.query("update publish_job set lease_until = now() + interval '1 s'")
    taken, enough = threading.Barrier(pool.POOL_SIZE + 1), threading.Event()

    def take() -> None:
        with pool.transaction():
            taken.wait(5)
            enough.wait(5)

    threads = [threading.Thread(target=take) for _ in range(pool.POOL_SIZE)]
    for thread in threads:
        thread.start()
    taken.wait(5)
    with bench.leases.hold(job, timedelta(minutes=5)):
        beats(heartbeat, clock, 1)
    still_taken = all(thread.is_alive() for thread in threads)
    enough.set()
    for thread in threads:
        thread.join(5)

    assert still_taken and lease_of(factories, job) > 5 * SECOND


# --- duties ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "trouble",
    [KeyError("a bug of ours"), peewee.OperationalError("away"), redis.ConnectionError("gone")],
    ids=["bug", "database", "broker"],
)
def test_a_duty_survives_whatever_happens_in_it(
    database: Any, caplog: pytest.LogCaptureFixture, trouble: Exception
) -> None:
    def fail() -> timedelta:
        raise trouble

    assert Duty("heartbeat", fail, until=threading.Event()).turn() == SECOND
    assert "heartbeat" in caplog.text and str(trouble) in caplog.text


def test_a_connection_beside_the_pool_is_kept_and_opened_anew_where_it_broke(
    database: Any, factories: Factories
) -> None:
    own, seen = pool.OwnConnection(), []

    def ask() -> None:
        with own.in_use(), pool.single_statement():
            seen.append(pool.execute("select pg_backend_pid()").fetchone()[0])

    ask()
    ask()
    factories.query("select pg_terminate_backend(%s)", (seen[0],))
    with pytest.raises(pool.DATABASE_AWAY):
        ask()
    ask()

    assert len(seen) == 3
    assert seen[0] == seen[1] != seen[2]


def test_a_duty_that_hangs_or_is_dead_is_in_trouble(database: Any, clock: Time) -> None:
    hangs, done, told = threading.Event(), threading.Event(), threading.Event()

    def hang() -> timedelta:
        hangs.set()
        done.wait(20)
        return timedelta(0)

    duty = Duty("heartbeat", hang, until=told)
    duty.start()
    assert hangs.wait(5)

    clock.now += 59
    assert duty.trouble is None
    clock.now += 2
    assert duty.trouble == "its heartbeat thread hangs"

    told.set()
    done.set()
    duty.join(5)
    assert duty.trouble == "its heartbeat thread is dead"
