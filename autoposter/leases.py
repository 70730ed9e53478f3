"""What this process is working on: which leases to renew, and which threads count as lost."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta


class Leases:
    """The jobs that threads of this process hold, each until its own deadline.

    A lease is renewed only until then: a publisher that hangs loses its job to the others like a dead worker's, and
    its thread counts as lost.  Each thread has its own deadline: what hangs in one may be looked for in another.
    """

    def __init__(self) -> None:
        self._deadlines: dict[tuple[int, object], float | None] = {}
        self._lock = threading.Lock()

    @contextmanager
    def hold(self, job_id: int, allowed: timedelta) -> Iterator[None]:
        """Have the job's lease renewed while this lasts, for `allowed` at most."""
        self.allow(job_id, allowed)
        try:
            yield
        finally:
            self._let_go(job_id)

    @contextmanager
    def watch(self, allowed: timedelta) -> Iterator[None]:
        """Count this thread as lost after `allowed`; there is no lease to renew."""
        task = object()
        self.allow(task, allowed)
        try:
            yield
        finally:
            self._let_go(task)

    def allow(self, job_id: object, allowed: timedelta | None) -> None:
        """Set the deadline of what this thread holds anew, from now; None: its outcome waits for the database."""
        with self._lock:
            self._deadlines[_mine(job_id)] = None if allowed is None else time.monotonic() + allowed.total_seconds()

    def _let_go(self, what: object) -> None:
        with self._lock:
            self._deadlines.pop(_mine(what), None)

    def to_renew(self) -> list[int]:
        """The jobs within their deadline."""
        now = time.monotonic()
        with self._lock:
            return [
                job
                for (_, job), deadline in self._deadlines.items()
                if isinstance(job, int) and (deadline is None or now < deadline)
            ]

    def lost(self) -> int:
        """How many are past their deadline: each holds a thread that does not come back."""
        now = time.monotonic()
        with self._lock:
            return sum(deadline is not None and now >= deadline for deadline in self._deadlines.values())

    def held(self) -> int:
        """How many jobs this process works on."""
        with self._lock:
            return len(self._deadlines)


def _mine(what: object) -> tuple[int, object]:
    return threading.get_ident(), what
