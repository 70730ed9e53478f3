"""The audit of the books: what must never be, and is looked for all the same."""

from __future__ import annotations

from dataclasses import dataclass

from autoposter.database import rows, transaction

#: How much later than its lease or its next look a job may be, as SQL: recovery looks every second.
PATIENCE = "interval '60 seconds'"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that must not be."""

    check: str
    """Which rule is broken, in a few words that stay the same."""
    post_id: int
    job_id: int | None
    what: str
    """One sentence for a person."""


# Every check selects post_id, job_id and what.  `p` is a post, `j` a job of it.
_CHECKS = {
    "posted without a completed job": """
        select p.id as post_id, null::bigint as job_id,
               'It is Posted, and none of its attempts was completed.' as what
        from post_instance p
        where p.status = 'Posted'
          and exists (select 1 from publish_job j where j.post_instance_id = p.id)
          and not exists (select 1 from publish_job j where j.post_instance_id = p.id and j.status = 'completed')
    """,
    "completed job of a post that is not posted": """
        select p.id as post_id, j.id as job_id,
               format('Attempt %%s was completed, and the post is %%s.', j.attempt, p.status) as what
        from publish_job j join post_instance p on p.id = j.post_instance_id
        where j.status = 'completed' and p.status <> 'Posted'
    """,
    "completed job without a receipt": """
        select j.post_instance_id as post_id, j.id as job_id,
               format('Attempt %%s was completed without a platform id, and nobody resolved it.', j.attempt) as what
        from publish_job j
        where j.status = 'completed' and j.platform_post_id is null and j.evidence -> 'resolved_by' is null
    """,
    "post and receipt differ": """
        select p.id as post_id, j.id as job_id,
               format('The post has the platform id %%L, and its completed attempt %%s has %%L.', p.platform_post_id,
                      j.attempt, j.platform_post_id) as what
        from publish_job j join post_instance p on p.id = j.post_instance_id
        where j.status = 'completed' and p.status = 'Posted' and p.platform_post_id is distinct from j.platform_post_id
    """,
    "scheduled while its outcome is unknown": """
        select p.id as post_id, j.id as job_id,
               format('It is Scheduled, and it is unknown whether attempt %%s went out.', j.attempt) as what
        from publish_job j join post_instance p on p.id = j.post_instance_id
        where j.status = 'unknown' and p.status = 'Scheduled'
    """,
    "publishing without an open job": """
        select p.id as post_id, null::bigint as job_id,
               'It is Publishing, and no attempt is under way.' as what
        from post_instance p
        where p.status = 'Publishing' and not exists (
            select 1 from publish_job j where j.post_instance_id = p.id and j.status in ('running', 'unknown'))
    """,
    "unconfirmed without an unknown job": """
        select p.id as post_id, null::bigint as job_id,
               'It is Unconfirmed, and none of its attempts has an unknown outcome.' as what
        from post_instance p
        where p.status = 'Unconfirmed' and not exists (
            select 1 from publish_job j where j.post_instance_id = p.id and j.status = 'unknown')
    """,
    "lease run out": f"""
        select j.post_instance_id as post_id, j.id as job_id,
               format('Attempt %%s has had no news since %%s, and nobody took it over.', j.attempt, j.lease_until)
                   as what
        from publish_job j
        where j.status = 'running' and j.lease_until < now() - {PATIENCE}
    """,
    "nobody looks": f"""
        select j.post_instance_id as post_id, j.id as job_id,
               format('Whether attempt %%s went out is unknown, and nobody has looked since %%s.', j.attempt,
                      greatest(j.look_at, j.lease_until, j.intent_at)) as what
        from publish_job j join post_instance p on p.id = j.post_instance_id
        where j.status = 'unknown' and p.status <> 'Unconfirmed'
          and greatest(j.look_at, j.lease_until, j.intent_at) < now() - {PATIENCE}
    """,
    "out twice": """
        select j.post_instance_id as post_id, j.id as job_id,
               case when j.evidence ? 'other_receipts'
                    then format('Attempt %%s has the receipt %%s, and another came for it (%%s): this post may be out'
                                ' twice.', j.attempt, j.platform_post_id,
                                (select string_agg(other, ', ')
                                   from jsonb_array_elements_text(j.evidence -> 'other_receipts') other))
                    else format('A receipt (%%s) came for attempt %%s after it had been found not there: this post may'
                                ' be out twice.', j.platform_post_id, j.attempt) end as what
        from publish_job j
        where j.status in ('failed', 'cancelled') and j.platform_post_id is not null or j.evidence ? 'other_receipts'
    """,
    "one receipt for two posts": """
        select j.post_instance_id as post_id, j.id as job_id,
               format('Its platform id %%s is also the one of post %%s.', j.platform_post_id, other.post_instance_id)
                   as what
        from publish_job j join publish_job other
          on other.channel_account_id = j.channel_account_id and other.platform_post_id = j.platform_post_id
         and other.id < j.id and other.post_instance_id <> j.post_instance_id
        where j.status = 'completed' and other.status = 'completed'
    """,
}


def audit() -> list[Finding]:
    """Everything in the books that must not be, by one look at one moment; empty: all is well."""
    every = " union all ".join(
        f"select '{check}' as check, post_id, job_id, what from ({sql}) as f{number}"
        for number, (check, sql) in enumerate(_CHECKS.items())
    )
    with transaction():
        found = rows(f"{every} order by post_id, job_id nulls first")
    return [Finding(**finding) for finding in found]
