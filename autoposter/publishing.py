"""One attempt to publish one post: claim, validate, prepare, hold, intent, hold, call, settle.

Killed before the intent: nothing was sent, the lease runs out, and the post is due anew.  Killed after it: the attempt
is reconciled, never blindly sent again.
"""

from __future__ import annotations

import logging
import shlex
from datetime import timedelta
from typing import Any

from autoposter import lifecycle, refreshing
from autoposter.assembling import Unequipped, examine_media, publisher_class, validated
from autoposter.clock import Stopwatch
from autoposter.database import DATABASE_AWAY, DATABASE_ERROR, UNREADABLE, is_refused, reason_away
from autoposter.lifecycle import (
    INTENT_LASTS,
    AccountStatus,
    Confirmed,
    ErrorKind,
    Outcome,
    Refused,
    Unknown,
    Withdrawn,
)
from autoposter.outcomes import before_the_call, confirmed, declared, log_trace, trouble
from autoposter.preparing import make_ready
from autoposter.publishers import AccountRejected, Delivery, NotReady, Post, Publisher, PublishError, Transient
from autoposter.publishers.base import overrides
from autoposter.publishers.texts import clean
from autoposter.settling import rest, settle, until_written
from autoposter.store import account_states, claims, intents, looks
from autoposter.store.snapshots import Attempt
from autoposter.workbench import Locked, Tools, Workbench, equip

log = logging.getLogger(__name__)

#: The intent is committed this long before the due time: 64 threads committing at one instant took 62 to 82 ms (p99).
INTENT_LEAD = timedelta(milliseconds=150)

#: What an attempt may take beside what its publisher asks for, before its thread counts as lost.
GRACE = timedelta(seconds=30)


def publish_post(post_id: int, bench: Workbench) -> None:
    """Make one attempt, if the post is due and nobody else has it.  Trouble of our own is left to the lease."""
    try:
        attempt = _claim(post_id, bench)
        if attempt is None:
            return
        with bench.leases.hold(attempt.job_id, GRACE):
            carry_out(attempt, bench)
    except DATABASE_AWAY as error:
        log.warning("post %s waits for the database: %s", post_id, error)
    except DATABASE_ERROR as error:
        if not is_refused(error):
            raise
        log.error("post %s cannot be moved, and is left to its lease: %s", post_id, reason_away(error))


def _claim(post_id: int, bench: Workbench) -> Attempt | None:
    try:
        together = bench.claims(post_id) if type(post_id) is int else None  # a message may say anything
        return together or claims.claim(post_id, worker=bench.worker, max_lateness=bench.max_lateness)
    except UNREADABLE as error:
        if isinstance(error, DATABASE_AWAY):
            raise
        log_trace(error, (), "post %s cannot be read", post_id)
        claims.fail_unreadable(post_id, f"Its row cannot be read: {clean(error)}")
        return None


def carry_out(attempt: Attempt, bench: Workbench) -> None:
    """Carry out a claimed attempt and settle it."""
    evidence: dict[str, Any] = {"worker": attempt.worker}
    tools: Tools | None = None
    try:
        kind = publisher_class(attempt, bench.host)
        # Without a `prepare` it has nothing to do before the call that lasts, but a `find` of an earlier attempt.
        making_ready = kind.prepare_timeout if overrides(kind, "prepare") else kind.publish_timeout * 2
        bench.leases.allow(attempt.job_id, making_ready + GRACE)
        if attempt.account.status != AccountStatus.ACTIVE:
            raise Unequipped(_disconnected(attempt))
        examine_media(attempt, bench.shelf)
        with equip(kind, attempt, bench) as tools:
            outcome = _attempt(attempt, tools, bench)
            ended_at = bench.clock.now()
            if isinstance(outcome, Refused) and outcome.kind is ErrorKind.ACCOUNT:
                outcome = _account_rejected(attempt, outcome, tools, evidence, bench)
            evidence |= tools.wire.evidence
    except Unequipped as unequipped:
        outcome, ended_at = _unequipped(attempt, unequipped, bench), None
        cause = unequipped.__cause__  # of media that cannot be had, or a disconnected account, no trace helps
        helps = cause is not None and not isinstance(cause, PublishError)
        log.error("post %s: %s", attempt.post_id, outcome.message, exc_info=helps)
    bench.leases.allow(attempt.job_id, None)
    settle(attempt, outcome, policy=bench.policy, ended_at=ended_at, evidence=evidence, announce=bench.announce)
    if tools:
        bench.leases.allow(attempt.job_id, GRACE)
        rest(tools.publisher, tools.secrets)


def _unequipped(attempt: Attempt, why: Unequipped, bench: Workbench) -> Refused | Withdrawn:
    """A post whose credentials do not open waits for the right key, and uses up no attempt."""
    if isinstance(why, Locked):
        return Withdrawn(why.refusal.message, retry_in=bench.policy.backoff(attempt.attempt), is_told=True)
    return why.refusal


def _disconnected(attempt: Attempt) -> Refused:
    name = attempt.account.name
    command = f"autoposter accounts reconnect {shlex.quote(name)}"
    return Refused(ErrorKind.ACCOUNT, f"The account {name} is disconnected: run `{command}`.")


