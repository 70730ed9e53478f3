"""What attempts learn about an account: it must pause, or its credentials no longer work."""

from __future__ import annotations

from datetime import timedelta

from autoposter.database import row, single_statement


def pause(account_id: int, pause_for: timedelta, reason: str) -> bool:
    """Pause an account; a longer pause stays.  False: there is no such account.

    Two pauses at once: the longer holds, whichever comes first.
    """
    with single_statement():
        return bool(
            row(
                "update channel_account set paused_until = greatest(paused_until, now() + %(pause_for)s),"
                " last_error = %(reason)s where id = %(id)s returning id",
                {"id": account_id, "pause_for": pause_for, "reason": reason},
            )
        )


def disconnect(account_id: int, *, credentials_version: int, reason: str) -> bool:
    """Disconnect an account whose credentials were rejected.  False: it is not active, or has other credentials by now.

    A reconnect that comes first has changed `credentials_version`; one that comes second sets the account active.
    """
    with single_statement():
        return bool(
            row(
                "update channel_account set status = 'disconnected', last_error = %(reason)s"
                " where id = %(id)s and status = 'active' and credentials_version = %(version)s returning id",
                {"id": account_id, "version": credentials_version, "reason": reason},
            )
        )


def credentials_version(account_id: int) -> int | None:
    """Which credentials the account has now; None: it is gone."""
    with single_statement():
        found = row("select credentials_version from channel_account where id = %(id)s", {"id": account_id})
    return int(found["credentials_version"]) if found else None
