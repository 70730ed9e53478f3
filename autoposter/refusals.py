"""Posts that the database refuses to move, as a trigger of their owner's can: each hides no other, and is named."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import TypeVar

from autoposter.database import DATABASE_AWAY, DATABASE_ERROR, is_refused, reason_away
from autoposter.store import Which

log = logging.getLogger(__name__)

T = TypeVar("T")

#: A post that the database did not let be moved is left alone for so long.
LEFT_ALONE = timedelta(minutes=1)

#: So long a scan goes on with posts one by one.
ONE_BY_ONE = timedelta(seconds=2)


class _Refusals:
    """The posts that the database did not let be moved, so that they hide no others and cost nothing for a while."""

    def __init__(self) -> None:
        self._until: dict[tuple[str, int], float] = {}

    def note(self, what: str, post_id: int) -> None:
        """Leave a post alone."""
        self._until[what, post_id] = time.monotonic() + LEFT_ALONE.total_seconds()

    def of(self, what: str) -> list[int]:
        """The posts that are left alone now."""
        now = time.monotonic()
        self._until = {refused: until for refused, until in self._until.items() if until > now}
        return [post_id for moved, post_id in self._until if moved == what]


_refusals = _Refusals()


def move_all(move: Callable[[Which], list[T]], find: Callable[[Which], list[int]], what: str) -> list[T]:
    """Move posts; each by itself where the database refuses one, as a trigger of its owner's can.

    Raises what says that the database is away, unless some were moved: whoever moved them must hear of it.
    """
    try:
        return move(Which(without=_refusals.of(what)))
    except DATABASE_ERROR as error:
        if not is_refused(error):
            raise
    done: list[T] = []
    until = time.monotonic() + ONE_BY_ONE.total_seconds()
    try:
        while time.monotonic() < until and _move_each(move, find(Which(without=_refusals.of(what))), what, done):
            pass
    except DATABASE_AWAY:
        if not done:
            raise
    return done


def _move_each(move: Callable[[Which], list[T]], found: Sequence[int], what: str, done: list[T]) -> bool:
    """Move these posts into `done`.  Whether some were refused: others may have stood behind them."""
    refused = False
    for post_id in found:
        try:
            done += move(Which(only=post_id))
        except DATABASE_ERROR as error:
            if not is_refused(error):
                raise
            refused = True
            _refusals.note(what, post_id)
            log.error("post %s cannot be %s: %s", post_id, what, reason_away(error))
    return refused
