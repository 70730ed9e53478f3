"""The moves of the store, as tests make them: each helper brings a post to where a test begins."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from factories import Factories

from autoposter import lifecycle
from autoposter.lifecycle import Confirmed, ErrorKind, Outcome, Refused, RetryPolicy, Unknown
from autoposter.store import claims, intents, jobs, leases, ledger, looks
from autoposter.store.jobs import Ending, Receipt
from autoposter.store.leases import Expired
from autoposter.store.looks import Look
from autoposter.store.snapshots import Attempt

SECOND = timedelta(seconds=1)
DAY = timedelta(days=1)
POLICY = RetryPolicy(max_attempts=8, retry_base=30 * SECOND, retry_cap=900 * SECOND)
RECEIPT = Confirmed("42", "https://example.org/42")
LOST = Refused(ErrorKind.WORKER_LOST, "lost")


def claim(post: int, worker: str = "w1", max_lateness: timedelta | None = DAY) -> Attempt | None:
    return claims.claim(post, worker=worker, max_lateness=max_lateness)


_alone = (claims.claim, intents.intend, jobs.settle_receipt)


def claim_with_others(post_id: int, *, worker: str, max_lateness: timedelta | None) -> Attempt | None:
    """As a thread makes it: first with what others claim, and alone what is left."""
    asked = [post_id] if type(post_id) is int else []
    free = claims.claim_free(asked, worker=worker, max_lateness=max_lateness)
    return free.get(post_id) or _alone[0](post_id, worker=worker, max_lateness=max_lateness)


def intend_with_others(attempt: Attempt, prepared: dict[str, Any]) -> bool:
    free = intents.intend_free([(attempt, prepared)], worker=attempt.worker)
    return attempt.job_id in free or _alone[1](attempt, prepared)


def settle_with_others(receipt: Receipt) -> bool:
    return receipt.job_id in jobs.settle_free_receipts([receipt]) or _alone[2](receipt)


def mend_all(max_attempts: int = 8) -> list[tuple[int, str, str]]:
    """Each stray post, what was found and what it became."""
    strays = ledger.strays(max_attempts)
    return [(post, *moved) for post in strays if (moved := ledger.mend(post, max_attempts))]


def claimed(post: int, worker: str = "w1") -> Attempt:
    attempt = claim(post, worker)
    assert attempt is not None
    return attempt


def intended(post: int, worker: str = "w1") -> Attempt:
    attempt = claimed(post, worker)
    assert intents.intend(attempt, {})
    return attempt


def ending(attempt: Attempt, outcome: Outcome, *, looks: int = 0, ended_at: datetime | None = None) -> Ending:
    return Ending(
        job_id=attempt.job_id,
        worker=attempt.worker,
        settlement=lifecycle.settle(outcome, failures=attempt.failures, policy=POLICY),
        looks=looks,
        ended_at=ended_at,
        error_kind=outcome.kind if isinstance(outcome, Refused) else ErrorKind.UNKNOWN,
        error=None if isinstance(outcome, Confirmed) else outcome.message,
        evidence={"seen": "it"},
    )


def refuse(attempt: Attempt, kind: ErrorKind = ErrorKind.TRANSIENT, *, looks: int = 0) -> bool:
    return jobs.settle_refusal(ending(attempt, Refused(kind, "refused", 60 * SECOND), looks=looks))


def unknown(post: int) -> Attempt:
    """An attempt whose outcome is unknown, to be looked at now."""
    attempt = intended(post)
    assert jobs.settle_unknown(ending(attempt, Unknown("no answer"), ended_at=datetime.now(UTC)))
    return attempt


def looked_at(post: int, worker: str = "w2") -> Look:
    look = looks.claim_look(unknown(post).job_id, worker=worker)
    assert look is not None
    return look


def unconfirmed(post: int) -> Look:
    look = looked_at(post)
    assert jobs.give_up_looking(ending(look.attempt, Unknown("nobody knows"), looks=look.looks))
    return look


def receive(attempt: Attempt, receipt: Confirmed = RECEIPT) -> bool:
    return jobs.settle_receipt(receipt_of(attempt, receipt))


def receipt_of(attempt: Attempt, receipt: Confirmed = RECEIPT, **columns: Any) -> Receipt:
    seen = {"posted_at": datetime.now(UTC), "evidence": {"seen": "it"}} | columns
    return Receipt(attempt.job_id, receipt.platform_post_id, receipt.permalink, **seen)


def take_over(lost: Expired) -> bool:
    """As the heartbeat does."""
    if lost.intended:
        return leases.take_over_sent(lost, "lost")
    return leases.take_over_unsent(lost, lifecycle.settle(LOST, failures=lost.failures, policy=POLICY), "lost")


def forge_job(factories: Factories, post: int, status: str = "failed", **columns: Any) -> int:
    """An earlier job of a post, as it would stand in the ledger."""
    of = factories.row("post_instance", post)
    given = {
        "post_instance_id": post,
        "channel_account_id": of["channel_account_id"],
        "attempt": factories.query("select count(*) + 1 from publish_job where post_instance_id = %s", (post,))[0][0],
        "status": status,
        "scheduled_for": of["scheduled_for"],
        "content": {"caption": "earlier", "content_item_id": of["content_item_id"]},
        "idempotency_key": "earlier",
        "worker": "w0",
        "intent_at": of["scheduled_for"],
        "error_kind": None if status == "completed" else "transient",
        "finished_at": of["scheduled_for"] if status in ("completed", "failed", "cancelled") else None,
    }
    return factories.insert("publish_job", given | columns)


def expire(factories: Factories, attempt: Attempt) -> Expired:
    """Let the lease of an attempt be over; what `expired` says of it."""
    factories.query("update publish_job set lease_until = now() - interval '1 s' where id = %s", (attempt.job_id,))
    return next(lost for lost in leases.expired() if lost.job_id == attempt.job_id)


def expire_right(factories: Factories, account_id: int) -> None:
    """Let the right to refresh an account run out, as if its holder were slow."""
    factories.query("update channel_account set refreshing_until = now() - interval '1 s' where id = %s", (account_id,))
