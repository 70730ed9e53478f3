"""The database's time as a process knows it, the gate, and the stopwatch."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoposter import clock as clocks
from autoposter.clock import Clock, Measurement, Stopwatch
from autoposter.database import database_time

MS = timedelta(milliseconds=1)


def database(ahead: timedelta, *, slow_there: float = 0.0, slow_back: float = 0.0) -> Callable[[], datetime]:
    """A database whose clock is so far ahead of this machine's; the question and the answer take a while."""

    def ask() -> datetime:
        time.sleep(slow_there)
        answer = datetime.now(UTC) + ahead
        time.sleep(slow_back)
        return answer

    return ask


def measured(*answers: Callable[[], datetime]) -> Clock:
    clock = Clock()
    for ask in answers:
        clock.measure(ask)
    return clock


def test_before_any_measurement_the_wall_clock_counts() -> None:
    clock = Clock()

    assert abs(clock.now() - datetime.now(UTC)) < 5 * MS
    assert clock.now().utcoffset() == timedelta(0)


@pytest.mark.parametrize("ahead", [timedelta(hours=3), timedelta(days=-400), 300 * MS])
def test_the_databases_time_counts(ahead: timedelta) -> None:
    clock = measured(database(ahead))

    assert abs(clock.now() - datetime.now(UTC) - ahead) < 20 * MS
    assert abs(clock.offset_from_wall - ahead) < 20 * MS


def test_the_best_of_several_measurements_is_used() -> None:
    clock = measured(
        database(timedelta(0), slow_back=0.06), database(timedelta(0)), database(timedelta(0), slow_there=0.06)
    )

    assert abs(clock.offset_from_wall) < 10 * MS


def test_a_measurement_is_off_by_half_its_round_trip_at_most() -> None:
    for slow in ({"slow_there": 0.05}, {"slow_back": 0.05}):
        clock = measured(database(timedelta(0), **slow))
        assert 20 * MS < abs(clock.offset_from_wall) < 40 * MS


def test_a_databases_clock_that_was_set_is_followed_at_once() -> None:
    clock = measured(*[database(timedelta(0)) for _ in range(8)])

    clock.measure(database(-timedelta(hours=1), slow_back=0.01))

    assert abs(clock.offset_from_wall + timedelta(hours=1)) < 30 * MS


def test_a_database_that_is_away_changes_nothing() -> None:
    clock = measured(database(timedelta(hours=1)))

    def away() -> datetime:
        raise OSError("away")

    with pytest.raises(OSError, match="away"):
        clock.measure(away)
    assert abs(clock.offset_from_wall - timedelta(hours=1)) < 20 * MS


def test_a_wall_clock_that_jumps_sends_nothing_early(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = measured(database(timedelta(0)))
    due = clock.now() + 100 * MS
    begun = time.monotonic()

    monkeypatch.setattr(clocks.time, "time", lambda: 9_999_999_999.0)
    clock.hold_until(due)

    assert time.monotonic() - begun >= 0.095
    assert clock.offset_from_wall < timedelta(days=-1000)  # and doctor says so


@pytest.mark.parametrize("ahead", [timedelta(0), timedelta(hours=1), -timedelta(hours=1)])
@pytest.mark.parametrize("slow", [{"slow_there": 0.03}, {"slow_back": 0.03}, {}])
def test_the_gate_opens_at_the_databases_moment_and_never_before(ahead: timedelta, slow: dict[str, float]) -> None:
    """Half a round trip later than measured, for the true time may be that far away in either direction."""
    clock = measured(database(ahead, **slow))
    due = datetime.now(UTC) + ahead + 60 * MS

    clock.hold_until(due)

    late = datetime.now(UTC) + ahead - due
    assert timedelta(0) <= late < 120 * MS


def test_the_gate_follows_what_is_measured_while_it_holds() -> None:
    """The first measurement took the database's clock for 60 ms later than it is: the gate must not believe it."""
    clock = measured(database(timedelta(0)))
    due = datetime.now(UTC) + 60 * MS
    behind = threading.Timer(0.02, lambda: clock.measure(database(-60 * MS)))

    behind.start()
    clock.hold_until(due)

    assert datetime.now(UTC) - 60 * MS >= due


def test_the_gate_stands_open_for_what_is_overdue() -> None:
    clock = measured(database(timedelta(0)))
    begun = time.monotonic()

    clock.hold_until(datetime.now(UTC) - timedelta(days=1))

    assert time.monotonic() - begun < 0.05


@pytest.mark.usefixtures("database")
def test_the_real_databases_clock_is_known_to_some_milliseconds() -> None:
    clock = measured(*[database_time] * 5)

    assert abs(database_time() - clock.now()) < 50 * MS


def test_a_clock_may_be_measured_and_asked_by_many_threads() -> None:
    clock = Clock()
    seen: list[timedelta] = []

    def use() -> None:
        for _ in range(200):
            clock.measure(database(timedelta(0)))
            seen.append(abs(clock.now() - datetime.now(UTC)))

    threads = [threading.Thread(target=use) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)

    assert len(seen) == 1600
    assert sorted(seen)[len(seen) // 2] < 20 * MS


offsets = st.floats(-1e9, 1e9)
trips = st.floats(0, 1)


@given(offsets, trips, trips, st.floats(-1, 1), st.floats(-1, 1))
def test_measurements_of_one_clock_always_agree(
    offset: float, trip: float, other_trip: float, off: float, other_off: float
) -> None:
    """Each is off by its half round trip at most, wherever in there the answer was given."""
    known = Measurement(offset + off * trip, trip)
    new = Measurement(offset + other_off * other_trip, other_trip)

    assert clocks._agree(known, new)


class Machine:
    """A machine's two clocks."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.monotonic = self.wall = 1000.0
        patch.setattr(clocks.time, "monotonic", lambda: self.monotonic)
        patch.setattr(clocks.time, "time", lambda: self.wall)


@pytest.mark.parametrize(
    ("monotonic", "wall", "elapsed"),
    [(1.5, 1.5, 1.5), (0.0, 3600.0, 3600.0), (1.5, -7200.0, 1.5), (60.0, 1.0, 60.0), (0.0, 0.0, 0.0)],
    ids=["both", "a frozen virtual machine", "a clock that was turned back", "a clock that was slewed", "none"],
)
def test_of_two_clocks_the_longer_time_counts(
    monkeypatch: pytest.MonkeyPatch, monotonic: float, wall: float, elapsed: float
) -> None:
    machine = Machine(monkeypatch)
    watch = Stopwatch()

    machine.monotonic += monotonic
    machine.wall += wall

    assert watch.elapsed == timedelta(seconds=elapsed)
