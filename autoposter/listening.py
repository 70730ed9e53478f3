"""Calling one plugin's listener: by itself, and not for longer than a time limit."""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from datetime import timedelta

log = logging.getLogger(__name__)

#: A listener that takes longer is left behind in a thread of its own.
LISTENER_TIMEOUT = timedelta(seconds=10)

#: A listener with so many calls still hanging hears nothing until one of them returns.
MOST_HANGING = 3


class Listening:
    """Calls listeners, and remembers which of their calls still hang."""

    def __init__(self, limit: timedelta = LISTENER_TIMEOUT) -> None:
        self._limit = limit
        self._hanging: Counter[str] = Counter()
        self._lock = threading.Lock()

    def call(self, name: str, listener: Callable[..., object], arguments: Mapping[str, object]) -> None:
        """Call a listener in a thread of its own.  What it raises is logged; a thread cannot be stopped, only left."""
        with self._lock:
            if self._hanging[name] >= MOST_HANGING:
                log.error("%s is not told: %s of its calls still hang.", name, MOST_HANGING)
                return
            self._hanging[name] += 1
        thread = threading.Thread(target=self._run, args=(name, listener, arguments), name=name, daemon=True)
        thread.start()
        thread.join(self._limit.total_seconds())
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
