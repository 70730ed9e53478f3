"""What attempts learn about an account: it must pause, its credentials no longer work, or they are refreshed.

Whatever is written of credentials is guarded by `credentials_version`, so that it counts only for those that were
looked at: a person's reconnect changes the version, and wins.

Each raises OperationalError where another program holds the account's row: nobody keeps a connection to wait for it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from autoposter.database import row, rows, single_statement
from autoposter.store import BRIEFLY
from autoposter.store.snapshots import AccountRow, account_of

#: A person is told so long before credentials expire that nothing refreshes.
EXPIRES_SOON = timedelta(days=7)


def pause(account_id: int, pause_for: timedelta, reason: str) -> bool:
    """Pause an account; a longer pause stays.  False: there is no such account.

    Two pauses at once: the longer holds, whichever comes first.
    """
    with single_statement():
        return bool(
            row(
                BRIEFLY + "update channel_account set paused_until = greatest(paused_until, now() + %(pause_for)s),"
                " last_error = %(reason)s where id = %(id)s returning id",
                {"id": account_id, "pause_for": pause_for, "reason": reason},
            )
        )


def disconnect(account_id: int, *, credentials_version: int, reason: str) -> bool:
    """Disconnect an account whose credentials were rejected.  False: it is not active, or has other credentials by now.

    A reconnect that comes first has changed `credentials_version`; one that comes second sets the account active.
    While a refresh is under way nobody is disconnected: what it brings may be what was missing.
    """
    with single_statement():
        return bool(
            row(
                BRIEFLY + "update channel_account set status = 'disconnected', last_error = %(reason)s"
                " where id = %(id)s and status = 'active' and credentials_version = %(version)s"
                " and (refreshing_until is null or refreshing_until <= now()) returning id",
                {"id": account_id, "version": credentials_version, "reason": reason},
            )
        )


@dataclass(frozen=True, slots=True)
class Standing:
    """Which credentials an account has now."""

    credentials_version: int
    is_refreshing: bool
    """Whether a worker is getting new ones at this moment."""


def standing(account_id: int) -> Standing | None:
    """Which credentials the account has now; None: it is gone."""
    with single_statement():
        found = row(
            "select credentials_version, coalesce(refreshing_until > now(), false) as is_refreshing"
            " from channel_account where id = %(id)s",
            {"id": account_id},
        )
    return Standing(**found) if found else None


# --- refreshing ------------------------------------------------------------------------------------------------------


def due_for_refresh(limit: int) -> list[int]:
    """The active accounts whose credentials are to be refreshed by now, the most urgent first."""
    with single_statement():
        found = rows(
            "select id from channel_account where status = 'active' and refresh_at <= now()"
            " and (refreshing_until is null or refreshing_until <= now()) order by refresh_at limit %(limit)s",
            {"limit": limit},
        )
    return [account["id"] for account in found]


def begin_refresh(account_id: int, *, until: datetime, credentials_version: int | None = None) -> AccountRow | None:
    """Take the refreshing of an account's credentials.  None: it is not to be done, or somebody else does it.

    `credentials_version`: at once, of these very credentials; None: if it is time.  `until` ends the right to it, and
    is the caller's own to the microsecond: asked again with it after an answer that was lost, the caller has it still.
    Two at once: the second waits for the first, and then finds it taken.
    """
    with single_statement():
        found = row(
            BRIEFLY
            + """
            update channel_account a set refreshing_until = %(until)s
             where a.id = %(id)s and a.status = 'active'
               and (a.refreshing_until is null or a.refreshing_until <= now() or a.refreshing_until = %(until)s)
               and case when %(version)s::integer is null then a.refresh_at <= now()
                        else a.credentials_version = %(version)s end
            returning a.id as account_id, a.platform, a.name, a.external_id, a.settings, a.credentials,
                      a.credentials_version, a.status as account_status""",
            {"id": account_id, "until": until, "version": credentials_version},
        )
    return account_of(found) if found else None


def write_refreshed(
    account_id: int, text: str, *, credentials_version: int, expire_at: datetime | None, refresh_at: datetime | None
) -> bool:
    """Keep refreshed credentials.  False: the account has others by now, which a person gave: those stay.

    Written whether or not the right to refresh has run out meanwhile, for the old ones may be used up.  Repeated after
    an answer that was lost, it finds its own text, and changes nothing more.
    """
    with single_statement():
        return bool(
            row(
                BRIEFLY
                + """
                update channel_account
                   set credentials = %(text)s, credentials_version = %(version)s + 1,
                       credentials_expire_at = %(expire_at)s, refresh_at = %(refresh_at)s,
                       refresh_failures = 0, refreshing_until = null, expiry_warned_at = null, last_error = null,
                       status = case when status = 'disconnected' then 'active' else status end
                 where id = %(id)s and (credentials_version = %(version)s or credentials = %(text)s)
                returning id""",
                {
                    "id": account_id,
                    "text": text,
                    "version": credentials_version,
                    "expire_at": expire_at,
                    "refresh_at": refresh_at,
                },
            )
        )


def end_refresh(account_id: int, *, until: datetime, reason: str | None) -> bool:
    """Give the right to refresh back, with nothing new.  False: it is somebody else's, or has been given back.

    `reason`: it failed, and is tried again after 1, 2, 4 ... minutes, an hour at most.  None: nothing can be refreshed.
    """
    with single_statement():
        return bool(
            row(
                BRIEFLY
                + """
                update channel_account
                   set refreshing_until = null,
                       refresh_at = case when %(reason)s::text is not null then
                                    now() + least(interval '1 minute' * power(2, least(refresh_failures, 10)),
                                                  interval '1 hour') end,
                       refresh_failures = refresh_failures + (%(reason)s::text is not null)::integer,
                       last_error = coalesce(%(reason)s, last_error)
                 where id = %(id)s and refreshing_until = %(until)s
                returning id""",
                {"id": account_id, "until": until, "reason": reason},
            )
        )


@dataclass(frozen=True, slots=True)
class Expiring:
    """An account whose credentials end soon, with nothing that would renew them."""

    address: str
    """`platform:name`."""
    expire_at: datetime


def warn_of_expiry(*, within: timedelta, every: timedelta, failures: int) -> list[Expiring]:
    """The accounts whose credentials expire within a time and are not refreshed, or failed to be so often.

    Each is told once in `every`, by whoever comes first; the second finds it told.  The scan makes this move, and waits
    for nobody: an account that another program holds is told of the next time.
    """
    with single_statement():
        found = rows(
            """
            with untold as (
                select id from channel_account
                 where status = 'active' and credentials_expire_at < now() + %(within)s
                   and (refresh_at is null or refresh_failures >= %(failures)s)
                   and (expiry_warned_at is null or expiry_warned_at < now() - %(every)s)
                   for update skip locked
            )
            update channel_account a set expiry_warned_at = now() from untold where a.id = untold.id
            returning a.platform || ':' || a.name as address, a.credentials_expire_at as expire_at""",
            {"within": within, "every": every, "failures": failures},
        )
    return [Expiring(**account) for account in found]
