"""A thread of a worker process that does one thing again and again, whatever happens to it.

It is watched: a duty that hangs is as bad as a dead one.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from datetime import timedelta

import redis

from autoposter.database import DATABASE_AWAY

log = logging.getLogger(__name__)

#: How soon a duty is done again that failed.
BEAT = timedelta(seconds=1)

#: A duty that does not come back for so long hangs.  Far more than any outage takes to be noticed (20 s).
HANGS_AFTER = timedelta(seconds=60)


class Duty(threading.Thread):
    """Does `once` again and again until told otherwise; it returns how soon it wants to be done again."""

    def __init__(self, name: str, once: Callable[[], timedelta], *, until: threading.Event) -> None:
        super().__init__(name=name, daemon=True)
        self._once = once
        self._until = until
        self._came_back = time.monotonic()

    def run(self) -> None:
        """Until told otherwise."""
        while not self._until.wait(self.turn().total_seconds()):
            pass

    def turn(self) -> timedelta:
        """One turn, survived whatever happens in it; returns when the next one comes."""
        try:
            return self._once()
        except DATABASE_AWAY as error:
            log.warning("the %s waits for the database: %s", self.name, error)
        except redis.RedisError as error:
            log.warning("the %s waits for the broker: %s", self.name, error)
        except Exception:
            log.exception("the %s failed", self.name)
        finally:
            self._came_back = time.monotonic()
        return BEAT

    @property
    def trouble(self) -> str | None:
        """Why it does its duty no more; None: it does."""
        if not self.is_alive():
            return f"its {self.name} thread is dead"
        hangs = time.monotonic() - self._came_back > HANGS_AFTER.total_seconds()
        return f"its {self.name} thread hangs" if hangs else None
