"""What people do to channel accounts: connect, reconnect, check, disable, enable, remove; and finding them."""

from __future__ import annotations

import json
import shlex
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from peewee import IntegrityError

from autoposter.database import row, rows, transaction
from autoposter.lifecycle import AccountStatus
from autoposter.models import ChannelAccount
from autoposter.store.snapshots import AccountRow, account_of


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
    refresh_at: datetime | None
    """When a worker gets new credentials; None: nobody does."""
    paused_until: datetime | None
    """None: it does not pause now."""
    last_error: str | None
    checked_at: datetime | None
    created_at: datetime

    @property
    def address(self) -> str:
        """`platform:name`, by which no other account is known."""
        return f"{self.platform}:{self.name}"

    @property
    def typed(self) -> str:
        """The same as it is typed in a shell: a name may have spaces."""
        return shlex.quote(self.address)


_SELECT = """
    select id, platform, name, status, external_id, settings, credentials is not null as has_credentials,
           credentials_expire_at, refresh_at, case when paused_until > now() then paused_until end as paused_until,
           last_error, checked_at, created_at
    from channel_account
"""


@dataclass(frozen=True, slots=True)
class Connection:
    """What is stored of an account's credentials."""

    external_id: str | None
    """Whose they are; None: the platform does not say."""
    credentials: str | None
    """Encrypted; None: there are none."""
    expire_at: datetime | None
    refresh_at: datetime | None
    is_checked: bool
    """Whether the platform has said that they work."""


class IdentityTaken(Exception):
    """Another account of the platform is connected as this identity already.  Nothing was written."""


def insert(platform: str, name: str, settings: dict[str, Any], external_id: str | None = None) -> int | None:
    """A new account without credentials; its id.  None: the platform has an account of that name or identity.

    Of two at once the second waits for the first, and writes only if that did not commit.
    """
    with transaction():
        written = (
            ChannelAccount.insert(platform=platform, name=name, settings=settings, external_id=external_id)
            .on_conflict_ignore()
            .returning(ChannelAccount.id)
            .execute()
        )
        return next((account.id for account in written), None)


def connect(account_id: int, settings: dict[str, Any], new: Connection) -> bool:
    """Give an account credentials, and set it active unless it is disabled.  False: it is somebody else's account.

    A refresh under way, a rejection and a check count for the credentials that they looked at: they find another
    version, and change nothing.  Raises IdentityTaken.
    """
    with _one_identity(), transaction():
        return bool(
            row(
                """
                update channel_account
                   set settings = %(settings)s, external_id = coalesce(external_id, %(external_id)s),
                       credentials = %(credentials)s, credentials_version = credentials_version + 1,
                       credentials_expire_at = %(expire_at)s, refresh_at = %(refresh_at)s, refresh_failures = 0,
                       refreshing_until = null, expiry_warned_at = null, last_error = null,
                       checked_at = case when %(is_checked)s then now() else checked_at end,
                       status = case when status = 'disabled' then status else 'active' end
                 where id = %(id)s
                   and (external_id is null or %(external_id)s::text is null or external_id = %(external_id)s)
                returning id""",
                {"id": account_id, "settings": json.dumps(settings)} | asdict(new),
            )
        )


def works(
    account_id: int,
    *,
    credentials_version: int,
    external_id: str | None,
    expire_at: datetime | None,
    refresh_at: datetime | None,
) -> bool:
    """Note that a check went well: a disconnected account is active again.  False: it has other credentials by now.

    What the check did not say (None) stays as it was.  Raises IdentityTaken.
    """
    with _one_identity(), transaction():
        return bool(
            row(
                """
                update channel_account
                   set external_id = coalesce(external_id, %(external_id)s), checked_at = now(), last_error = null,
                       credentials_expire_at = coalesce(%(expire_at)s, credentials_expire_at),
                       refresh_at = coalesce(%(refresh_at)s, refresh_at),
                       status = case when status = 'disconnected' then 'active' else status end
                 where id = %(id)s and credentials_version = %(version)s
                returning id""",
                {
                    "id": account_id,
                    "version": credentials_version,
                    "external_id": external_id,
                    "expire_at": expire_at,
                    "refresh_at": refresh_at,
                },
            )
        )


@contextmanager
def _one_identity() -> Iterator[None]:
    try:
        yield
    except IntegrityError as error:
        raise IdentityTaken from error


def read(account_id: int) -> AccountRow | None:
    """An account with its encrypted credentials."""
    with transaction():
        found = row(
            "select id as account_id, platform, name, external_id, settings, credentials, credentials_version,"
            " status as account_status from channel_account where id = %(id)s",
            {"id": account_id},
        )
    return account_of(found) if found else None


def remove(account_id: int) -> bool:
    """Delete an account with its credentials.  False: it has posts, and stays.

    A post that is inserted first keeps it; one that comes second finds no account.
    """
    try:
        with transaction():
            ChannelAccount.delete().where(ChannelAccount.id == account_id).execute()
    except IntegrityError:
        return False
    return True


def by_identity(platform: str, external_id: str) -> AccountInfo | None:
    """The account that is connected as this identity."""
    with transaction():
        found = row(
            f"{_SELECT} where platform = %(platform)s and external_id = %(external_id)s",
            {"platform": platform, "external_id": external_id},
        )
    return _info(found) if found else None


# --- keys ------------------------------------------------------------------------------------------------------------


def sealed_after(account_id: int, limit: int) -> list[tuple[int, str]]:
    """The next accounts that have credentials, by id: the id and the encrypted text of each."""
    with transaction():
        found = rows(
            "select id, credentials from channel_account where id > %(id)s and credentials is not null"
            " order by id limit %(limit)s",
            {"id": account_id, "limit": limit},
        )
    return [(account["id"], account["credentials"]) for account in found]


def sealed(ids: Collection[int]) -> list[tuple[int, str]]:
    """Those of these accounts that have credentials, as `sealed_after` gives them."""
    with transaction():
        found = rows(
            "select id, credentials from channel_account where id = any(%(ids)s::bigint[]) and credentials is not null"
            " order by id",
            {"ids": list(ids)},
        )
    return [(account["id"], account["credentials"]) for account in found]


def reseal(changes: Collection[tuple[int, str, str]]) -> set[int]:
    """Put other encrypted texts of the same credentials in place: (id, old, new) of each; returns whose.

    A row whose text has changed meanwhile stays as it is.  The version stays, for the credentials are the same: what an
    attempt learns about them still counts.  Two at once lock the rows in the order of their ids, and the second finds
    other texts.
    """
    ids, old, new = zip(*changes, strict=True) if changes else ((), (), ())
    with transaction():
        written = rows(
            """
            with given as (
                select * from unnest(%(ids)s::bigint[], %(old)s::text[], %(new)s::text[]) as g (id, old, new)
            ), locked as (
                select a.id from channel_account a where a.id = any(%(ids)s::bigint[]) order by a.id for update
            )
            update channel_account a set credentials = given.new
              from given, locked where a.id = given.id and locked.id = a.id and a.credentials = given.old
            returning a.id""",
            {"ids": list(ids), "old": list(old), "new": list(new)},
        )
    return {account["id"] for account in written}


# --- disable, enable, find -------------------------------------------------------------------------------------------


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
