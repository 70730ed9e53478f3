"""One attempt, from claim to settle: the moves of a job and, behind it, of its post.

Locks are taken in one order: job, then post.  A claim locks the post and only inserts.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from autoposter.database import row, rows, single_statement, transaction
from autoposter.lifecycle import Confirmed, ErrorKind, Settlement, Status
from autoposter.store import DUE, NOT_TOO_LATE

#: How long a claim is believed without news.  Renewed every 3 s, so two lost renewals are survived.
LEASE = timedelta(seconds=10)

#: A post is claimed at most this long before it is due: until then its content may still be edited.
CLAIM_LEAD = timedelta(seconds=1)

#: So long a claim waits for another program that holds the post's row.
LOCK_TIMEOUT = "5s"

#: The namespace of idempotency keys (a random UUID, fixed for ever).
KEY_NAMESPACE = uuid.UUID("5f0e4c0e-6d0b-4a53-9a55-0c3f3a0a3a55")


@dataclass(frozen=True, slots=True)
class AccountRow:
    """The account of an attempt as it stood when the attempt was claimed."""

    id: int
    platform: str
    name: str
    external_id: str | None
    settings: dict[str, Any]
    credentials: str | None
    credentials_version: int
    status: str


@dataclass(frozen=True, slots=True)
class Attempt:
    """A claimed job with all that is needed to carry it out.  Times are the database's, UTC."""

    job_id: int
    post_id: int
    worker: str
    attempt: int
    account: AccountRow
    content: dict[str, Any]
    """The snapshot: `caption`, `link`, `options`, `media`, `content_item_id`."""
    idempotency_key: str
    scheduled_for: datetime
    due_at: datetime
    prepared: dict[str, Any]
    """What `prepare` returned or stored for this very content; empty at first."""
    attempted_at: datetime | None
    """The post's first intent, of whichever attempt."""
    failures: int
    """Failed jobs of this due time, rate limits not counted."""
    was_rejected: bool
    """An earlier attempt of this due time failed because of its credentials."""
    found_absent: dict[str, Any] | None
    """The last attempt that was looked for and not found: its `content`, `idempotency_key` and `prepared`."""


# --- claim -----------------------------------------------------------------------------------------------------------

_LOCK_AND_READ = f"""
    select p.id as post_id, p.content_item_id, p.scheduled_for, p.due_at, p.prepared, p.prepared_key,
           extract(epoch from p.created_at)::text as born,
           a.id as account_id, a.platform, a.name, a.external_id, a.settings, a.credentials, a.credentials_version,
           a.status as account_status, a.paused_until > now() as account_paused,
           coalesce(p.caption, c.caption) as caption, c.link, c.options -> a.platform as options,
           (select coalesce(jsonb_agg(jsonb_build_object(
                       'kind', m.kind, 'source', m.source, 'alt_text', m.alt_text, 'mime_type', m.mime_type)
                       order by m.position, m.id), '[]')
              from media_asset m where m.content_item_id = c.id) as media
      from post_instance p
      join channel_account a on a.id = p.channel_account_id
      join content_item c on c.id = p.content_item_id
     where p.id = %(post_id)s and {DUE} and {NOT_TOO_LATE}
       and p.due_at <= now() + %(lead)s and a.status <> 'disabled'
       for update of p"""

_INSERT = """
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
        (select count(*) from publish_job e where e.post_instance_id = %(post_id)s and e.status = 'failed'
            and e.scheduled_for = %(scheduled_for)s and e.error_kind <> 'rate_limited') as failures,
        exists (select from publish_job e where e.post_instance_id = %(post_id)s and e.status = 'failed'
            and e.scheduled_for = %(scheduled_for)s and e.evidence ? 'account_rejected') as was_rejected,
        (select jsonb_build_object('content', e.content, 'idempotency_key', e.idempotency_key, 'prepared', e.prepared)
           from publish_job e where e.post_instance_id = %(post_id)s and e.status = 'failed' and e.looks > 0
          order by e.attempt desc limit 1) as found_absent"""


def claim(post_id: int, *, worker: str, max_lateness: timedelta | None) -> Attempt | None:
    """Take a post that is due, or will be within a second.  None: it is not, or somebody else has it.

    Two claims of one post: the second waits for the first's lock on the post, and its insert then meets the first's
    job.  A claim and an owner's change: whoever locks the row first; a claim that comes second reads the changed row.
    A post whose ledger says that it went out, or may have, is put back to what the ledger says.
    """
    with transaction():
        found = row(
            f"set local lock_timeout = '{LOCK_TIMEOUT}';" + _LOCK_AND_READ,
            {"post_id": post_id, "lead": CLAIM_LEAD, "max_lateness": max_lateness},
        )
        if found is None:
            return None
        if found["account_paused"]:
            _wait_for_the_account(post_id)
            return None
        content = {name: found[name] for name in ("caption", "link", "options", "media", "content_item_id")}
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
        account=_account(found),
        content=content,
        idempotency_key=key,
        scheduled_for=found["scheduled_for"],
        due_at=found["due_at"],
        prepared=(found["prepared"] or {}) if found["prepared_key"] == key else {},
        **job,
    )


