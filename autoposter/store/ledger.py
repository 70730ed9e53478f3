"""The ledger of jobs is the truth about what was sent: posts that another program wrote differently follow it."""

from __future__ import annotations

from datetime import timedelta

from autoposter.database import row, rows, single_statement
from autoposter.store import DUE

#: Rows that were written within so long are compared with the ledger.
LOOK_BACK = timedelta(days=1)


def mend(limit: int = 1000) -> list[tuple[int, str, str]]:
    """Put posts back to what their jobs say; returns each with what was found and what it became.

    Posts that are not `Posted` although a job completed follow their receipt; `Publishing` ones that no open job stands
    behind are due anew (nothing of them is under way).  Found by the time of their last write, or among what is
    overdue, so that the cost does not grow with the table.  A settle that runs meanwhile moves job and post in one
    statement: this sees both before, or both after.
    """
    with single_statement():
        return [
            (int(found["id"]), str(found["was"]), str(found["status"]))
            for found in rows(
                f"""
                with suspect as (
                    select id from post_instance
                     where status not in ('Posted', 'Scheduled') and updated_at > now() - %(look_back)s
                    union all
                    select p.id from post_instance p where {DUE} and p.due_at <= now()
                ), stray as (
                    select p.id, p.status as was, j.id as job_id
                      from suspect
                      join post_instance p on p.id = suspect.id
                      left join publish_job j on j.post_instance_id = p.id
                                             and j.status in ('running', 'unknown', 'completed')
                     where j.status = 'completed' or p.status = 'Publishing' and j.id is null
                     limit %(limit)s
                       for update of p skip locked
                )
                update post_instance p
                   set status = case when j.id is null then 'Scheduled' else 'Posted' end,
                       posted_at = case when j.id is null then p.posted_at else coalesce(j.ended_at, j.finished_at) end,
                       platform_post_id = coalesce(j.platform_post_id, p.platform_post_id),
                       permalink = coalesce(j.permalink, p.permalink),
                       last_error = case when j.id is null then p.last_error end,
                       retry_at = case when j.id is null then p.retry_at end, dispatched_for = null
                  from stray left join publish_job j on j.id = stray.job_id
                 where p.id = stray.id and p.status = stray.was
                returning p.id, stray.was, p.status""",
                {"look_back": LOOK_BACK, "limit": limit},
            )
        ]


def restore_from_ledger(post_id: int) -> str | None:
    """Put a `Scheduled` post back to what its open or completed job says: a stale `save()` publishes nothing twice.

    Returns the status it got; None: its job is running, or gone.  Needs no lock on the job: whatever the job becomes
    next moves the post after us.
    """
    restored = row(
        """
        update post_instance p
           set status = case when j.status = 'completed' then 'Posted'
                             when j.look_at is null then 'Unconfirmed' else 'Publishing' end,
               posted_at = case when j.status = 'completed' then coalesce(j.ended_at, j.finished_at) end,
               platform_post_id = j.platform_post_id, permalink = j.permalink,
               last_error = case when j.status = 'completed' then null else j.error end,
               retry_at = null
          from publish_job j
         where p.id = %(post_id)s and p.status = 'Scheduled'
           and j.post_instance_id = p.id and j.status in ('unknown', 'completed')
        returning p.status""",
        {"post_id": post_id},
    )
    return restored["status"] if restored else None