def _attempt(attempt: Attempt, tools: Tools, bench: Workbench) -> Outcome:
    prepared = _make_ready(attempt, tools, bench)
    if not isinstance(prepared, dict):
        return prepared
    bench.leases.allow(attempt.job_id, CLAIM_TO_CALL + tools.publisher.publish_timeout + GRACE)
    bench.clock.hold_until(attempt.due_at - INTENT_LEAD)
    since_intent = Stopwatch()
    try:
        if not (bench.intents((attempt, prepared)) or intents.intend(attempt, prepared)):
            return Withdrawn("It was changed, switched off or paused in the meantime.")
    except (*DATABASE_AWAY, *DATABASE_ERROR) as error:
        if is_refused(error):
            why = f"The database refuses that it is published: {clean(reason_away(error))}"
            return Withdrawn(why, retry_in=bench.policy.backoff(attempt.attempt), is_told=True)
        if not isinstance(error, DATABASE_AWAY):
            raise
        # Whether it is committed or not, nothing is sent: that much is known, and can be written later.
        return Refused(ErrorKind.TRANSIENT, f"The database did not confirm the intent: {clean(error)}")
    bench.clock.hold_until(attempt.due_at)
    if since_intent.elapsed >= INTENT_LASTS:
        return Refused(ErrorKind.TRANSIENT, "The worker was held up between its intent and the call; nothing was sent.")
    return call(attempt, tools, prepared, promised=since_intent)


#: From the claim to the call an attempt only waits, this long at most.
CLAIM_TO_CALL = claims.CLAIM_LEAD + INTENT_LASTS


def _make_ready(attempt: Attempt, tools: Tools, bench: Workbench) -> dict[str, Any] | Outcome:
    """Validate and prepare: in here nothing can be published.  Returns what is prepared, or why it is not."""
    try:
        problems = validated(tools.publisher, tools.post, tools.secrets)
        if problems:
            return Refused(ErrorKind.CONTENT, " ".join(problems))
        if there := _already_there(attempt, tools):
            return there
        return make_ready(attempt, tools, ahead=False)
    except DATABASE_AWAY:
        raise
    except NotReady:
        if bench.clock.now() > attempt.due_at + tools.publisher.prepare_timeout:
            return Refused(ErrorKind.TRANSIENT, f"It was not ready within {tools.publisher.prepare_timeout}.")
        return Withdrawn("The platform is still preparing the media. It is asked again.")
    except BaseException as error:
        if not isinstance(error, PublishError):
            log_trace(error, tools.secrets, "post %s: its publisher failed before the call", attempt.post_id)
        return before_the_call(error, tools.secrets)


def _already_there(attempt: Attempt, tools: Tools) -> Confirmed | None:
    """Ask once more for an earlier attempt that was looked for and not found.

    An answer that makes no sense to its publisher, such as a proxy's, says nothing of the post: it is asked again.
    """
    if attempt.found_absent is None or tools.earlier_post is None or not can_find(type(tools.publisher)):
        return None
    try:
        return find(attempt, tools, tools.earlier_post, attempt.found_absent["prepared"] or {})
    except (PublishError, *DATABASE_AWAY):
        raise
    except Exception as error:
        log_trace(error, tools.secrets, "post %s: its publisher failed to look for it", attempt.post_id)
        raise Transient(f"It could not be asked whether it is there: {trouble(error, tools.secrets)}") from error


def can_find(kind: type[Publisher]) -> bool:
    """Whether a publisher may be asked for a lost attempt; a BLIND one never is."""
    return kind.delivery is not Delivery.BLIND and overrides(kind, "find")


def find(attempt: Attempt, tools: Tools, post: Post, prepared: dict[str, Any]) -> Confirmed | None:
    """Ask the platform for an attempt whose answer was lost.  An id that another post of the account has is no find."""
    found = tools.publisher.find(post, prepared)
    if found is None:
        return None
    receipt = confirmed(found, tools.secrets)
    return None if looks.belongs_to_another(attempt.post_id, attempt.account.id, receipt.platform_post_id) else receipt


def call(attempt: Attempt, tools: Tools, prepared: dict[str, Any], *, promised: Stopwatch) -> Outcome:
    """The one irreversible call.  `promised` was started with its intent."""
    said: Confirmed | Refused | Unknown | None = None
    what = ""
    try:
        with tools.wire.publishing(tools.publisher.publish_timeout, promised):
            said = confirmed(tools.publisher.publish(tools.post, prepared), tools.secrets)
    except PublishError as error:
        said = declared(error, tools.secrets)
        log.debug("post %s: its publisher said %s", attempt.post_id, said)
    except BaseException as error:
        what = trouble(error, tools.secrets)
        log_trace(error, tools.secrets, "post %s: its publisher failed in the call", attempt.post_id)
    return lifecycle.judge(said, tools.wire.record, trouble=what)


def _account_rejected(
    attempt: Attempt, refusal: Refused, tools: Tools, evidence: dict[str, Any], bench: Workbench
) -> Refused:
    """What follows a rejected account: other credentials, or a disconnected account, or only a refused post."""
    evidence["account_rejected"] = True
    bench.leases.allow(attempt.job_id, refreshing.RIGHT_LASTS + GRACE)
    if again := refreshing.after_rejection(attempt, refusal, tools, bench):
        return again
    if _still_works(tools):
        return refusal
    version = attempt.account.credentials_version
    if until_written(
        lambda: account_states.disconnect(attempt.account.id, credentials_version=version, reason=refusal.message)
    ):
        log.error("%s (%s) is disconnected: %s", attempt.account.platform, attempt.account.name, refusal.message)
        bench.announce("autoposter_account_disconnected", attempt.account.id)
    return refusal


def _still_works(tools: Tools) -> bool:
    """Whether the account's own `check` says that its credentials work; a publisher without one is believed."""
    if not overrides(type(tools.publisher), "check"):
        return False
    try:
        return bool(tools.publisher.check().ok)
    except AccountRejected:
        return False
    except BaseException as error:
        log_trace(error, tools.secrets, "the check of %s failed", tools.publisher.account.name)
        return True  # it says nothing about the credentials: only this post fails
