"""Calling the plugins' listeners: each in its turn, in a thread of its own, and not for longer than a time limit.

Whoever tells of an event only puts it into the listener's queue: neither a slow listener nor a hanging one holds up a
thread that could publish.  One that hangs is left behind, and after some of that hears nothing until it comes back.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from datetime import timedelta

log = logging.getLogger(__name__)

#: A call that takes longer is left behind.
LISTENER_TIMEOUT = timedelta(seconds=10)

#: A listener with so many calls left behind hears nothing until one of them returns.
MOST_HANGING = 3

#: So many events wait for a slow listener; it hears nothing of more.
MOST_WAITING = 1000

Call = tuple[Callable[..., object], Mapping[str, object]]


class Listening:
    """Calls listeners, each one's calls in their order, and remembers which of them still hang."""

    def __init__(self, limit: timedelta = LISTENER_TIMEOUT) -> None:
        self._limit = limit
        self._waiting: dict[str, queue.Queue[Call]] = {}
        self._hanging: Counter[str] = Counter()
        self._lock = threading.Lock()

    def call(self, name: str, listener: Callable[..., object], arguments: Mapping[str, object]) -> None:
        """Have a listener called soon.  What it raises is logged."""
        try:
            self._queue(name).put_nowait((listener, arguments))
        except queue.Full:
            log.error("%s is not told: %s events wait for it already.", name, MOST_WAITING)

    def finish(self, within: timedelta) -> None:
        """Wait until all have heard what they were told, but no longer than this."""
        deadline = time.monotonic() + within.total_seconds()
        while time.monotonic() < deadline and any(waiting.unfinished_tasks for waiting in list(self._waiting.values())):
            time.sleep(0.02)

    def _queue(self, name: str) -> queue.Queue[Call]:
        with self._lock:
            if name not in self._waiting:
                self._waiting[name] = queue.Queue(MOST_WAITING)
                threading.Thread(target=self._keep_calling, args=(name,), name=f"calls {name}", daemon=True).start()
            return self._waiting[name]

    def _keep_calling(self, name: str) -> None:
        waiting = self._waiting[name]
        while True:
            listener, arguments = waiting.get()
            self._call(name, listener, arguments)
            waiting.task_done()

    def _call(self, name: str, listener: Callable[..., object], arguments: Mapping[str, object]) -> None:
        if self._hanging[name] >= MOST_HANGING:
            log.error("%s is not told: %s of its calls still hang.", name, MOST_HANGING)
            return
        with self._lock:
            self._hanging[name] += 1
        thread = threading.Thread(target=self._run, args=(name, listener, arguments), name=name, daemon=True)
        thread.start()
        thread.join(self._limit.total_seconds())  # a thread cannot be stopped, only left
        if thread.is_alive():
            log.error("%s is left behind: it has not returned within %s.", name, self._limit)

    def _run(self, name: str, listener: Callable[..., object], arguments: Mapping[str, object]) -> None:
        try:
            listener(**arguments)
        except BaseException:
            log.exception("%s failed.", name)
        finally:
            with self._lock:
                self._hanging[name] -= 1
