"""The one place that asks the time, and the gate that lets an attempt through at its moment.

The time that counts is the database's.  A process measures how far its own monotonic clock is from it, and goes by
the monotonic clock from then on: a wall clock that jumps sends nothing early.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

#: A clock further from the database's than this is worth a warning.
CLOCK_TOLERANCE = timedelta(seconds=2)

#: How many measurements are kept; the one with the shortest round trip is used.
KEPT_MEASUREMENTS = 8


@dataclass(frozen=True, slots=True)
class Measurement:
    """One comparison of the database's clock with ours."""

    offset_seconds: float
    """The database's time (seconds since 1970) less our monotonic clock."""
    half_round_trip_seconds: float
    """The true offset is at most this far away."""


class Clock:
    """The database's time, as this process knows it."""

    def __init__(self) -> None:
        self._measurements: deque[Measurement] = deque(maxlen=KEPT_MEASUREMENTS)
        self._lock = threading.Lock()

    def measure(self, ask: Callable[[], datetime]) -> None:
        """Compare with the database's clock once.  `ask` returns its time."""
        before = time.monotonic()
        answer = ask()
        after = time.monotonic()
        new = Measurement(answer.timestamp() - (before + after) / 2, (after - before) / 2)
        with self._lock:
            if self._measurements and not _agree(self._best(), new):
                self._measurements.clear()  # the database's clock was set: what was measured before is void
            self._measurements.append(new)

    def _best(self) -> Measurement:
        return min(self._measurements, key=lambda measurement: measurement.half_round_trip_seconds)

    def _current(self) -> Measurement:
        with self._lock:
            if self._measurements:
                return self._best()
        return Measurement(time.time() - time.monotonic(), 0.0)

    def now(self) -> datetime:
        """The database's time, UTC."""
        return datetime.fromtimestamp(time.monotonic() + self._current().offset_seconds, UTC)

    @property
    def offset_from_wall(self) -> timedelta:
        """How far the database's clock is ahead of this machine's wall clock."""
        return timedelta(seconds=time.monotonic() + self._current().offset_seconds - time.time())

    def hold_until(self, moment: datetime) -> None:
        """Wait until the database's clock shows `moment`, and half a round trip longer: never early."""
        while (left := self._left_until(moment)) > 0:
            time.sleep(left)

    def _left_until(self, moment: datetime) -> float:
        best = self._current()
        return moment.timestamp() + best.half_round_trip_seconds - (time.monotonic() + best.offset_seconds)


def _agree(known: Measurement, new: Measurement) -> bool:
    # 10 ms for what two monotonic clocks drift apart between measurements.
    slack = known.half_round_trip_seconds + new.half_round_trip_seconds + 0.010
    return abs(known.offset_seconds - new.offset_seconds) <= slack


class Stopwatch:
    """How long something has lasted, by the monotonic and the wall clock; the longer counts.

    By both, because a frozen virtual machine may stop the one and a set clock turn back the other.
    """

    def __init__(self) -> None:
        self._monotonic = time.monotonic()
        self._wall = time.time()

    @property
    def elapsed(self) -> timedelta:
        """The time since this was made."""
        return timedelta(seconds=max(time.monotonic() - self._monotonic, time.time() - self._wall))
