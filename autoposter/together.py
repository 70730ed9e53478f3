"""Moves that threads make at the same moment are made together, by one statement for all.

A statement costs its round trip, and a commit waits for the disk: while one thread makes the move for those that have
asked, the next ones gather.  Where nobody else asks, nothing waits.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Generic, TypeVar

from autoposter.database import DATABASE_AWAY, was_rolled_back

log = logging.getLogger(__name__)

Asked = TypeVar("Asked")
Made = TypeVar("Made")

#: So many are made at once.  In a larger statement each waits for all, and all go on at the same moment: of 500 posts
#: at one instant the last arrived at 1.25 x the least possible with 8, and at 1.32 x with 32 (2 x 32 threads).
MOST = 8

#: So many promises: they are made before the due time, and nobody goes on before it.  With a slow disk the rounds that
#: many threads need would else outlast the lead.
MOST_PROMISES = 32


class _Ask(Generic[Asked, Made]):
    """What a thread asks for, and what came of it."""

    def __init__(self, what: Asked) -> None:
        self.what = what
        self.made: Made | None = None
        self.error: BaseException | None = None
        self.leads = False
        self._woken = threading.Lock()
        self._woken.acquire()

    def wait(self) -> None:
        """Until it is made, or this thread is to make it."""
        self._woken.acquire()

    def wake(self) -> None:
        """End the wait."""
        self._woken.release()


class Together(Generic[Asked, Made]):
    """Makes one kind of move: one thread at a time, for all that have asked meanwhile."""

    def __init__(
        self, make: Callable[[Sequence[Asked]], Mapping[int, Made]], key: Callable[[Asked], int], *, most: int = MOST
    ) -> None:
        """`make` makes those of several moves, `most` at once, that wait for nobody; returns them by their `key`."""
        self._make = make
        self._key = key
        self._most = most
        self._lock = threading.Lock()
        self._asked: list[_Ask[Asked, Made]] = []
        self._is_led = False

    def __call__(self, what: Asked) -> Made | None:
        """Make a move.  None: it was left, and is to be made alone.  Raises DATABASE_AWAY, and nothing else."""
        mine = _Ask[Asked, Made](what)
        with self._lock:
            self._asked.append(mine)
            mine.leads, self._is_led = not self._is_led, True
        if not mine.leads:
            mine.wait()
        if mine.leads:
            self._lead()
        if mine.error:
            raise mine.error
        return mine.made

    def _lead(self) -> None:
        with self._lock:
            asks, self._asked = self._asked[: self._most], self._asked[self._most :]
        firsts: dict[int, _Ask[Asked, Made]] = {}  # what is asked for twice is made once: the other one finds out alone
        for ask in asks:
            firsts.setdefault(self._key(ask.what), ask)
        try:
            made = self._make([ask.what for ask in firsts.values()])
        except Exception as error:
            if isinstance(error, DATABASE_AWAY) and not was_rolled_back(error):
                for ask in asks:
                    ask.error = error  # whether it was committed is not known: each must act upon that
            elif len(asks) > 1:  # there is something in one of them, and nothing was made: each finds out alone
                log.warning("%s moves are made one by one, not together: %s", len(asks), type(error).__name__)
        else:
            for key, ask in firsts.items():
                ask.made = made.get(key)
        finally:
            self._hand_over()
            for ask in asks[1:]:
                ask.wake()

    def _hand_over(self) -> None:
        with self._lock:
            follower = self._asked[0] if self._asked else None
            self._is_led = follower is not None
        if follower:
            follower.leads = True
            follower.wake()
