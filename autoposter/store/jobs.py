"""The moves of a job that its own worker makes, and behind it of its post: intent, and the ways to settle.

Locks are taken in one order: job, then post.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from autoposter.database import row, rows, single_statement
from autoposter.lifecycle import Confirmed, ErrorKind, Settlement, Status
from autoposter.plans import Planned
from autoposter.store import BRIEFLY, CLAIMED, SHORTLY, STILL_CLAIMED


@dataclass(frozen=True, slots=True)
class Ending:
    """How an attempt, or a look at one, ended: what the books are told."""

    job_id: int
    worker: str
    settlement: Settlement
    looks: int = 0
    """0: the attempt itself; else which look of a reconciled job this is."""
    ended_at: datetime | None = None
    """When the call was over; None: there was none."""
    error_kind: ErrorKind | None = None
    error: str | None = None
    evidence: dict[str, Any] | None = None
    post_follows: bool = True
    """False: of an unknown outcome the job alone is written; `ledger.mend` moves the post when it can be."""


@dataclass(frozen=True, slots=True)
class Receipt:
    """What the platform answered to the call of a job."""

    job_id: int
    platform_post_id: str
    permalink: str | None
    posted_at: datetime
    """The database's time when the answer had arrived."""
    evidence: dict[str, Any]
    post_follows: bool = True
    """False: the job alone is written, as of an `Ending`."""


#: A job (`j`) that a receipt may complete.  "is true" because it is to be read by its id: without statistics PostgreSQL
#: would read the whole index of what ran or was completed, 0.8 instead of 0.4 ms where it held 2,000 jobs.
_NOT_ENDED = "(j.status in ('running', 'unknown')) is true"


def _complete(value: str) -> str:
    """SQL: complete a job by the values of a receipt, each written as `value` says, and hand on what its post needs."""
    id, permalink, posted_at, evidence = map(value.format, ("platform_post_id", "permalink", "posted_at", "evidence"))
    return f"""
        update publish_job j
           set status = 'completed', platform_post_id = {id}, permalink = {permalink},
               ended_at = coalesce(j.ended_at, {posted_at}), finished_at = now(),
               look_at = null, error_kind = null, error = null,
               evidence = coalesce(j.evidence, '{{}}') || {evidence}"""


def _posted(posted_at: str) -> str:
    """SQL: what becomes of the post of a completed job."""
    return f"""
        update post_instance p
           set status = 'Posted', posted_at = {posted_at}, platform_post_id = job.platform_post_id,
               permalink = job.permalink, last_error = null, retry_at = null, prepare_at = null
          from job where p.id = job.post_instance_id
        returning job.id"""


_SETTLE_FREE_RECEIPTS = Planned(
    "settle_receipts",
    f"""
    with free as (
        select j.id as job_id
          from publish_job j join post_instance p on p.id = j.post_instance_id
         where j.id = any(%(job_ids)s::bigint[]) and {_NOT_ENDED}
           for update of j, p skip locked
    ), asked as (
        select * from unnest(%(job_ids)s::bigint[], %(platform_post_ids)s::text[], %(permalinks)s::text[],
                             %(posted_at)s::timestamptz[], %(evidence)s::jsonb[])
            as asked (job_id, platform_post_id, permalink, posted_at, evidence)
    ), job as (
        {_complete("asked.{}")}
          from asked join free using (job_id) where j.id = asked.job_id and {_NOT_ENDED}
        returning j.id, j.post_instance_id, j.platform_post_id, j.permalink, asked.posted_at
    )
    {_posted("job.posted_at")}""",
    first=SHORTLY,
)


def settle_receipt(receipt: Receipt) -> bool:
    """Write a receipt: lease or no lease, whatever state the post is in.  False: the job had already ended otherwise.

    Against a take-over or a look: whichever locks the job first; a receipt still finds it `unknown`.  Against a person
    who resolves, and a second receipt: a job that has ended keeps that end; see `keep_late_receipt`.
    Raises OperationalError where somebody holds the post's row, as all settlements do.
    """
    then = _posted("%(posted_at)s") if receipt.post_follows else "select id from job"
    with single_statement():
        return bool(
            row(
                f"""
                {BRIEFLY}
                with job as (
                    {_complete("%({})s")}
                     where j.id = %(job_id)s and {_NOT_ENDED}
                    returning j.id, j.post_instance_id, j.platform_post_id, j.permalink
                )
                {then}""",
                asdict(receipt) | {"evidence": json.dumps(receipt.evidence)},
            )
        )


def settle_free_receipts(receipts: Sequence[Receipt]) -> dict[int, bool]:
    """Write those of several receipts that `settle_receipt` would write, where nobody holds their rows.

    Returns the jobs that are completed by it.  Waits for nobody: of what it leaves, `settle_receipt` tells.
    """
    with single_statement():
        completed = rows(
            _SETTLE_FREE_RECEIPTS,
            {
                "job_ids": [receipt.job_id for receipt in receipts],
                "platform_post_ids": [receipt.platform_post_id for receipt in receipts],
                "permalinks": [receipt.permalink for receipt in receipts],
                "posted_at": [receipt.posted_at for receipt in receipts],
                "evidence": [json.dumps(receipt.evidence) for receipt in receipts],
            },
        )
    return {int(job["id"]): True for job in completed}


