"""The scan: finds what is due or about to be, and dispatches it.

Cheap, and safe to run anywhere, any number at once.  periodiq runs it each minute, each worker's heartbeat each
second, so that a lost message or a dead scheduler costs seconds, not minutes.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from itertools import groupby
from operator import itemgetter

from autoposter.clock import Clock
from autoposter.database import DATABASE_ERROR, is_refused, reason_away
from autoposter.refusals import move_all
from autoposter.store import dispatch, ledger, preparations
from autoposter.store.dispatch import Dispatched

log = logging.getLogger(__name__)

#: Messages reach a worker this long before the due time; the gate then holds the attempt to the millisecond.
ETA_LEAD = timedelta(milliseconds=400)

#: "Publish post N", to be delivered after a delay.
Hint = tuple[int, timedelta]

#: Puts hints on the broker.
Send = Callable[[Sequence[Hint]], None]

#: So many are sent in one go: the first ones shall not wait for a thousand.
SENT_TOGETHER = 100


#: Of the posts of one account that a scan finds, so many go out with everybody's; the others may be overtaken.  Where
#: none could be, 300 posts of one account that fell due at one moment made others' up to 2.6 s late.
CROWD = 16

#: So many hints of overdue posts may wait on the broker, enough until the next scan.  More would only grow old there,
#: and be dispatched again.
WAITING_BEHIND = 200


#: The share of its time that a process may spend on looking for overdue posts and finding none.  Those of disabled
#: accounts are read each time, and are none: 100,000 of them took 0.11 s.
FRUITLESS_SHARE = 0.05

#: And never longer than this: a look that the database held up for seconds says nothing about the next one.
LONGEST_PACE = timedelta(seconds=5)


class Pace:
    """When to look for overdue posts again: after a look that read everything and found little, not at once."""

    def __init__(self) -> None:
        self._again_at = 0.0

    def is_time(self) -> bool:
        """Whether to look now."""
        return self.left == timedelta(0)

    def took(self, seconds: float, *, fruitless: bool) -> None:
        """Note how long a look took."""
        pause = min(seconds / FRUITLESS_SHARE, LONGEST_PACE.total_seconds()) if fruitless else 0
        self._again_at = time.monotonic() + pause

    @property
    def left(self) -> timedelta:
        """How long until it is time."""
        return timedelta(seconds=max(0.0, self._again_at - time.monotonic()))


@dataclass(frozen=True, slots=True)
class Found:
    """What a scan found."""

    posts: int
    more: bool
    """Whether there may be more to dispatch at once."""


def dispatch_due_posts(
    send: Send,
    clock: Clock,
    *,
    max_lateness: timedelta | None,
    room: int,
    send_behind: Send | None = None,
    pace: Pace | None = None,
) -> Found:
    """Dispatch the posts that fall due within seconds, then overdue ones.

    `room`: for how many overdue ones the broker has room.  `send_behind`: for messages that all others may overtake.
    `pace`: of the scans of this process; None: overdue posts are looked for in any case.

    The marks are committed before anything is sent: killed in between, the posts are overdue by two seconds and
    dispatched again.  Raises what `send` raises, after the marks of what was not sent are taken back.
    """
    send_behind = send_behind or send
    on_time = move_all(
        partial(dispatch.mark_on_time, max_lateness=max_lateness),
        partial(dispatch.find_on_time, max_lateness=max_lateness),
        "dispatched",
    )
    first, crowds = _without_crowds(on_time)
    _send_all([(post, send) for post in first] + [(post, send_behind) for post in crowds], clock)
    overdue = _overdue(room, max_lateness, pace or Pace()) if room else []
    _send_all([(post, send_behind) for post in overdue], clock)
    return Found(len(on_time) + len(overdue), more=len(on_time) == dispatch.BATCH or len(overdue) == room)


def _without_crowds(due: Sequence[Dispatched]) -> tuple[list[Dispatched], list[Dispatched]]:
    """The posts that go first, and those of a crowd: so many of their account come before them."""
    first: list[Dispatched] = []
    crowds: list[Dispatched] = []
    seen: Counter[int] = Counter()
    for post in due:
        seen[post.account_id] += 1
        (first if seen[post.account_id] <= CROWD else crowds).append(post)
    return first, crowds


def _overdue(room: int, max_lateness: timedelta | None, pace: Pace) -> list[Dispatched]:
    if not pace.is_time():
        return []
    began = time.monotonic()
    found = move_all(
        partial(dispatch.mark_overdue, max_lateness=max_lateness, limit=room),
        partial(dispatch.find_overdue, max_lateness=max_lateness, limit=room),
        "dispatched",
    )
    pace.took(time.monotonic() - began, fruitless=len(found) < room)
    return found


def _send_all(due: Sequence[tuple[Dispatched, Send]], clock: Clock) -> None:
    if due:
        log.info("%s posts are due or about to be: %s", len(due), _some([post for post, _ in due]))
    sent = 0
    try:
        for send, batch in _batches(due):
            send([(post.post_id, max(timedelta(0), post.due_at - clock.now() - ETA_LEAD)) for post in batch])
            sent += len(batch)
    finally:
        if sent < len(due):
            dispatch.take_back([post.post_id for post, _ in due[sent:]])


def _batches(due: Sequence[tuple[Dispatched, Send]]) -> Iterator[tuple[Send, list[Dispatched]]]:
    """What is sent in one go: neighbours that are sent in the same way, `SENT_TOGETHER` at most."""
    for send, neighbours in groupby(due, key=itemgetter(1)):
        posts = [post for post, _ in neighbours]
        for first in range(0, len(posts), SENT_TOGETHER):
            yield send, posts[first : first + SENT_TOGETHER]


def dispatch_again() -> None:
    """Let the next look find again what is near and was dispatched: its messages are lost."""
    try:
        forgotten = dispatch.forget_hints()
    except DATABASE_ERROR as error:
        if not is_refused(error):
            raise
        log.warning("messages were lost with the broker; the posts are dispatched when they are overdue: %s", error)
        return
    if forgotten:
        log.warning("messages were lost with the broker: %s posts are dispatched again", forgotten)


def dispatch_looks(look: Callable[[int], None]) -> int:
    """Dispatch the unknown outcomes that are to be looked at now; returns how many."""
    jobs = dispatch.mark_looks()
    for job_id in jobs:
        look(job_id)
    return len(jobs)


def dispatch_preparations(prepare: Callable[[int], None], *, room: int) -> int:
    """Dispatch posts that are to be prepared, or whose platform is to be asked again; returns how many.

    `room`: for how many this process has threads.  More would stand in the way of what falls due before them, and who
    has finished with one goes on with the next by itself.
    """
    mark, find = partial(preparations.mark, limit=room), partial(preparations.find, limit=room)
    posts = move_all(mark, find, "prepared") if room else []
    for post_id in posts:
        prepare(post_id)
    return len(posts)


def begin_preparing(ahead: Mapping[str, timedelta]) -> int:
    """Let the posts that fall due within their platform's `prepare_ahead` be prepared; returns how many."""
    windows = {platform: window for platform, window in ahead.items() if window > timedelta(0)}
    begin, find = partial(preparations.begin, ahead=windows), partial(preparations.find_to_begin, ahead=windows)
    return len(move_all(begin, find, "begun to be prepared"))


