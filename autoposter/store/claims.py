"""The claim: a worker takes a post that is due, and a job with a lease and a snapshot is born.

A claim locks the post and only inserts.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from autoposter.database import row, rows, single_statement, transaction
from autoposter.plans import Planned
from autoposter.store import BRIEFLY, DUE, NOT_CLAIMED, NOT_TOO_LATE, SHORTLY, failures_of, rate_limits_of
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

#: A post (`p`) that may be claimed.  "is true" because it is to be read by its id: without statistics PostgreSQL would
#: take the index of all that is due for several ids.
_CLAIMABLE = f"({DUE}) is true and p.due_at <= now() + %(lead)s::interval and {NOT_CLAIMED}"

_READ = f"""
    {READ}
     where p.id = any(%(post_ids)s::bigint[]) and {_CLAIMABLE} and {NOT_TOO_LATE} and a.status <> 'disabled'"""

# Two statements in one round trip: what is read after the wait for the lock is the content that the owner committed
# with the row.  A post that is under way is not locked: a repeated message must not hold up its intent.
_WAIT_AND_READ = f"""
    set local lock_timeout = '{LOCK_TIMEOUT}';
    set local idle_in_transaction_session_timeout = '{IDLE_TIMEOUT}';
    select from post_instance p
     where p.id = any(%(post_ids)s::bigint[]) and {_CLAIMABLE}
       for update;
    {_READ}"""

# The account too, as the insert's foreign key locks it: whoever holds it would hold up the other posts.
_LOCK_FREE = Planned(
    "claim_lock",
    f"""
    select p.id from post_instance p join channel_account a on a.id = p.channel_account_id
     where p.id = any(%(post_ids)s::bigint[]) and {_CLAIMABLE}
       for update of p skip locked for key share of a skip locked""",
    first=f"{SHORTLY} set local idle_in_transaction_session_timeout = '{IDLE_TIMEOUT}';",
)

_READ_FREE = Planned("claim_read", _READ)

_INSERT = Planned(
    "claim_insert",
    f"""
    insert into publish_job as j (
        post_instance_id, channel_account_id, attempt, status, scheduled_for, content, idempotency_key,
        worker, lease_until)
    select asked.post_id, asked.account_id,
        (select coalesce(max(e.attempt), 0) + 1 from publish_job e where e.post_instance_id = asked.post_id),
        'running', asked.scheduled_for, asked.content, asked.key, %(worker)s::text, now() + %(lease)s::interval
      from unnest(%(post_ids)s::bigint[], %(account_ids)s::bigint[], %(due_times)s::timestamptz[],
                  %(contents)s::jsonb[], %(keys)s::text[])
           as asked (post_id, account_id, scheduled_for, content, key)
    on conflict (post_instance_id) where status in ('running', 'unknown', 'completed') do nothing
    returning j.post_instance_id as post_id, j.id as job_id, j.attempt,
        (select min(e.intent_at) from publish_job e where e.post_instance_id = j.post_instance_id) as attempted_at,
        {failures_of("j.post_instance_id", "j.scheduled_for")} as failures,
        {rate_limits_of("j.post_instance_id", "j.scheduled_for")} as rate_limits,
        (select count(*) > 0 from publish_job e where e.post_instance_id = j.post_instance_id and e.status = 'failed'
            and e.scheduled_for = j.scheduled_for and e.evidence ? 'account_rejected') as was_rejected,
        (select jsonb_build_object('content', e.content, 'idempotency_key', e.idempotency_key, 'prepared', e.prepared)
           from publish_job e where e.post_instance_id = j.post_instance_id and e.status = 'failed' and e.looks > 0
            and e.error_kind <> 'content'
          order by e.attempt desc limit 1) as found_absent""",
)


def claim(post_id: int, *, worker: str, max_lateness: timedelta | None) -> Attempt | None:
    """Take a post that is due, or will be within a second.  None: it is not, or somebody else has it.

    Two claims of one post: the second waits for the first's lock on the post, and its insert then meets the first's
    job.  A claim and an owner's change: whoever locks the row first; a claim that comes second reads the changed row.
    A post whose ledger says that it went out, or may have, is put back to what the ledger says.
    """
    with transaction():
        found = row(_WAIT_AND_READ, _asked([post_id], max_lateness))
        if found is None:
            return None
        if found["account_paused"]:
            _wait_for_the_account(found["post_id"])
            return None
        attempts = _insert([found], worker)
        if not attempts:
            restore_from_ledger(found["post_id"])
            return None
    return attempts[0]


def claim_free(post_ids: Sequence[int], *, worker: str, max_lateness: timedelta | None) -> dict[int, Attempt]:
    """Take those of several posts that `claim` would take, where nobody holds their rows; returns them by their ids.

    Waits for nobody: what it leaves may be held, or paused, or not due, and `claim` tells.  Against each other and an
    owner's change as `claim`: whoever comes second skips the row, or reads it as it was committed.
    """
    with transaction():
        free = [found["id"] for found in rows(_LOCK_FREE, _asked(post_ids, max_lateness))]
        found = rows(_READ_FREE, _asked(free, max_lateness)) if free else []
        attempts = _insert([each for each in found if not each["account_paused"]], worker)
    return {attempt.post_id: attempt for attempt in attempts}


def _asked(post_ids: Sequence[int], max_lateness: timedelta | None) -> dict[str, Any]:
    return {"post_ids": list(post_ids), "lead": CLAIM_LEAD, "max_lateness": max_lateness}


def _insert(found: Sequence[dict[str, Any]], worker: str) -> list[Attempt]:
    """A job for each of these posts, but for those whose ledger has one that is open or completed."""
    if not found:
        return []
    contents = {each["post_id"]: content_of(each) for each in found}
    keys = {
        each["post_id"]: idempotency_key(each["post_id"], each["born"], contents[each["post_id"]]) for each in found
    }
    jobs = rows(
        _INSERT,
        {
            "post_ids": [each["post_id"] for each in found],
            "account_ids": [each["account_id"] for each in found],
            "due_times": [each["scheduled_for"] for each in found],
            "contents": [json.dumps(content) for content in contents.values()],
            "keys": list(keys.values()),
            "worker": worker,
            "lease": LEASE,
        },
    )
    read = {each["post_id"]: each for each in found}
    return [_attempt(read[job["post_id"]], job, contents[job["post_id"]], keys[job["post_id"]], worker) for job in jobs]


def _attempt(found: dict[str, Any], job: dict[str, Any], content: dict[str, Any], key: str, worker: str) -> Attempt:
    return Attempt(
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
