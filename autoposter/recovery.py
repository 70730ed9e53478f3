"""What a dead worker left, and what nobody knows: leases are taken over, unknown outcomes are looked at until known.

Without an intent nothing was sent, and the post is due anew.  With one, the attempt is reconciled by what its platform
offers: found (FINDABLE), sent again with its key (KEYED), or handed to a person (BLIND).  Always from the attempt's own
snapshot and key, never from the live rows.
"""

from __future__ import annotations

import logging
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from autoposter import lifecycle
from autoposter.assembling import Unequipped, examine_media, publisher_class
from autoposter.clock import Stopwatch
from autoposter.database import DATABASE_AWAY, DATABASE_ERROR, UNREADABLE, is_refused, reason_away
from autoposter.lifecycle import (
    Case,
    Confirmed,
    ErrorKind,
    JobStatus,
    Refused,
    RetryPolicy,
    Settlement,
    Status,
    Step,
)
from autoposter.media import EXAMINE_LASTS
from autoposter.outcomes import log_trace, trouble, words_of
from autoposter.publishers import ContentRejected, Delivery, Publisher, PublishError
from autoposter.publishing import GRACE, call, can_find, find
from autoposter.settling import Announce, announce_nothing, settle, until_settled, until_written
from autoposter.store import jobs, leases, looks
from autoposter.store.jobs import Ending
from autoposter.store.leases import Expired
from autoposter.store.looks import Look
from autoposter.workbench import Tools, Workbench, equip

log = logging.getLogger(__name__)

#: What cannot be looked for, because its publisher is not there or its row cannot be read, is tried this often.
WITHOUT_PUBLISHER = timedelta(minutes=5)

#: What may not be sent again, because its account is paused or it is switched off, is tried again after this at most.
#: No platform was asked that would have to be spared; and a pause of a second must not cost a quarter of an hour.
HELD_BACK = timedelta(seconds=30)


def take_over_expired(policy: RetryPolicy, announce: Announce = announce_nothing) -> int:
    """Take over the jobs whose workers gave no sign of life; returns how many were won.

    One whose row the database refuses to move, as a trigger of its owner's can, keeps the others from nothing.
    """
    won = 0
    for lost in leases.expired():
        try:
            won += _take_over(lost, policy, announce)
        except DATABASE_ERROR as error:
            if not is_refused(error):
                raise
            log.error(
                "post %s cannot be taken over from the worker %s: %s", lost.post_id, lost.worker, reason_away(error)
            )
    return won


def _take_over(lost: Expired, policy: RetryPolicy, announce: Announce) -> bool:
    if lost.intended:
        error = f"The worker {lost.worker} was lost after its intent; it may have been published."
        taken = leases.take_over_sent(lost, error)
    else:
        error = f"The worker {lost.worker} was lost before it sent anything."
        settlement = lifecycle.settle(Refused(ErrorKind.WORKER_LOST, error), failures=lost.failures, policy=policy)
        taken = leases.take_over_unsent(lost, settlement, error)
    if taken:
        log.warning("post %s: %s", lost.post_id, error)
        if not lost.intended and settlement.post is Status.FAILED:
            announce("autoposter_post_failed", lost.job_id)
    return taken


def look(job_id: int, bench: Workbench) -> None:
    """Look at an unknown outcome once, if nobody else does.  Trouble of our own is left to the next look."""
    try:
        claimed = _claim(job_id, bench)
        if claimed is None:
            return
        with bench.leases.hold(claimed.attempt.job_id, GRACE):
            _look(claimed, bench)
    except DATABASE_AWAY as error:
        log.warning("job %s waits for the database: %s", job_id, error)


def _claim(job_id: int, bench: Workbench) -> Look | None:
    try:
        return looks.claim_look(job_id, worker=bench.worker)
    except UNREADABLE as error:
        if isinstance(error, DATABASE_AWAY):
            raise
        log_trace(error, (), "job %s cannot be read", job_id)
        given_up = looks.put_off_unreadable(
            job_id, worker=bench.worker, pause=WITHOUT_PUBLISHER, give_up_after=lifecycle.RECONCILE_FOR
        )
        if given_up is not None:
            log.error("job %s: nobody can tell whether its post was published; it is Unconfirmed", given_up)
            bench.announce("autoposter_post_unconfirmed", given_up)
        return None


def _look(claimed: Look, bench: Workbench) -> None:
    attempt = claimed.attempt
    evidence: dict[str, Any] = {}
    try:
        kind = publisher_class(attempt, bench.host)
        case = _case(claimed, kind, bench)
        bench.leases.allow(attempt.job_id, kind.publish_timeout * 2 + EXAMINE_LASTS + GRACE)
        if kind.delivery is Delivery.KEYED:
            with suppress(Unequipped):  # what is sent again should say what was sent, but need not know it
                examine_media(attempt, bench.shelf)
        with equip(kind, attempt, bench) as tools:
            finding = _take_step(claimed, case, tools, bench)
            evidence |= {f"look_{claimed.looks % 20}": tools.wire.evidence}
        bench.leases.allow(attempt.job_id, None)
    except Unequipped as unequipped:
        finding = _without_publisher(claimed, unequipped.refusal.message, bench)
    _settle_look(claimed, finding, evidence, bench)


