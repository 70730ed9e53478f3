"""Preparing ahead of the due time: uploads and other slow work, so that a video goes out on the second.

No thread waits for a platform: a publisher that raises NotReady is asked again later.  The post stays `Scheduled` and
its owner's; losing all that is prepared costs lateness only.
"""

from __future__ import annotations

import json
import logging
import threading
from datetime import timedelta
from typing import Any

from autoposter.assembling import Unequipped, publisher_class
from autoposter.database import DATABASE_AWAY, UNREADABLE
from autoposter.lifecycle import LONGEST_RETRY_AFTER, ErrorKind, Refused, retry_delay
from autoposter.outcomes import before_the_call, log_trace
from autoposter.publishers import NotReady, Publisher, PublishError
from autoposter.publishers.base import overrides
from autoposter.publishers.texts import clean
from autoposter.store import preparations
from autoposter.store.snapshots import Snapshot
from autoposter.workbench import Tools, Workbench, equip

log = logging.getLogger(__name__)

#: What `prepare` returns is kept in a row: this is its limit, as JSON.
LARGEST_PREPARED = 100_000  # characters

#: A platform is not asked more often than this whether it is ready.
SHORTEST_PAUSE = timedelta(seconds=1)

#: A preparation that finds no thread free for it comes back after this.
NO_THREAD_PAUSE = timedelta(seconds=2)

#: The share of a process's threads that may prepare at the same time.
THREAD_SHARE = 4


class Preparing:
    """Prepares posts ahead, in a quarter of the process's threads at most."""

    def __init__(self, bench: Workbench) -> None:
        self._bench = bench
        self._slots = threading.BoundedSemaphore(2)

    def allow(self, threads: int) -> None:
        """Say how many threads the process has."""
        self._slots = threading.BoundedSemaphore(max(1, threads // THREAD_SHARE))

    def prepare(self, post_id: int) -> None:
        """Prepare a post, or ask its platform whether it is ready.  Trouble of our own is left to the next scan."""
        slots = self._slots
        if not slots.acquire(blocking=False):
            preparations.postpone(post_id, NO_THREAD_PAUSE)
            return
        try:
            snapshot = self._read(post_id)
            if snapshot is not None:
                self._prepare(snapshot)
        except DATABASE_AWAY as error:
            log.warning("preparing post %s waits for the database: %s", post_id, error)
        finally:
            slots.release()

    def _read(self, post_id: int) -> Snapshot | None:
        try:
            return preparations.read(post_id)
        except UNREADABLE as error:
            if isinstance(error, DATABASE_AWAY):
                raise
            log_trace(error, (), "post %s cannot be read", post_id)
            preparations.give_up(post_id, f"Its row cannot be read: {clean(error)}")
            return None

    def _prepare(self, snapshot: Snapshot) -> None:
        try:
            kind = publisher_class(snapshot, self._bench.host)
            if self._bench.clock.now() > snapshot.due_at + kind.prepare_timeout:
                return preparations.give_up(
                    snapshot.post_id, f"It was not ready {kind.prepare_timeout} after it was due."
                )
            with self._bench.leases.watch(kind.prepare_timeout), equip(kind, snapshot, self._bench) as tools:
                refused = self._ask(snapshot, tools)
        except Unequipped as unequipped:
            refused = unequipped.refusal
        if refused is None:
            return None
        log.warning("post %s cannot be prepared (%s): %s", snapshot.post_id, refused.kind, refused.message)
        if refused.kind in (ErrorKind.TRANSIENT, ErrorKind.RATE_LIMITED):
            return preparations.postpone(snapshot.post_id, retry_delay(refused, 1, self._bench.policy))
        return preparations.give_up(snapshot.post_id, refused.message)

    def _ask(self, snapshot: Snapshot, tools: Tools) -> Refused | None:
        try:
            make_ready(snapshot, tools, ahead=True)
        except DATABASE_AWAY:
            raise
        except NotReady:
            return None
        except BaseException as error:
            if not isinstance(error, PublishError):
                log_trace(error, tools.secrets, "preparing post %s failed", snapshot.post_id)
            return before_the_call(error, tools.secrets)
        log.info("post %s is prepared", snapshot.post_id)
        return None


def make_ready(snapshot: Snapshot, tools: Tools, *, ahead: bool) -> dict[str, Any]:
    """Have the publisher prepare, and keep what it says.  Raises NotReady, after its progress is kept, and all else.

    `ahead`: not by an attempt.  An attempt that finds all ready writes nothing.
    """
    publisher: Publisher = tools.publisher
    if not overrides(type(publisher), "prepare"):
        if ahead:
            _keep(snapshot, {}, None)
        return {}
    try:
        prepared = as_prepared(publisher.prepare(tools.post, dict(snapshot.prepared)))
    except NotReady as not_ready:
        again = min(max(not_ready.retry_after, SHORTEST_PAUSE), LONGEST_RETRY_AFTER)
        _keep(snapshot, as_prepared(not_ready.prepared), again)
        raise
    if ahead or prepared != snapshot.prepared:
        _keep(snapshot, prepared, None)
    return prepared


def _keep(snapshot: Snapshot, prepared: dict[str, Any], again: timedelta | None) -> None:
    preparations.keep(snapshot.post_id, snapshot.idempotency_key, prepared, ask_again_in=again)


def as_prepared(value: object) -> dict[str, Any]:
    """What `prepare` returned, if a row can hold it.  Raises TypeError for anything else."""
    if not isinstance(value, dict):
        raise TypeError(f"prepare() must return a dict, and returned {type(value).__name__}")
    text = json.dumps(value, allow_nan=False)
    if len(text) > LARGEST_PREPARED or "\\u0000" in text:
        raise TypeError(f"prepare() returned {len(text)} characters of JSON; {LARGEST_PREPARED} without NUL are kept")
    kept: dict[str, Any] = json.loads(text)
    return kept
