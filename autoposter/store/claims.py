"""The claim: a worker takes a post that is due, and a job with a lease and a snapshot is born.

A claim locks the post and only inserts.
"""

from __future__ import annotations

import json
from datetime import timedelta

from autoposter.database import row, single_statement, transaction
from autoposter.store import BRIEFLY, DUE, NOT_CLAIMED, NOT_TOO_LATE, failures_of, rate_limits_of
from autoposter.store.leases import LEASE
from autoposter.store.ledger import restore_from_ledger
from autoposter.store.snapshots import READ, Attempt, account_of, content_of, idempotency_key

#: A post is claimed at most this long before it is due: until then its content may still be edited.
CLAIM_LEAD = timedelta(seconds=1)

#: So long a claim waits for another program that holds the post's row.
LOCK_TIMEOUT = "5s"

#: A worker that is frozen in the middle of a claim holds the post's row no longer than a lease would last: then the
#: database ends its transaction.
IDLE_TIMEOUT = "10s"

# Two statements in one round trip: what is read after the wait for the lock is the content that the owner committed
# with the row.  A post that is under way is not locked: a repeated message must not hold up its intent.
_LOCK_AND_READ = f"""
    set local lock_timeout = '{LOCK_TIMEOUT}';
    set local idle_in_transaction_session_timeout = '{IDLE_TIMEOUT}';
    select from post_instance p
     where p.id = %(post_id)s and {DUE} and p.due_at <= now() + %(lead)s
       and {NOT_CLAIMED}
       for update;
    {READ}
     where p.id = %(post_id)s and {DUE} and {NOT_TOO_LATE}
       and p.due_at <= now() + %(lead)s and a.status <> 'disabled'
       and {NOT_CLAIMED}"""

_INSERT = f"""
    insert into publish_job as j (
        post_instance_id, channel_account_id, attempt, status, scheduled_for, content, idempotency_key,
        worker, lease_until)
    values (
        %(post_id)s, %(account_id)s,
        (select coalesce(max(attempt), 0) + 1 from publish_job where post_instance_id = %(post_id)s),
        'running', %(scheduled_for)s, %(content)s, %(key)s, %(worker)s, now() + %(lease)s)
    on conflict (post_instance_id) where status in ('running', 'unknown', 'completed') do nothing
    returning j.id as job_id, j.attempt,
        (select min(e.intent_at) from publish_job e where e.post_instance_id = %(post_id)s) as attempted_at,
        {failures_of("%(post_id)s", "%(scheduled_for)s")} as failures,
        {rate_limits_of("%(post_id)s", "%(scheduled_for)s")} as rate_limits,
        exists (select from publish_job e where e.post_instance_id = %(post_id)s and e.status = 'failed'
            and e.scheduled_for = %(scheduled_for)s and e.evidence ? 'account_rejected') as was_rejected,
        (select jsonb_build_object('content', e.content, 'idempotency_key', e.idempotency_key, 'prepared', e.prepared)
           from publish_job e where e.post_instance_id = %(post_id)s and e.status = 'failed' and e.looks > 0
            and e.error_kind <> 'content'
          order by e.attempt desc limit 1) as found_absent"""


def claim(post_id: int, *, worker: str, max_lateness: timedelta | None) -> Attempt | None:
    """Take a post that is due, or will be within a second.  None: it is not, or somebody else has it.

    Two claims of one post: the second waits for the first's lock on the post, and its insert then meets the first's
    job.  A claim and an owner's change: whoever locks the row first; a claim that comes second reads the changed row.
    A post whose ledger says that it went out, or may have, is put back to what the ledger says.
    """
    with transaction():
        found = row(
            _LOCK_AND_READ,
            {"post_id": post_id, "lead": CLAIM_LEAD, "max_lateness": max_lateness},
        )
        if found is None:
            return None
        post_id = found["post_id"]  # the message may have written it in other words
        if found["account_paused"]:
            _wait_for_the_account(post_id)
            return None
        content = content_of(found)
        key = idempotency_key(post_id, found["born"], content)
        job = row(
            _INSERT,
            {
                "post_id": post_id,
                "account_id": found["account_id"],
                "scheduled_for": found["scheduled_for"],
                "content": json.dumps(content),
                "key": key,
                "worker": worker,
                "lease": LEASE,
            },
        )
        if job is None:
            restore_from_ledger(post_id)
            return None
    return Attempt(
        post_id=post_id,
        worker=worker,
        account=account_of(found),
        content=content,
        idempotency_key=key,
        scheduled_for=found["scheduled_for"],
        due_at=found["due_at"],
        prepared=(found["prepared"] or {}) if found["prepared_key"] == key else {},
        **job,
    )


def _wait_for_the_account(post_id: int) -> None:
    """Move a post behind its account's pause, spread over as long as that lasts, 30 s at most."""
    row(
        """
        update post_instance p
           set dispatched_for = null,
               retry_at = a.paused_until + random() * least(a.paused_until - now(), interval '30 s')
          from channel_account a
         where p.id = %(post_id)s and p.status = 'Scheduled' and a.id = p.channel_account_id and a.paused_until > now()
        returning p.id""",
        {"post_id": post_id},
    )


def fail_unreadable(post_id: int, error: str) -> bool:
    """End a due post whose row cannot be read, so that it harms no other.  False: it is not `Scheduled` (any more)."""
    with single_statement():
        return bool(
            row(
                f"{BRIEFLY} update post_instance p set status = 'Failed', last_error = %(error)s"
                f" where p.id = %(post_id)s and {DUE} and p.due_at <= now() + %(lead)s returning p.id",
                {"post_id": post_id, "error": error, "lead": CLAIM_LEAD},
            )
        )