def end_missed_posts(max_lateness: timedelta | None, announce: Callable[[str, int], None]) -> int:
    """End the posts that came too late; returns how many.  With `max_lateness` None none ever does."""
    if max_lateness is None:
        return 0
    ended = move_all(
        partial(dispatch.end_missed, max_lateness=max_lateness),
        partial(dispatch.find_missed, max_lateness=max_lateness),
        "ended as too late",
    )
    for late in ended:
        if late.job_id is None:
            log.error("post %s is Missed: it was never sent within %s", late.post_id, _limit(max_lateness))
            announce("autoposter_post_missed", late.post_id)
        else:
            log.error("post %s is Failed: no time is left to try again within %s", late.post_id, _limit(max_lateness))
            announce("autoposter_post_failed", late.job_id)
    return len(ended)


def _limit(max_lateness: timedelta) -> str:
    return f"AUTOPOSTER_MAX_LATENESS ({max_lateness})"


def mend_stray_posts(max_attempts: int) -> int:
    """Put posts that another program wrote differently back to what the ledger says; returns how many.

    One whose row the database refuses to move, as a trigger of its owner's can, keeps the others from nothing.
    """
    mended = 0
    for post_id in ledger.strays(max_attempts):
        try:
            moved = ledger.mend(post_id, max_attempts)
        except DATABASE_ERROR as error:
            if not is_refused(error):
                raise
            log.error("post %s cannot be put back to what its jobs say: %s", post_id, reason_away(error))
            continue
        if moved:
            mended += 1
            log.warning("post %s was written as %s by another program, and is %s again", post_id, *moved)
    return mended


def _some(due: Sequence[Dispatched]) -> str:
    shown = ", ".join(str(post.post_id) for post in due[:20])
    return shown + (", ..." if len(due) > 20 else "")
