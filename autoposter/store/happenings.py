"""Reads what an event tells: a job as it ended, a post or an account as it stands."""

from __future__ import annotations

from dataclasses import dataclass

from autoposter.database import row, single_statement
from autoposter.store.snapshots import READ, AccountRow, Snapshot, account_of, snapshot_of


@dataclass(frozen=True, slots=True)
class Happened:
    """How a job ended."""

    snapshot: Snapshot
    error: str | None
    platform_post_id: str | None
    permalink: str | None


_ACCOUNT = """a.id as account_id, a.platform, a.name, a.external_id, a.settings, null as credentials,
              a.credentials_version, a.status as account_status"""


def job(job_id: int) -> Happened | None:
    """A job as it ended; None: its post was deleted."""
    with single_statement():
        found = row(
            f"""
            select j.post_instance_id as post_id, j.content, j.idempotency_key, j.scheduled_for, j.intent_at,
                   j.error, j.platform_post_id, j.permalink, {_ACCOUNT}
              from publish_job j join channel_account a on a.id = j.channel_account_id
             where j.id = %(job_id)s""",
            {"job_id": job_id},
        )
    if found is None:
        return None
    snapshot = Snapshot(
        post_id=found["post_id"],
        account=account_of(found),
        content=found["content"],
        idempotency_key=found["idempotency_key"],
        scheduled_for=found["scheduled_for"],
        due_at=found["scheduled_for"],
        prepared={},
        attempted_at=found["intent_at"],
    )
    return Happened(snapshot, found["error"], found["platform_post_id"], found["permalink"])


def post(post_id: int) -> Snapshot | None:
    """A post as it stands; None: it was deleted, or has no content any more."""
    with single_statement():
        found = row(f"{READ} where p.id = %(post_id)s", {"post_id": post_id})
    return snapshot_of(found) if found else None


def account(account_id: int) -> tuple[AccountRow, str] | None:
    """An account as it stands, without its credentials, and its `last_error`."""
    with single_statement():
        found = row(
            f"select {_ACCOUNT}, coalesce(a.last_error, '') as last_error from channel_account a where a.id = %(id)s",
            {"id": account_id},
        )
    return (account_of(found), found["last_error"]) if found else None
