"""Writing down how an attempt ended, however long the database is away, and saying so in the log."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, TypeVar

from autoposter import lifecycle
from autoposter.database import DATABASE_AWAY, DATABASE_ERROR, UNWRITABLE, is_refused, reason_away
from autoposter.lifecycle import (
    Confirmed,
    ErrorKind,
    Outcome,
    Refused,
    RetryPolicy,
    Settlement,
    Status,
    Unknown,
    Withdrawn,
)
from autoposter.outcomes import log_trace
from autoposter.publishers import Publisher
from autoposter.store import account_states, jobs
from autoposter.store.jobs import Ending, Receipt
from autoposter.store.snapshots import Attempt
from autoposter.together import Together

log = logging.getLogger(__name__)

#: How often a settlement is tried again while the database is away.
TRY_AGAIN = timedelta(seconds=1)

#: Tells of an event (`autoposter_post_published`, ...) of a job, post or account by its id.
Announce = Callable[[str, int], None]


#: Receipts that come at the same moment are written together.
_receipts = Together[Receipt, bool](jobs.settle_free_receipts, key=lambda receipt: receipt.job_id)


def announce_nothing(event: str, about: int) -> None:
    """Where there is nobody to tell."""


def settle(
    attempt: Attempt,
    outcome: Outcome,
    *,
    policy: RetryPolicy,
    ended_at: datetime | None,
    evidence: dict[str, Any],
    looks: int = 0,
    announce: Announce = announce_nothing,
) -> None:
    """Write an outcome of an attempt (`looks` 0), or of a look at it, and log it.

    Returns when it is written, or when the job turns out to be another's.  Raises what `until_written` raises.
    `ended_at`: when the call was over; None: there was none, or nobody saw it end.
    """
    what = f"the outcome of post {attempt.post_id} on {_account(attempt)}"
    settlement = lifecycle.settle(outcome, failures=attempt.failures, rate_limits=attempt.rate_limits, policy=policy)
    ending = Ending(
        job_id=attempt.job_id,
        worker=attempt.worker,
        settlement=settlement,
        looks=looks,
        ended_at=ended_at,
        error_kind=_kind(outcome),
        error=None if isinstance(outcome, Confirmed) else outcome.message,
        evidence=evidence,
    )
    match outcome:
        case Confirmed():
            if _settle_receipt(attempt, outcome, ended_at or attempt.due_at, evidence):
                announce("autoposter_post_published", attempt.job_id)
        case Unknown():
            if until_settled(jobs.settle_unknown, ending, what):
                log.error("post %s on %s: it may have been published: %s", *_which(attempt), outcome.message)
            else:
                _lost(attempt, outcome)
        case Refused() | Withdrawn():
            if until_written(lambda: jobs.settle_refusal(ending), what):
                _log_refusal(attempt, outcome, settlement, policy)
                if settlement.post is Status.FAILED:
                    announce("autoposter_post_failed", attempt.job_id)
            else:
                _lost(attempt, outcome)
            if settlement.pause_account_for:
                _pause(attempt.account.id, _account(attempt), settlement.pause_account_for, outcome.message)


def _pause(account_id: int, name: str, pause: timedelta, reason: str) -> None:
    """Pause an account, if the database takes it now: no thread waits for it, for the next attempt is told the same."""
    try:
        account_states.pause(account_id, pause, reason)
    except DATABASE_AWAY as error:
        log.warning("%s does not pause: %s", name, error)
    else:
        log.warning("%s pauses for %s: %s", name, pause, reason)


def rest(publisher: Publisher, secrets: Collection[str]) -> None:
    """Pause an account whose platform has said that its limits are nearly used up.

    A publisher that cannot say it has no say; where the database cannot take it now, the next attempt asks again.
    """
    try:
        asked = publisher.pause()
    except BaseException as error:  # SystemExit too: it is the plugin's own, and must not end the thread
        log_trace(error, secrets, "%s: its pause() failed", publisher.account.name)
        return
    if not isinstance(asked, timedelta) or asked <= timedelta(0):
        return
    pause = min(asked, lifecycle.LONGEST_RETRY_AFTER)
    name = f"{publisher.platform} ({publisher.account.name})"
    _pause(publisher.account.id, name, pause, "The platform says that its limits are nearly used up.")


T = TypeVar("T")


def until_written(write: Callable[[], T], what: str = "an outcome") -> T:
    """Repeat a move until the database has taken it; returns its verdict.  The log says `what` waits.

    Whatever the database says is trouble of our own, and never the end of a post: what a trigger of the owner's refuses
    waits for the owner.  Raises what no database would ever take: repeated, it would hold the thread and its
    lease for ever; so the lease decides.
    """
    told = False
    while True:
        try:
            return write()
        except Exception as error:
            if isinstance(error, UNWRITABLE) and not isinstance(error, DATABASE_AWAY):
                log.exception("%s cannot be written, and is left to its lease", what)
                raise
            if not told:
                log.error("%s waits for the database: %s", what, error, exc_info=True)
                told = True
            time.sleep(TRY_AGAIN.total_seconds())


End = TypeVar("End", Ending, Receipt)


def until_settled(settle: Callable[[End], bool], end: End, what: str) -> bool:
    """Repeat a settlement that must not be lost until it is written.  Returns and raises as `until_written`.

    Where it refuses to move the post, as a trigger of its owner's can, the job is settled alone: it is the truth about
    what was sent, and the post follows it (`ledger.mend`).  To wait for the owner would hold the thread, and lose a
    receipt with the process.
    """

    def move() -> bool:
        try:
            return settle(end)
        except DATABASE_ERROR as error:
            if not is_refused(error):
                raise
            is_kept = settle(replace(end, post_follows=False))
            log.error("%s is kept on its job, for its post cannot be moved: %s", what, reason_away(error))
            return is_kept

    return until_written(move, what)


def _settle_receipt(attempt: Attempt, receipt: Confirmed, posted_at: datetime, evidence: dict[str, Any]) -> bool:
    # Named in the log while it waits: a process that ends first loses it, and only a person could still enter it.
    what = f"the receipt ({receipt.platform_post_id}) of post {attempt.post_id} on {_account(attempt)}"
    written = Receipt(attempt.job_id, receipt.platform_post_id, receipt.permalink, posted_at, evidence)
    if _together(written) or until_settled(jobs.settle_receipt, written, what):
        late = (posted_at - attempt.due_at) / timedelta(milliseconds=1)
        log.info("post %s is Posted on %s as %s, %.0f ms late", *_which(attempt), receipt.platform_post_id, late)
        return True
    if until_written(lambda: jobs.keep_late_receipt(attempt.job_id, receipt), what):
        log.error(
            "post %s on %s: a receipt (%s) came after its attempt had ended otherwise; it may be out twice",
            *_which(attempt),
            receipt.platform_post_id,
        )
    else:
        log.info("post %s on %s: its receipt (%s) is known, or it is gone", *_which(attempt), receipt.platform_post_id)
    return False


def _together(receipt: Receipt) -> bool:
    """Write a receipt with what other threads write.  False: it was left, or the database is away."""
    try:
        return bool(_receipts(receipt))
    except DATABASE_AWAY:
        return False


def _log_refusal(attempt: Attempt, outcome: Refused | Withdrawn, settlement: Settlement, policy: RetryPolicy) -> None:
    if isinstance(outcome, Withdrawn):
        log.info("post %s on %s was not sent: %s", *_which(attempt), outcome.message)
    elif settlement.post is Status.FAILED:
        log.error("post %s on %s is Failed (%s): %s", *_which(attempt), outcome.kind, outcome.message)
    else:
        wait = settlement.retry_in or timedelta(0)
        count = f" (failure {attempt.failures + 1} of {policy.max_attempts})"
        log.warning(
            "post %s on %s was refused (%s) and is tried again in %.0f s%s: %s",
            *_which(attempt),
            outcome.kind,
            wait.total_seconds(),
            "" if outcome.kind is ErrorKind.RATE_LIMITED else count,  # a rate limit uses up no attempt
            outcome.message,
        )


def _lost(attempt: Attempt, outcome: Refused | Unknown | Withdrawn) -> None:
    log.warning("post %s on %s: another worker has taken this attempt over (%s)", *_which(attempt), outcome.message)


def _which(attempt: Attempt) -> tuple[int, str]:
    return attempt.post_id, _account(attempt)


def _account(attempt: Attempt) -> str:
    return f"{attempt.account.platform} ({attempt.account.name})"


def _kind(outcome: Outcome) -> ErrorKind | None:
    match outcome:
        case Refused():
            return outcome.kind
        case Unknown():
            return ErrorKind.UNKNOWN
    return None
