"""What a check-up reads: who works, who waits, and which accounts need somebody."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from autoposter.database import row, rows, single_statement
from autoposter.lifecycle import AccountStatus
from autoposter.store import DUE


@dataclass(frozen=True, slots=True)
class LivingWorker:
    """A worker process that gave a sign of life lately."""

    id: str
    version: str
    platforms: list[str]
    clock_offset: timedelta
    """How far the database's clock is ahead of the worker's."""


def living_workers(seen_within: timedelta) -> list[LivingWorker]:
    """The worker processes that were seen within this time, the longest running first."""
    with single_statement():
        return [
            LivingWorker(**found)
            for found in rows(
                "select id, version, platforms, clock_offset from worker"
                " where seen_at > now() - %(within)s order by started_at, id",
                {"within": seen_within},
            )
        ]


@dataclass(frozen=True, slots=True)
class Waiting:
    """Posts that need somebody, or should have been out by now."""

    overdue: int
    """Due for more than a minute, and nobody is at work on them."""
    unconfirmed: int
    problems: int
    """Scheduled posts that were refused, or would be: `posts list --problems`."""


def waiting() -> Waiting:
    """How many posts wait."""
    with single_statement():
        found = row(
            f"""
            select (select count(*) from post_instance p join channel_account a on a.id = p.channel_account_id
                     where {DUE} and p.due_at < now() - interval '1 minute' and a.status <> 'disabled'
                       and not exists (select from publish_job j where j.post_instance_id = p.id
                                          and j.status in ('running', 'unknown'))) as overdue,
                   (select count(*) from post_instance where status = 'Unconfirmed') as unconfirmed,
                   (select count(*) from post_instance p where {DUE} and p.last_error is not null) as problems"""
        )
    assert found is not None  # an aggregate always has its row
    return Waiting(**found)


@dataclass(frozen=True, slots=True)
class AccountHealth:
    """An account, as far as a check-up looks at it."""

    id: int
    platform: str
    name: str
    status: AccountStatus
    credentials: str | None
    """Encrypted."""
    credentials_expire_at: datetime | None
    refresh_at: datetime | None
    """When a worker gets new credentials; None: nobody does."""
    refresh_failures: int
    last_error: str | None


def accounts() -> Iterator[AccountHealth]:
    """All accounts that are not disabled, by platform and name."""
    with single_statement():
        found = rows(
            "select id, platform, name, status, credentials, credentials_expire_at,"
            " refresh_at, refresh_failures, last_error"
            " from channel_account where status <> 'disabled' order by platform, name"
        )
    for each in found:
        yield AccountHealth(**each | {"status": AccountStatus(each["status"])})
