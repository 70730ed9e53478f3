"""Leases of running jobs: renewed by their worker, taken over from a dead one.

The heartbeat makes these moves, and waits for nobody: what another holds is skipped, and found again a second later.
Else one foreign transaction that stays open on one post (an intent waits for it, with its job locked) would stop the
renewal of all leases.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta

from autoposter.database import row, rows, single_statement
from autoposter.lifecycle import Settlement
from autoposter.store import CLAIMED, STILL_CLAIMED, failures_of

#: How long a claim is believed without news.  Renewed every 3 s, so two lost renewals are survived.
LEASE = timedelta(seconds=10)


def renew(job_ids: Collection[int], *, worker: str) -> set[int]:
    """Renew the leases of jobs that are still ours; returns which are.

    Against a take-over: whichever locks the job first; the other skips it, and next time sees a lease that runs, or a
    job that ended.
    """
    with single_statement():
        return {
            int(renewed["id"])
            for renewed in rows(
                """
                with ours as (
                    select id from publish_job
                     where id = any(%(ids)s) and worker = %(worker)s and status in ('running', 'unknown')
                       and lease_until is not null
                       for update skip locked
                )
                update publish_job j set lease_until = now() + %(lease)s from ours where j.id = ours.id
                returning j.id""",
                {"lease": LEASE, "ids": list(job_ids), "worker": worker},
            )
        }


def look() -> tuple[datetime, bool]:
    """The database's clock, and whether a lease is over: all that most beats of a heart ask."""
    with single_statement():
        found = row(
            """
            select clock_timestamp() as now,
                   min(lease_until) is not null as over
              from publish_job where status = 'running' and lease_until < now()"""
        )
    assert found
    return found["now"], found["over"]


@dataclass(frozen=True, slots=True)
class Expired:
    """A running job whose worker gave no sign of life until its lease was over."""

    job_id: int
    post_id: int
    worker: str
    intended: bool
    failures: int


def expired(limit: int = 100) -> list[Expired]:
    """The running jobs whose lease is over, the longest first."""
    with single_statement():
        return [
            Expired(**found)
            for found in rows(
                f"""
                select j.id as job_id, j.post_instance_id as post_id, coalesce(j.worker, '') as worker,
                       j.intent_at is not null as intended,
                       {failures_of("j.post_instance_id", "j.scheduled_for")} as failures
                  from publish_job j
                 where j.status = 'running' and j.lease_until < now()
                 order by j.lease_until limit %(limit)s""",
                {"limit": limit},
            )
        ]


#: An expired job that nobody moves at this moment, nor its post.
_FREE = """
                with free as (
                    select j.id as free_id
                      from publish_job j join post_instance p on p.id = j.post_instance_id
                     where j.id = %(job_id)s and j.status = 'running' and j.lease_until < now()
                       for update of j, p skip locked
                ), job as (
                    update publish_job"""


def take_over_unsent(lost: Expired, settlement: Settlement, error: str) -> bool:
    """End an expired job without an intent: nothing was sent.

    False: it was settled, renewed, intended or taken, or somebody holds it or its post.  Against the worker's own
    intent: both lock the job first and look at its lease, one for running, one for over.
    """
    with single_statement():
        return bool(
            row(
                f"""{_FREE}
                       set status = %(job_status)s, error_kind = 'worker_lost', error = %(error)s, finished_at = now()
                      from free
                     where id = free_id and status = 'running' and lease_until < now() and intent_at is null
                    returning id, {CLAIMED}
                ), post as (
                    update post_instance p
                       set status = %(post_status)s, last_error = %(error)s, dispatched_for = null
                      from job where {STILL_CLAIMED}
                )
                select id from job""",
                {
                    "job_id": lost.job_id,
                    "job_status": settlement.job,
                    "post_status": settlement.post,
                    "error": error,
                },
            )
        )


def take_over_sent(lost: Expired, error: str) -> bool:
    """Begin to reconcile an expired job with an intent.  False: it was settled, renewed or taken, or is held."""
    with single_statement():
        return bool(
            row(
                f"""{_FREE}
                       set status = 'unknown', error_kind = 'unknown', error = %(error)s,
                           lease_until = null, look_at = now()
                      from free
                     where id = free_id and status = 'running' and lease_until < now() and intent_at is not null
                    returning id, {CLAIMED}
                ), post as (
                    update post_instance p set last_error = %(error)s from job where {STILL_CLAIMED}
                )
                select id from job""",
                {"job_id": lost.job_id, "error": error},
            )
        )
