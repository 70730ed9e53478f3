"""The heartbeat of a worker process, once a second: measure the clock, renew leases, take over dead ones."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime, timedelta
from queue import SimpleQueue

from autoposter.database import OwnConnection
from autoposter.duty import BEAT
from autoposter.recovery import take_over_expired
from autoposter.store import leases
from autoposter.workbench import Workbench

#: Leases (10 s) are renewed this often: two lost renewals are survived.
RENEWAL = timedelta(seconds=3)

#: The worker's row is written this often.
SIGN_OF_LIFE = timedelta(seconds=5)

#: Expired leases are looked for only after so long without a failed or missing beat: after an outage of the database
#: the living renew or settle first, and nothing expires in masses.
UNBROKEN = leases.LEASE

#: A beat that comes, or ends, so much too late is no unbroken one, in seconds.
HELD_UP = 3 * BEAT.total_seconds()


class Heartbeat:
    """What is done with each beat, and what the beats before it have told."""

    def __init__(self, bench: Workbench, sign_of_life: Callable[[], None]) -> None:
        self._bench = bench
        self._sign_of_life = sign_of_life
        self._connection = OwnConnection()
        self._untold: SimpleQueue[tuple[str, int]] = SimpleQueue()
        self._unbroken_since: float | None = None
        self._failed = False
        self._last_beat = self._last_renewal = self._last_sign = 0.0

    def beat(self) -> timedelta:
        """One beat; returns when the next one comes.  Raises what the database raises: the next one begins anew."""
        started = time.monotonic()
        if self._failed or started - self._last_beat > HELD_UP:
            self._unbroken_since = None  # an outage, or frozen: the others may have taken our leases
        self._failed = True
        with self._connection.in_use():
            self._beat(started)
        self._last_beat = time.monotonic()
        self._failed = False
        return BEAT

    def _beat(self, started: float) -> None:
        is_over = self._look()
        if started - self._last_renewal >= RENEWAL.total_seconds() or self._unbroken_since is None:
            if held := self._bench.leases.to_renew():
                leases.renew(held, worker=self._bench.worker)
            self._last_renewal = started
        if started - self._last_sign >= SIGN_OF_LIFE.total_seconds():
            self._sign_of_life()
            self._last_sign = started
        self._unbroken_since = self._unbroken_since or started
        if time.monotonic() - started > HELD_UP:
            self._unbroken_since = None  # the database stood still: nobody has renewed, and the living do so now
        elif is_over and started - self._unbroken_since >= UNBROKEN.total_seconds():
            take_over_expired(self._bench.policy, lambda event, job_id: self._untold.put((event, job_id)))

    def _look(self) -> bool:
        """Measure the clock; whether somebody's lease is over."""
        is_over = False

        def ask() -> datetime:
            nonlocal is_over
            now, is_over = leases.look()
            return now

        self._bench.clock.measure(ask)
        return is_over

    def tell(self) -> None:
        """Announce what was taken over and ended its post, for about a second at most.

        For another thread than the heartbeat's: a slow broker must not let leases expire.
        """
        until = time.monotonic() + BEAT.total_seconds()
        while not self._untold.empty() and time.monotonic() < until:
            self._bench.announce(*self._untold.get())
