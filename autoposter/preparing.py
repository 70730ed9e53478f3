"""Preparing ahead of the due time: uploads and other slow work, so that a video goes out on the second.

No thread waits for a platform: a publisher that raises NotReady is asked again later.  The post stays `Scheduled` and
its owner's; losing all that is prepared costs lateness only.
"""

from __future__ import annotations

import json
import logging
import reprlib
import threading
from collections.abc import Collection, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from copy import deepcopy
from datetime import timedelta
from typing import Any

from autoposter.assembling import Unequipped, examine_media, publisher_class
from autoposter.database import DATABASE_AWAY, DATABASE_ERROR, UNREADABLE, is_refused, reason_away
from autoposter.lifecycle import LONGEST_RETRY_AFTER, ErrorKind, Refused, retry_delay
from autoposter.media import EXAMINE_LASTS
from autoposter.outcomes import before_the_call, log_trace
from autoposter.publishers import NotReady, Publisher, PublishError
from autoposter.publishers.base import overrides
from autoposter.publishers.texts import clean
from autoposter.settling import rest
from autoposter.store import preparations
from autoposter.store.snapshots import Snapshot
from autoposter.turns import Turns
from autoposter.workbench import Tools, Workbench, equip

log = logging.getLogger(__name__)

#: What `prepare` returns is kept in a row: this is its limit, as JSON.
LARGEST_PREPARED = 100_000  # characters

#: A platform is not asked more often than this whether it is ready.
SHORTEST_PAUSE = timedelta(seconds=1)

#: What found no thread within this is dispatched again by the scan, perhaps to another process.
LONGEST_WAIT = preparations.PAUSE * 2 / 3

#: Shorter secrets are not looked for in what is prepared: a name or a number that happens to stand there is none.
SHORTEST_SECRET = 12  # characters

NOTHING_BESIDE: AbstractContextManager[None] = nullcontext()


class Preparing:
    """Prepares posts ahead."""

    def __init__(self, bench: Workbench, turns: Turns) -> None:
        self._bench = bench
        self._turns = turns
        self._under_way: set[int] = set()
        self._lock = threading.Lock()

    def prepare(self, post_id: int) -> None:
        """Prepare a post, or ask its platform whether it is ready.  Trouble of our own is left to the next scan.

        Without a thread free for it the post waits, and this returns.
        """
        if post_id not in self._under_way:
            self._turns.take(self._prepare_one, post_id, within=LONGEST_WAIT)

    def _prepare_one(self, post_id: int) -> None:
        try:
            snapshot = self._start(post_id)
            if snapshot is not None:
                self._prepare(snapshot)
            self._go_on()
        except DATABASE_AWAY as error:
            log.warning("preparing post %s waits for the database: %s", post_id, error)
        except DATABASE_ERROR as error:
            if not is_refused(error):
                raise
            log.error("post %s cannot be prepared, or another one: %s", post_id, reason_away(error))

    def _go_on(self) -> None:
        """Whoever has finished goes on with what falls due first, and waits for no scan."""
        for post_id in preparations.mark(limit=1) if self._turns.room else ():
            self._turns.wait(self._prepare_one, post_id, within=LONGEST_WAIT)

    def renew(self) -> None:
        """Keep the other processes from preparing too what is being uploaded here, however long it takes."""
        with self._lock:  # who has done meanwhile waits, lest this overwrites when to ask again
            try:
                if self._under_way:
                    preparations.renew(self._under_way)
            except DATABASE_ERROR as error:
                if not is_refused(error):
                    raise
                log.error("others may prepare too what is prepared here: %s", reason_away(error))

    @contextmanager
    def _asking(self, post_id: int) -> Iterator[None]:
        with self._lock:
            self._under_way.add(post_id)
        try:
            yield
        finally:
            with self._lock:
                self._under_way.discard(post_id)

    def _start(self, post_id: int) -> Snapshot | None:
        try:
            return preparations.start(post_id)
        except UNREADABLE as error:
            if isinstance(error, DATABASE_AWAY):
                raise
            log_trace(error, (), "post %s cannot be read", post_id)
            preparations.set_aside(post_id, f"Its row cannot be read: {clean(error)}")
            return None

    def _prepare(self, snapshot: Snapshot) -> None:
        try:
            kind = publisher_class(snapshot, self._bench.host)
            if self._bench.clock.now() > snapshot.due_at + kind.prepare_timeout:
                return preparations.give_up(snapshot, f"It was not ready {kind.prepare_timeout} after it was due.")
            with self._bench.leases.watch(kind.prepare_timeout + EXAMINE_LASTS):
                examine_media(snapshot, self._bench.shelf)
                with equip(kind, snapshot, self._bench) as tools:
                    refused = self._ask(snapshot, tools)
                    rest(tools.publisher, tools.secrets)
        except Unequipped as unequipped:
            return preparations.set_aside(snapshot.post_id, unequipped.refusal.message)
        if refused is None:
            return None
        log.warning("post %s cannot be prepared (%s): %s", snapshot.post_id, refused.kind, refused.message)
        match refused.kind:
            case ErrorKind.TRANSIENT | ErrorKind.RATE_LIMITED:
                return preparations.postpone(snapshot.post_id, retry_delay(refused, 1, self._bench.policy))
            case ErrorKind.ACCOUNT:
                return preparations.set_aside(snapshot.post_id, refused.message)
        return preparations.give_up(snapshot, refused.message)

    def _ask(self, snapshot: Snapshot, tools: Tools) -> Refused | None:
        try:
            prepared = make_ready(snapshot, tools, ahead=True, asking=self._asking(snapshot.post_id))
        except DATABASE_AWAY:
            raise
        except NotReady:
            return None
        except BaseException as error:
            if not isinstance(error, PublishError):
                log_trace(error, tools.secrets, "preparing post %s failed", snapshot.post_id)
            return before_the_call(error, tools.secrets)
        if prepared:  # else it had nothing to prepare
            log.info("post %s is prepared", snapshot.post_id)
        return None


