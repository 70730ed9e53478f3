"""The fence: lets one irreversible request through, and remembers how far it came.

    NEVER_BEGUN --request passes the fence--> NOT_SENT --first byte--> SENT --last byte of the answer--> ANSWERED

A mark is set before what it speaks of can happen (a byte), or after it has happened (an answer): a thread that is
ended between any two lines leaves a record that claims too little certainty, never too much.
"""

from __future__ import annotations

import threading
from datetime import timedelta

from autoposter.clock import Stopwatch
from autoposter.lifecycle import INTENT_LASTS, Reach, WireRecord


class SecondIrreversibleCall(RuntimeError):
    """`publish()` began a second request other than GET or HEAD.  Nothing of it was sent."""


class Fence:
    """Lets one irreversible request through, and remembers how far it came."""

    def __init__(self, lasts: timedelta, promised: Stopwatch | None = None) -> None:
        self.stands = True
        self._lasts = lasts
        self._watch = Stopwatch()
        self._promised = promised or self._watch
        self._lock = threading.Lock()  # a publisher may have threads of its own
        self._reach = Reach.NEVER_BEGUN
        self._status: int | None = None
        self._went_on = False

    @property
    def left(self) -> timedelta:
        """How long it still lasts; 0 or less when its time is over."""
        return min(self._lasts - self._watch.elapsed, INTENT_LASTS + self._lasts - self._promised.elapsed)

    @property
    def record(self) -> WireRecord:
        """How far the irreversible request came.  An answer counts once it has arrived completely."""
        return WireRecord(self._reach, self._status if self.answered else None, self._went_on)

    def let_through(self, method: str) -> bool:
        """Whether this request is the irreversible one.  Raises SecondIrreversibleCall for one too many."""
        with self._lock:
            begun = self._reach is not Reach.NEVER_BEGUN
            self._went_on = self._went_on or begun
            if not is_irreversible(method):
                return False
            if begun:
                raise SecondIrreversibleCall(f"publish() makes one irreversible call; this {method} would be a second.")
            self._reach = Reach.NOT_SENT
            return True

    @property
    def answered(self) -> bool:
        """Whether the answer has arrived completely."""
        return self._reach is Reach.ANSWERED

    def byte_leaves(self) -> None:
        """A byte of the irreversible request may leave from now on."""
        if self._reach is Reach.NOT_SENT:
            self._reach = Reach.SENT

    def answer_complete(self, status: int) -> None:
        """The last byte of its answer has arrived."""
        self._status = status
        self._reach = Reach.ANSWERED


def is_irreversible(method: str) -> bool:
    """Whether a request may change something on the platform: `get`, which is not `GET`, may."""
    return method not in ("GET", "HEAD")