def idempotency_key(post_id: int, born: str, content: dict[str, Any]) -> str:
    """A UUIDv5 over the post and what it says: equal content has an equal key, whoever tries again."""
    said = {name: content[name] for name in ("caption", "link", "options", "media")}
    return str(uuid.uuid5(KEY_NAMESPACE, f"{post_id} {born} {json.dumps(said, sort_keys=True)}"))


def _account(found: dict[str, Any]) -> AccountRow:
    return AccountRow(
        id=found["account_id"],
        platform=found["platform"],
        name=found["name"],
        external_id=found["external_id"],
        settings=found["settings"],
        credentials=found["credentials"],
        credentials_version=found["credentials_version"],
        status=found["account_status"],
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


def fail_unreadable(post_id: int, error: str) -> bool:
    """End a due post whose row cannot be read, so that it harms no other.  False: it is not `Scheduled` (any more)."""
    with single_statement():
        return bool(
            row(
                f"update post_instance p set status = 'Failed', last_error = %(error)s"
                f" where p.id = %(post_id)s and {DUE} and p.due_at <= now() + %(lead)s returning p.id",
                {"post_id": post_id, "error": error, "lead": CLAIM_LEAD},
            )
        )


# --- intent ----------------------------------------------------------------------------------------------------------


def intend(attempt: Attempt, prepared: dict[str, Any]) -> datetime | None:
    """Promise the one irreversible call.  Returns the time of the intent; None: nothing may be sent.

    The job is locked first: a take-over that comes second finds an intent, one that came first has ended the job.
    The post's owner: a change that comes first makes the post's condition false; one that comes second meets
    `Publishing`.
    """
    with single_statement():
        intended = row(
            """
            with job as (
                select j.id, j.post_instance_id, j.scheduled_for, j.channel_account_id,
                       (j.content ->> 'content_item_id')::bigint as content_item_id
                  from publish_job j
                 where j.id = %(job_id)s and j.status = 'running' and j.worker = %(worker)s
                   and j.lease_until > now() and j.intent_at is null
                   for update
            ), post as (
                update post_instance p set status = 'Publishing'
                  from job, channel_account a
                 where p.id = job.post_instance_id
                   and p.status = 'Scheduled' and p.autopost_enabled
                   and p.scheduled_for = job.scheduled_for
                   and p.content_item_id = job.content_item_id
                   and p.channel_account_id = job.channel_account_id
                   and a.id = p.channel_account_id and a.status = 'active'
                   and (a.paused_until is null or a.paused_until <= now())
                returning p.id
            )
            update publish_job j set intent_at = now(), prepared = %(prepared)s
              from post
             where j.id = %(job_id)s and j.status = 'running' and j.worker = %(worker)s
            returning j.intent_at""",
            {"job_id": attempt.job_id, "worker": attempt.worker, "prepared": json.dumps(prepared)},
        )
    return intended["intent_at"] if intended else None


# --- settle ----------------------------------------------------------------------------------------------------------


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


def settle_receipt(job_id: int, receipt: Confirmed, *, posted_at: datetime, evidence: dict[str, Any]) -> bool:
    """Write a receipt: lease or no lease, whatever state the post is in.  False: the job had already ended otherwise.

    Against a take-over or a look: whichever locks the job first; a receipt still finds it `unknown`.  Against a person
    who resolves: a job that a person has ended keeps that end, and the receipt is kept by `keep_late_receipt`.
    """
    with single_statement():
        return bool(
            row(
                """
                with job as (
                    update publish_job
                       set status = 'completed', platform_post_id = %(id)s, permalink = %(permalink)s,
                           ended_at = coalesce(ended_at, %(posted_at)s), finished_at = now(),
                           look_at = null, error_kind = null, error = null,
                           evidence = coalesce(evidence, '{}') || %(evidence)s
                     where id = %(job_id)s and status in ('running', 'unknown')
                    returning post_instance_id
                )
                update post_instance p
                   set status = 'Posted', posted_at = %(posted_at)s, platform_post_id = %(id)s,
                       permalink = %(permalink)s, last_error = null, retry_at = null, prepare_at = null
                  from job where p.id = job.post_instance_id
                returning p.id""",
                {
                    "job_id": job_id,
                    "id": receipt.platform_post_id,
                    "permalink": receipt.permalink,
                    "posted_at": posted_at,
                    "evidence": json.dumps(evidence),
                },
            )
        )


def keep_late_receipt(job_id: int, receipt: Confirmed) -> bool:
    """Store a receipt on a job that was already ended without one: its post is out twice.  False: it has one."""
    with single_statement():
        return bool(
            row(
                "update publish_job set platform_post_id = %(id)s, permalink = %(permalink)s"
                " where id = %(job_id)s and status in ('failed', 'cancelled') and platform_post_id is null"
                " returning id",
                {"job_id": job_id, "id": receipt.platform_post_id, "permalink": receipt.permalink},
            )
        )


#: A job that is still ours: the attempt itself, or this very look at it.
_OURS = """id = %(job_id)s and worker = %(worker)s
           and (status = 'running' and %(looks)s = 0 or status = 'unknown' and looks = %(looks)s)"""

#: The post that a job may move without a receipt: published by it, or still as it was claimed.
_STILL_CLAIMED = """p.id = job.post_instance_id and (
                p.status = 'Publishing'
                or p.status = 'Scheduled' and p.scheduled_for = job.scheduled_for
                   and p.content_item_id = job.content_item_id)"""

_JOB = "post_instance_id, scheduled_for, (content ->> 'content_item_id')::bigint as content_item_id"


def settle_refusal(ending: Ending) -> bool:
    """Write that nothing went out: the job `failed` or `cancelled`.  False: the job is no longer ours.

    A take-over or another look that came first has changed the job's status, worker or number of looks.
    """
    post = ending.settlement.post
    with single_statement():
        return bool(
            row(
                f"""
                with job as (
                    update publish_job
                       set status = %(job_status)s, error_kind = %(kind)s, error = %(error)s,
                           ended_at = coalesce(%(ended_at)s, ended_at), finished_at = now(), look_at = null,
                           evidence = coalesce(evidence, '{{}}') || %(evidence)s
                     where {_OURS}
                    returning id, {_JOB}
                ), post as (
                    update post_instance p
                       set status = coalesce(%(post_status)s, p.status),
                           last_error = case when %(post_status)s is null then p.last_error else %(error)s end,
                           retry_at = case when %(post_status)s = 'Failed' then null
                                           when %(retry_in)s::interval is null then p.retry_at
                                           else now() + %(retry_in)s end,
                           dispatched_for = null
                      from job where {_STILL_CLAIMED}
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
    move_post = f"update post_instance p set {post} from job where {_STILL_CLAIMED}" if post else "select"
    with single_statement():
        return bool(
            row(
                f"""
                with job as (
                    update publish_job set {job} evidence = coalesce(evidence, '{{}}') || %(evidence)s
                     where {_OURS} and intent_at is not null
                    returning id, {_JOB}
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


# --- look ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Look:
    """A claimed look at an attempt whose outcome is unknown."""

    attempt: Attempt
    looks: int
    """Which look this is: 1, 2, ..."""
    intent_at: datetime
    called_at: datetime
    """When the request was last allowed: at the intent, or when it was sent again."""
    ended_at: datetime | None


def claim_look(job_id: int, *, worker: str) -> Look | None:
    """Take an unknown outcome to look at it.  None: it is settled, not to be looked at now, or somebody else looks.

    Two looks: the second waits for the first's lock on the job and then sees its lease.
    """
    with transaction():
        found = row(
            """
            update publish_job j
               set worker = %(worker)s, lease_until = now() + %(lease)s, looks = j.looks + 1
              from post_instance p, channel_account a
             where j.id = %(job_id)s and j.status = 'unknown'
               and j.look_at <= now() + %(early)s and (j.lease_until is null or j.lease_until < now())
               and p.id = j.post_instance_id and a.id = j.channel_account_id
            returning j.id as job_id, j.post_instance_id as post_id, j.attempt, j.content, j.idempotency_key,
                j.scheduled_for, coalesce(j.prepared, '{}') as prepared, j.looks, j.intent_at, j.ended_at,
                coalesce((j.evidence ->> 'sent_again_at')::timestamptz, j.intent_at) as called_at,
                a.id as account_id, a.platform, a.name, a.external_id, a.settings, a.credentials,
                a.credentials_version, a.status as account_status,
                (select min(e.intent_at) from publish_job e where e.post_instance_id = p.id) as attempted_at,
                (select count(*) from publish_job e where e.post_instance_id = p.id and e.status = 'failed'
                    and e.scheduled_for = j.scheduled_for and e.error_kind <> 'rate_limited') as failures""",
            {"job_id": job_id, "worker": worker, "lease": LEASE, "early": LEASE},
        )
    if found is None:
        return None
    attempt = Attempt(
        job_id=job_id,
        post_id=found["post_id"],
        worker=worker,
        attempt=found["attempt"],
        account=_account(found),
        content=found["content"],
        idempotency_key=found["idempotency_key"],
        scheduled_for=found["scheduled_for"],
        due_at=found["scheduled_for"],
        prepared=found["prepared"],
        attempted_at=found["attempted_at"],
        failures=found["failures"],
        was_rejected=False,
        found_absent=None,
    )
    return Look(attempt, found["looks"], found["intent_at"], found["called_at"], found["ended_at"])


def send_again(look: Look) -> datetime | None:
    """Allow the second request of a KEYED attempt; from now on its call counts as not ended.  None: it may not be sent.

    The same guards as an intent's, but for the post's state: it is `Publishing` since the first request.
    """
    with single_statement():
        allowed = row(
            """
            update publish_job j set ended_at = null, evidence = coalesce(j.evidence, '{}') || jsonb_build_object(
                       'sent_again_at', to_jsonb(now()))
              from post_instance p, channel_account a
             where j.id = %(job_id)s and j.status = 'unknown' and j.worker = %(worker)s and j.looks = %(looks)s
               and j.lease_until > now()
               and p.id = j.post_instance_id and p.autopost_enabled
               and a.id = j.channel_account_id and a.status = 'active'
               and (a.paused_until is null or a.paused_until <= now())
            returning now() as at""",
            {"job_id": look.attempt.job_id, "worker": look.attempt.worker, "looks": look.looks},
        )
    return allowed["at"] if allowed else None


def belongs_to_another(post_id: int, account_id: int, platform_post_id: str) -> bool:
    """Whether another post of the account already has this id: then it was not found."""
    with single_statement():
        return bool(
            rows(
                "select from post_instance where channel_account_id = %(account_id)s"
                " and platform_post_id = %(id)s and id <> %(post_id)s limit 1",
                {"account_id": account_id, "id": platform_post_id, "post_id": post_id},
            )
        )


# --- leases ----------------------------------------------------------------------------------------------------------


def renew(job_ids: Collection[int], *, worker: str) -> set[int]:
    """Renew the leases of jobs that are still ours; returns which are.

    Against a take-over: whichever locks the job first; the other then sees a lease that runs, or a job that ended.
    """
    with single_statement():
        return {
            int(renewed["id"])
            for renewed in rows(
                "update publish_job set lease_until = now() + %(lease)s"
                " where id = any(%(ids)s) and worker = %(worker)s and status in ('running', 'unknown')"
                " and lease_until is not null returning id",
                {"lease": LEASE, "ids": list(job_ids), "worker": worker},
            )
        }


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
                """
                select j.id as job_id, j.post_instance_id as post_id, coalesce(j.worker, '') as worker,
                       j.intent_at is not null as intended,
                       (select count(*) from publish_job e where e.post_instance_id = j.post_instance_id
                           and e.status = 'failed' and e.scheduled_for = j.scheduled_for
                           and e.error_kind <> 'rate_limited') as failures
                  from publish_job j
                 where j.status = 'running' and j.lease_until < now()
                 order by j.lease_until limit %(limit)s""",
                {"limit": limit},
            )
        ]


def take_over_unsent(lost: Expired, settlement: Settlement, error: str) -> bool:
    """End an expired job without an intent: nothing was sent.  False: it was settled, renewed, intended or taken.

    Against the worker's own intent: both lock the job first and look at its lease, one for running, one for over.
    """
    with single_statement():
        return bool(
            row(
                f"""
                with job as (
                    update publish_job
                       set status = %(job_status)s, error_kind = 'worker_lost', error = %(error)s, finished_at = now()
                     where id = %(job_id)s and status = 'running' and lease_until < now() and intent_at is null
                    returning id, {_JOB}
                ), post as (
                    update post_instance p
                       set status = %(post_status)s, last_error = %(error)s, dispatched_for = null
                      from job where {_STILL_CLAIMED}
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
    """Begin to reconcile an expired job with an intent.  False: it was settled, renewed or taken meanwhile."""
    with single_statement():
        return bool(
            row(
                f"""
                with job as (
                    update publish_job
                       set status = 'unknown', error_kind = 'unknown', error = %(error)s,
                           lease_until = null, look_at = now()
                     where id = %(job_id)s and status = 'running' and lease_until < now() and intent_at is not null
                    returning id, {_JOB}
                ), post as (
                    update post_instance p set last_error = %(error)s from job where {_STILL_CLAIMED}
                )
                select id from job""",
                {"job_id": lost.job_id, "error": error},
            )
        )