def make_ready(
    snapshot: Snapshot, tools: Tools, *, ahead: bool, asking: AbstractContextManager[None] = NOTHING_BESIDE
) -> dict[str, Any]:
    """Have the publisher prepare, and keep what it says.  Raises NotReady, after its progress is kept, and all else.

    `ahead`: not by an attempt.  An attempt that finds all ready writes nothing.  `asking` lasts while the publisher
    is at it.
    """
    publisher: Publisher = tools.publisher
    if not overrides(type(publisher), "prepare"):
        if ahead:
            preparations.keep(snapshot, {}, ask_again_in=None)
        return {}
    try:
        with asking:
            said = publisher.prepare(tools.post, deepcopy(snapshot.prepared))
        prepared = as_prepared(said, tools.secrets)
    except NotReady as not_ready:
        if not isinstance(not_ready.retry_after, timedelta):
            raise TypeError(f"NotReady needs a timedelta, and has {reprlib.repr(not_ready.retry_after)}") from None
        again = min(max(not_ready.retry_after, SHORTEST_PAUSE), LONGEST_RETRY_AFTER)
        preparations.keep(snapshot, as_prepared(not_ready.prepared, tools.secrets), ask_again_in=again)
        raise
    if ahead or prepared != snapshot.prepared:
        preparations.keep(snapshot, prepared, ask_again_in=None)
    return prepared


def as_prepared(value: object, secrets: Collection[str] = ()) -> dict[str, Any]:
    """What `prepare` returned, if a row can hold it.  Raises TypeError for anything else, and for a secret in it."""
    if not isinstance(value, dict):
        raise TypeError(f"prepare() must return a dict, and returned {type(value).__name__}")
    try:
        text = json.dumps(value, allow_nan=False, ensure_ascii=False)
        text.encode()  # PostgreSQL takes no half characters
    except (TypeError, ValueError, RecursionError) as error:
        raise TypeError(f"prepare() returned what is no JSON: {clean(error, secrets)}") from None
    if len(text) > LARGEST_PREPARED or "\\u0000" in text:
        raise TypeError(f"prepare() returned {len(text)} characters of JSON; {LARGEST_PREPARED} without NUL are kept")
    if any(secret in text for secret in secrets if len(secret) >= SHORTEST_SECRET):
        raise TypeError("prepare() returned one of the account's secrets; that would be kept in the clear")
    kept: dict[str, Any] = json.loads(text)
    return kept
