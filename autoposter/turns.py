"""What is not publishing takes a share of the process's threads; the rest stays free for publishing."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import timedelta

from autoposter.clock import Stopwatch

#: The share of a process's threads.  Not more than that of hung threads with which a process is still fit: a plugin
#: that hangs in here ends no process.
THREAD_SHARE = 4

#: So many wait for their turn; what comes beyond is not done here.
MOST_WAITING = 2000

Work = Callable[[int], object]
Waiting = dict[tuple[Work, int], tuple[Stopwatch, timedelta | None]]


class Turns:
    """Works on posts, each by its id, in a quarter of the process's threads, all kinds of work together.

    What finds no thread free waits, and whoever has finished goes on with it: nobody who brings a post is held up.
    """

    def __init__(self) -> None:
        self.allow(2 * THREAD_SHARE)
        self._urgent: Waiting = {}
        self._others: Waiting = {}
        self._lock = threading.Lock()
        self._stopping = False

    def allow(self, threads: int) -> None:
        """Say how many threads the process has."""
        self._share = max(1, threads // THREAD_SHARE)
        self._slots = threading.BoundedSemaphore(self._share)

    @property
    def room(self) -> int:
        """How much urgent work more may wait without waiting for long: as much as there are threads for it."""
        return 0 if self._stopping else max(0, self._share - len(self._urgent))

    def stop(self) -> None:
        """Begin nothing more."""
        self._stopping = True

    def take(self, work: Work, post_id: int, *, within: timedelta | None = None) -> None:
        """Work on a post, and on what waits; without a thread free for it, let it wait.

        `within`: it goes before what has no such limit, and is dropped where its turn has not come by then.
        """
        self.wait(work, post_id, within=within)
        slots = self._slots
        # Asked again after the release: another may have come to wait just before it.
        while (self._urgent or self._others) and slots.acquire(blocking=False):
            try:
                while waiting := self._next():
                    waiting[0](waiting[1])
            finally:
                slots.release()

    def wait(self, work: Work, post_id: int, *, within: timedelta | None = None) -> None:
        """Let a post wait for its turn; for a thread that is working already, and takes it when it has finished."""
        with self._lock:
            waiting = self._others if within is None else self._urgent
            if len(waiting) < MOST_WAITING:
                waiting.setdefault((work, post_id), (Stopwatch(), within))

    def _next(self) -> tuple[Work, int] | None:
        with self._lock:
            while waiting := self._urgent or self._others:
                turn = next(iter(waiting))
                waited, within = waiting.pop(turn)
                if not self._stopping and (within is None or waited.elapsed < within):
                    return turn
        return None