def keep_late_receipt(job_id: int, receipt: Confirmed) -> bool:
    """Store a receipt on a job that had ended otherwise: without one, or with another id.  Its post is out twice.

    False: the job has this receipt, or a person said that it was posted and knew no id.
    """
    with single_statement():
        return bool(
            row(
                """
                update publish_job
                   set platform_post_id = coalesce(platform_post_id, %(id)s),
                       permalink = case when platform_post_id is null then %(permalink)s else permalink end,
                       evidence = case when platform_post_id is null then evidence
                                       else coalesce(evidence, '{}') || jsonb_build_object('other_receipts',
                                            coalesce(evidence -> 'other_receipts', '[]') || to_jsonb(%(id)s::text)) end
                 where id = %(job_id)s
                   and (status in ('failed', 'cancelled') and platform_post_id is null
                        or status in ('failed', 'cancelled', 'completed') and platform_post_id <> %(id)s
                           and not coalesce((evidence -> 'other_receipts') ? %(id)s, false))
                returning id""",
                {"job_id": job_id, "id": receipt.platform_post_id, "permalink": receipt.permalink},
            )
        )


#: A job that is still ours: the attempt itself, or this very look at it.
_OURS = """id = %(job_id)s and worker = %(worker)s
           and (status = 'running' and %(looks)s = 0 or status = 'unknown' and %(looks)s > 0 and looks = %(looks)s)"""


def settle_refusal(ending: Ending) -> bool:
    """Write that nothing went out: the job `failed` or `cancelled`.  False: the job is no longer ours.

    A take-over or another look that came first has changed the job's status, worker or number of looks.
    """
    post = ending.settlement.post
    with single_statement():
        return bool(
            row(
                f"""
                {BRIEFLY}
                with job as (
                    update publish_job
                       set status = %(job_status)s, error_kind = %(kind)s, error = %(error)s,
                           ended_at = coalesce(case when intent_at is not null then %(ended_at)s::timestamptz end,
                                               ended_at),
                           finished_at = now(), look_at = null,
                           evidence = coalesce(evidence, '{{}}') || %(evidence)s
                     where {_OURS}
                    returning id, {CLAIMED}
                ), post as (
                    update post_instance p
                       set status = coalesce(%(post_status)s, p.status),
                           last_error = case when %(post_status)s is null then p.last_error else %(error)s end,
                           retry_at = case when %(post_status)s = 'Failed' then null
                                           when %(retry_in)s::interval is null then p.retry_at
                                           else now() + %(retry_in)s end,
                           dispatched_for = null
                      from job where {STILL_CLAIMED}
                ), changed as (
                    update post_instance p set dispatched_for = null
                      from job where p.id = job.post_instance_id and p.status = 'Scheduled' and not ({STILL_CLAIMED})
                )
                select id from job""",
                _written(ending) | {"post_status": post, "retry_in": ending.settlement.retry_in},
            )
        )


def settle_unknown(ending: Ending) -> bool:
    """Write that it may have gone out: the job `unknown`, to be looked at.  False: the job is no longer ours.

    The post stays `Publishing`, and keeps the first cause.
    """
    return _keep_unknown(
        ending,
        "status = 'unknown', lease_until = null, look_at = now() + %(look_in)s,"
        " ended_at = coalesce(%(ended_at)s, ended_at), error_kind = %(kind)s, error = %(error)s,",
        post="last_error = %(error)s",
    )


def settle_look(ending: Ending, *, look_at: datetime) -> bool:
    """Write that a look learnt nothing final, and when to look next.  False: the job is no longer ours."""
    return _keep_unknown(
        ending,
        "lease_until = null, look_at = %(look_at)s, ended_at = coalesce(%(ended_at)s, ended_at),",
        post=None,
        look_at=look_at,
    )


def give_up_looking(ending: Ending) -> bool:
    """Hand an unknown outcome to a person: the post `Unconfirmed`.  False: the job is no longer ours."""
    return _keep_unknown(ending, "lease_until = null, look_at = null,", post=f"status = '{Status.UNCONFIRMED}'")


def _keep_unknown(ending: Ending, job: str, *, post: str | None, look_at: datetime | None = None) -> bool:
    moves = post is not None and ending.post_follows
    move_post = f"update post_instance p set {post} from job where {STILL_CLAIMED}" if moves else "select"
    with single_statement():
        return bool(
            row(
                f"""
                {BRIEFLY}
                with job as (
                    update publish_job set {job} evidence = coalesce(evidence, '{{}}') || %(evidence)s
                     where {_OURS} and intent_at is not null
                    returning id, {CLAIMED}
                ), post as ({move_post})
                select id from job""",
                _written(ending) | {"look_at": look_at, "look_in": ending.settlement.look_in},
            )
        )


def _written(ending: Ending) -> dict[str, Any]:
    return {
        "job_id": ending.job_id,
        "worker": ending.worker,
        "looks": ending.looks,
        "job_status": ending.settlement.job,
        "kind": ending.error_kind,
        "error": ending.error,
        "ended_at": ending.ended_at,
        "evidence": json.dumps(ending.evidence or {}),
    }
