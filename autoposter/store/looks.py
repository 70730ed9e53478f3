"""Looks at attempts whose outcome is unknown: claimed like posts, each by one worker at a time."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from autoposter.database import row, rows, single_statement
from autoposter.store import BRIEFLY, CLAIMED, DURABLE, STILL_CLAIMED, failures_of
from autoposter.store.leases import LEASE
from autoposter.store.snapshots import Attempt, account_of


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
    cause: str | None
    """Why the outcome is unknown."""


def claim_look(job_id: int, *, worker: str) -> Look | None:
    """Take an unknown outcome to look at it.  None: it is settled, not to be looked at now, or somebody else looks.

    Two looks: the second waits for the first's lock on the job and then sees its lease.
    """
    with single_statement():
        found = row(
            f"""
            update publish_job j
               set worker = %(worker)s, lease_until = now() + %(lease)s, looks = j.looks + 1
              from post_instance p, channel_account a
             where j.id = %(job_id)s and j.status = 'unknown'
               and j.look_at <= now() + %(early)s and (j.lease_until is null or j.lease_until < now())
               and p.id = j.post_instance_id and a.id = j.channel_account_id
            returning j.id as job_id, j.post_instance_id as post_id, j.attempt, j.content, j.idempotency_key,
                j.scheduled_for, coalesce(j.prepared, '{{}}') as prepared, j.looks, j.intent_at, j.ended_at,
                j.error as cause,
                coalesce((j.evidence ->> 'sent_again_at')::timestamptz, j.intent_at) as called_at,
                a.id as account_id, a.platform, a.name, a.external_id, a.settings, a.credentials,
                a.credentials_version, a.status as account_status,
                (select min(e.intent_at) from publish_job e where e.post_instance_id = p.id) as attempted_at,
                {failures_of("p.id", "j.scheduled_for")} as failures""",
            {"job_id": job_id, "worker": worker, "lease": LEASE, "early": LEASE},
        )
    if found is None:
        return None
    attempt = Attempt(
        job_id=found["job_id"],
        post_id=found["post_id"],
        worker=worker,
        attempt=found["attempt"],
        account=account_of(found),
        content=found["content"],
        idempotency_key=found["idempotency_key"],
        scheduled_for=found["scheduled_for"],
        due_at=found["scheduled_for"],
        prepared=found["prepared"],
        attempted_at=found["attempted_at"],
        failures=found["failures"],
        rate_limits=0,
        was_rejected=False,
        found_absent=None,
    )
    return Look(attempt, found["looks"], found["intent_at"], found["called_at"], found["ended_at"], found["cause"])


def put_off_unreadable(job_id: int, *, worker: str, pause: timedelta, give_up_after: timedelta) -> int | None:
    """Look later at an attempt whose row cannot be read; so long after its intent a person decides.

    Returns the job that was handed to a person.  A look that another worker has begun meanwhile is left to it.
    """
    with single_statement():
        given_up = row(
            f"""
            {BRIEFLY}
            with job as (
                update publish_job
                   set lease_until = null,
                       look_at = case when intent_at > now() - %(give_up_after)s then now() + %(pause)s end
                 where id = %(job_id)s and status = 'unknown' and worker = %(worker)s and lease_until is not null
                returning id, look_at, {CLAIMED}
            )
            update post_instance p set status = 'Unconfirmed'
              from job where job.look_at is null and {STILL_CLAIMED}
            returning job.id as id""",
            {"job_id": job_id, "worker": worker, "pause": pause, "give_up_after": give_up_after},
        )
    return int(given_up["id"]) if given_up else None


def send_again(look: Look) -> datetime | None:
    """Allow the second request of a KEYED attempt; from now on its call counts as not ended.  None: it may not be sent.

    The same guards as an intent's, but for the post's state: it is `Publishing` since the first request.
    """
    with single_statement():
        allowed = row(
            DURABLE
            + """
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
    """Whether another post of the account, or an attempt at one, already has this id: then it was not found.

    The attempts too: a post may be written over by another program, and a receipt that came too late stands on its job
    alone.
    """
    with single_statement():
        return bool(
            rows(
                """
                select from post_instance
                 where channel_account_id = %(account_id)s and platform_post_id = %(id)s and id <> %(post_id)s
                union all
                select from publish_job
                 where channel_account_id = %(account_id)s and platform_post_id = %(id)s
                   and post_instance_id <> %(post_id)s
                limit 1""",
                {"account_id": account_id, "id": platform_post_id, "post_id": post_id},
            )
        )
