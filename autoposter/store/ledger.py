"""The ledger of jobs is the truth about what was sent: posts that another program wrote differently follow it."""

from __future__ import annotations

from datetime import timedelta

from autoposter.database import row, rows, single_statement
from autoposter.lifecycle import PASSING
from autoposter.store import DUE, failures_of
from autoposter.store.posts import Resolution

#: Rows that were written within so long are compared with the ledger.  Longer than an outcome may stay unknown (24 h):
#: a row that was written over at its beginning is still looked at when it is given up.
LOOK_BACK = timedelta(days=2)

_SUSPECTS = f"""
                        select id from post_instance
                         where status not in ('Posted', 'Scheduled') and updated_at > now() - %(look_back)s
                        union all
                        select p.id from post_instance p where {DUE} and p.due_at <= now()"""

#: What becomes of a post (`p`) by its open or completed job, else by its last one.  As a lateral join, which can only
#: be a look at the index, however many jobs there are.
_SAYS = f"""
                        select case when j.status = 'running' then p.status
                                    when j.status = 'completed' then 'Posted'
                                    when j.status = 'unknown' and j.look_at is null then 'Unconfirmed'
                                    when j.status = 'unknown' then 'Publishing'
                                    when j.evidence ->> 'resolution' = '{Resolution.RETRY}' then 'Scheduled'
                                    when j.error_kind <> all(%(passing)s)
                                         or %(max_attempts)s <= {failures_of("p.id", "p.scheduled_for")} then 'Failed'
                                    else 'Scheduled' end as becomes,
                               coalesce(j.ended_at, j.finished_at) as ended_at, j.platform_post_id, j.permalink, j.error
                          from publish_job j
                         where j.post_instance_id = p.id
                         order by j.status in ('running', 'unknown', 'completed') desc, j.attempt desc
                         limit 1"""


#: A post (`p`) with what its jobs say (`j`), where that is not what stands there.
_STRAY = f"""
                      from post_instance p left join lateral ({_SAYS}) j on true
                     where {{which}}
                       and (j.becomes in ('Posted', 'Unconfirmed') and j.becomes <> p.status
                            or p.status = 'Unconfirmed' and j.becomes <> p.status
                            or p.status = 'Publishing' and j.becomes is distinct from p.status)"""


def strays(max_attempts: int, limit: int = 1000) -> list[int]:
    """The posts that do not stand as their jobs say.

    Found by the time of their last write, or among what is overdue, so that the cost does not grow with the table.
    """
    which = f"p.id = any (array({_SUSPECTS}))"
    with single_statement():
        found = rows(
            f"select p.id {_STRAY.format(which=which)} limit %(limit)s",
            {"look_back": LOOK_BACK, "limit": limit, "passing": list(PASSING), "max_attempts": max_attempts},
        )
    return [int(each["id"]) for each in found]


def mend(post_id: int, max_attempts: int) -> tuple[str, str] | None:
    """Put a post back to what its jobs say; what was found and what it became.  None: it is none, or somebody holds it.

    Posts that are not `Posted` although a job completed follow their receipt, and those whose outcome nobody looks for
    any more are `Unconfirmed`, whatever was written there: a person must know.  `Publishing` and `Unconfirmed` ones
    follow their open job, or without one their last: `Failed` after a lasting failure, a person's "not posted" or the
    last attempt of their budget, else due anew (nothing of them is under way).  A settle that runs meanwhile moves job
    and post in one statement, or the job alone: this sees both before, or what is to be mended.
    """
    which = "p.id = %(id)s"
    with single_statement():
        mended = row(
            f"""
            with stray as (
                select p.id, p.status as was, j.* {_STRAY.format(which=which)}
                   for update of p skip locked
            )
            update post_instance p
               set status = coalesce(j.becomes, 'Scheduled'), dispatched_for = null,
                   posted_at = case when j.becomes = 'Posted' then j.ended_at else p.posted_at end,
                   platform_post_id = case when j.becomes = 'Posted' then j.platform_post_id
                                           else p.platform_post_id end,
                   permalink = case when j.becomes = 'Posted' then j.permalink else p.permalink end,
                   last_error = case j.becomes when 'Posted' then null
                                               when 'Failed' then coalesce(j.error, p.last_error)
                                               else p.last_error end,
                   retry_at = case when j.becomes in ('Posted', 'Failed') then null else p.retry_at end
              from stray j
             where p.id = j.id and p.status = j.was
            returning j.was, p.status""",
            {"id": post_id, "passing": list(PASSING), "max_attempts": max_attempts},
        )
    return (str(mended["was"]), str(mended["status"])) if mended else None


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
