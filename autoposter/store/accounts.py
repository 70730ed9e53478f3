"""What people do to channel accounts: connect, disable, enable; and finding them."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from autoposter.database import row, rows, transaction
from autoposter.lifecycle import AccountStatus
from autoposter.models import ChannelAccount


@dataclass(frozen=True, slots=True)
class AccountInfo:
    """An account as people see it: everything but its credentials."""

    id: int
    platform: str
    name: str
    status: AccountStatus
    external_id: str | None
    settings: dict[str, Any]
    has_credentials: bool
    credentials_expire_at: datetime | None
    paused_until: datetime | None
    last_error: str | None
    checked_at: datetime | None
    created_at: datetime

    @property
    def address(self) -> str:
        """`platform:name`, by which no other account is known."""
        return f"{self.platform}:{self.name}"


_SELECT = """
    select id, platform, name, status, external_id, settings, credentials is not null as has_credentials,
           credentials_expire_at, paused_until, last_error, checked_at, created_at
    from channel_account
"""


def insert(platform: str, name: str, settings: dict[str, Any]) -> int | None:
    """A new account without credentials; its id.  None: the platform has an account of that name.

    Of two at once the second waits for the first, and writes only if that did not commit.
    """
    with transaction():
        written = (
            ChannelAccount.insert(platform=platform, name=name, settings=settings)
            .on_conflict(conflict_target=[ChannelAccount.platform, ChannelAccount.name], action="NOTHING")
            .returning(ChannelAccount.id)
            .execute()
        )
        return next((account.id for account in written), None)


def write_credentials(account_id: int, text: str) -> None:
    """Keep an account's encrypted credentials; workers that hold the old ones see by the version that they changed."""
    with transaction():
        ChannelAccount.update(credentials=text, credentials_version=ChannelAccount.credentials_version + 1).where(
            ChannelAccount.id == account_id
        ).execute()


def change_status(account_id: int, *, to: AccountStatus, needs: Collection[AccountStatus]) -> bool:
    """Disable or enable an account.  False: it does not stand in one of the statuses needed (any more).

    An intent looks at the account: of one that comes first, the post goes out; of one that comes second, it does not.
    """
    with transaction():
        return bool(
            ChannelAccount.update(status=to)
            .where((ChannelAccount.id == account_id) & ChannelAccount.status.in_(list(needs)))
            .execute()
        )


def listed() -> list[AccountInfo]:
    """All accounts, by platform and name."""
    with transaction():
        return [_info(found) for found in rows(f"{_SELECT} order by platform, name")]


def by_id(account_id: int) -> AccountInfo | None:
    """The account with that id."""
    with transaction():
        found = row(f"{_SELECT} where id = %(id)s", {"id": account_id})
    return _info(found) if found else None


def by_name(name: str) -> list[AccountInfo]:
    """The accounts of that name, or of that `platform:name`, by platform."""
    with transaction():
        return [
            _info(found)
            for found in rows(
                f"{_SELECT} where name = %(name)s or platform || ':' || name = %(name)s order by platform, id",
                {"name": name},
            )
        ]


def _info(found: dict[str, Any]) -> AccountInfo:
    return AccountInfo(**found | {"status": AccountStatus(found["status"])})
