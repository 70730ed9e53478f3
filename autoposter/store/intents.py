"""The intent: the promise, committed just before it, to make the one irreversible call.

Locks are taken in one order: job, then post.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from autoposter.database import row, rows, single_statement
from autoposter.plans import Planned
from autoposter.store import DURABLE, SHORTLY
from autoposter.store.snapshots import Attempt

#: So long an intent waits for another program that holds the post's row: a later one would not be acted upon.
LOCK_TIMEOUT = "2s"

#: A job (`j`) that is ours, and has promised nothing yet.  "is true" here and below because rows are to be read by
#: their ids: without statistics PostgreSQL would walk through the index of all jobs or accounts in that state.
_OURS = """(j.status = 'running') is true and j.worker = %(worker)s
                   and j.lease_until > now() and j.intent_at is null"""

_JOB = """
                select j.id, j.post_instance_id, j.scheduled_for, j.channel_account_id,
                       (j.content ->> 'content_item_id')::bigint as content_item_id
                  from publish_job j"""

#: The post of a job, still as it was claimed, and its account still in order.
_AS_CLAIMED = """p.id = job.post_instance_id
                   and p.status = 'Scheduled' and p.autopost_enabled
                   and p.scheduled_for = job.scheduled_for
                   and p.content_item_id = job.content_item_id
                   and p.channel_account_id = job.channel_account_id
                   and a.id = p.channel_account_id and (a.status = 'active') is true
                   and (a.paused_until is null or a.paused_until <= now())"""

#: Still running, by whatever has happened since it was locked.
_STILL_OURS = "(j.status = 'running') is true and j.worker = %(worker)s::text"

_INTEND_FREE = Planned(
    "intend",
    f"""
    with job as (
        {_JOB}
         where j.id = any(%(job_ids)s::bigint[]) and {_OURS}
           for update skip locked
    ), free as (
        select p.id, job.id as job_id
          from post_instance p, job, channel_account a
         where {_AS_CLAIMED}
           for update of p skip locked
    ), post as (
        update post_instance p set status = 'Publishing' from free where p.id = free.id
        returning free.job_id
    )
    update publish_job j set intent_at = now(), prepared = asked.prepared
      from post
      join unnest(%(job_ids)s::bigint[], %(prepared)s::jsonb[]) as asked (job_id, prepared) using (job_id)
     where j.id = post.job_id and {_STILL_OURS}
    returning j.id""",
    first=f"{SHORTLY} {DURABLE}",
)


def intend(attempt: Attempt, prepared: dict[str, Any]) -> bool:
    """Promise the one irreversible call.  False: nothing may be sent.

    The job is locked first: a take-over that comes second finds an intent, one that came first has ended the job.
    The post's owner: a change that comes first makes the post's condition false; one that comes second meets
    `Publishing`.  Raises OperationalError where somebody holds the post's row for longer than `LOCK_TIMEOUT`.
    """
    with single_statement():
        return bool(
            row(
                f"""
                set local lock_timeout = '{LOCK_TIMEOUT}';
                {DURABLE}
                with job as (
                    {_JOB}
                     where j.id = %(job_id)s and {_OURS}
                       for update
                ), post as (
                    update post_instance p set status = 'Publishing'
                      from job, channel_account a
                     where {_AS_CLAIMED}
                    returning p.id
                )
                update publish_job j set intent_at = now(), prepared = %(prepared)s
                  from post
                 where j.id = %(job_id)s and {_STILL_OURS}
                returning j.id""",
                {"job_id": attempt.job_id, "worker": attempt.worker, "prepared": json.dumps(prepared)},
            )
        )


def intend_free(promises: Sequence[tuple[Attempt, dict[str, Any]]], *, worker: str) -> dict[int, bool]:
    """Promise those of several calls of a worker that `intend` would, where nobody holds their rows.

    Returns the jobs that have promised.  Waits for nobody: of what it leaves, `intend` tells.  Against a take-over and
    an owner as `intend`: whoever comes second skips the row, or finds it changed.
    """
    with single_statement():
        promised = rows(
            _INTEND_FREE,
            {
                "job_ids": [attempt.job_id for attempt, _ in promises],
                "worker": worker,
                "prepared": [json.dumps(prepared) for _, prepared in promises],
            },
        )
    return {int(job["id"]): True for job in promised}