@dataclass(frozen=True, slots=True)
class LookAgain:
    """Nothing final was learnt."""

    at: datetime
    why: str
    call_ended_at: datetime | None = None
    """When the request that this look sent again was over."""


@dataclass(frozen=True, slots=True)
class GiveUp:
    """Nobody can tell; a person decides."""


Finding = Confirmed | Refused | LookAgain | GiveUp


def _take_step(claimed: Look, case: Case, tools: Tools, bench: Workbench) -> Finding:
    match lifecycle.next_step(case):
        case Step.FIND:
            finding = _find(claimed, case, tools, bench)
            return GiveUp() if isinstance(finding, LookAgain) and lifecycle.is_last(case) else finding
        case Step.SEND_AGAIN:
            return _send_again(claimed, case, tools, bench)
        case Step.GIVE_UP:
            return GiveUp()
        case Step.WAIT:
            return LookAgain(lifecycle.look_again_at(case), "its call may still run")


def _find(claimed: Look, case: Case, tools: Tools, bench: Workbench) -> Finding:
    attempt = claimed.attempt
    asked_at = bench.clock.now()
    try:
        found = find(attempt, tools, tools.post, attempt.prepared)
    except ContentRejected as error:
        return Refused(ErrorKind.CONTENT, words_of(error, tools.secrets))
    except DATABASE_AWAY:
        raise
    except BaseException as error:
        if not isinstance(error, PublishError):
            log_trace(error, tools.secrets, "post %s: find failed", attempt.post_id)
        return LookAgain(lifecycle.look_again_at(case), trouble(error, tools.secrets))
    if found:
        return found
    if lifecycle.absence_counts(case, asked_at):
        cause = f" ({claimed.cause})" if claimed.cause else ""
        # With a dead worker there was nothing amiss at the platform that should be waited out.
        at_once = timedelta(0) if case.ended_at is None else None
        return Refused(
            ErrorKind.TRANSIENT, f"It was looked for on the platform, and is not there{cause}.", retry_after=at_once
        )
    return LookAgain(lifecycle.look_again_at(case), "it is not there yet")


def _send_again(claimed: Look, case: Case, tools: Tools, bench: Workbench) -> Finding:
    """The same request with the same key: the platform publishes it now, or names what it published before."""
    since_allowed = Stopwatch()
    if not looks.send_again(claimed):
        again = min(lifecycle.look_again_at(case), case.now + HELD_BACK)
        return LookAgain(again, "its account or the post is switched off or paused")
    if since_allowed.elapsed >= lifecycle.INTENT_LASTS:
        return LookAgain(lifecycle.look_again_at(case), "the worker was held up")
    outcome = call(claimed.attempt, tools, claimed.attempt.prepared, promised=since_allowed)
    if isinstance(outcome, Confirmed):
        return outcome
    # A refusal of the second request says nothing about the first.
    return LookAgain(lifecycle.look_again_at(case), outcome.message, call_ended_at=bench.clock.now())


def _case(claimed: Look, kind: type[Publisher], bench: Workbench) -> Case:
    return Case(
        delivery=kind.delivery,
        can_find=can_find(kind),
        intent_at=claimed.intent_at,
        called_at=claimed.called_at,
        ended_at=claimed.ended_at,
        publish_timeout=kind.publish_timeout,
        find_after=kind.find_after,
        key_lasts=kind.key_lasts,
        looks=claimed.looks,
        now=bench.clock.now(),
    )


def _without_publisher(claimed: Look, why: str, bench: Workbench) -> Finding:
    now = bench.clock.now()
    if now >= claimed.intent_at + lifecycle.RECONCILE_FOR:
        return GiveUp()
    return LookAgain(now + WITHOUT_PUBLISHER, why)


def _settle_look(claimed: Look, finding: Finding, evidence: dict[str, Any], bench: Workbench) -> None:
    attempt = claimed.attempt
    match finding:
        case Confirmed() | Refused():
            settle(
                attempt,
                finding,
                policy=bench.policy,
                ended_at=bench.clock.now() if isinstance(finding, Confirmed) else None,
                evidence=evidence,
                looks=claimed.looks,
                announce=bench.announce,
            )
        case LookAgain(at, why, call_ended_at):
            log.info("post %s: looked for it (%s); looking again at %s", attempt.post_id, why, at)
            ending = _ending(claimed, evidence | {"last_look": why}, call_ended_at)
            until_written(lambda: jobs.settle_look(ending, look_at=at))
        case GiveUp():
            ending = _ending(claimed, evidence)
            if until_settled(jobs.give_up_looking, ending, f"that nobody knows of post {attempt.post_id}"):
                log.error("post %s is Unconfirmed: nobody can tell whether it was published", attempt.post_id)
                bench.announce("autoposter_post_unconfirmed", attempt.job_id)


def _ending(claimed: Look, evidence: dict[str, Any], ended_at: datetime | None = None) -> Ending:
    return Ending(
        job_id=claimed.attempt.job_id,
        worker=claimed.attempt.worker,
        settlement=Settlement(JobStatus.UNKNOWN, None),
        looks=claimed.looks,
        ended_at=ended_at,
        evidence=evidence,
    )
