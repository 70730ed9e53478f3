"""New credentials for old: ahead of their expiry, and when the platform rejected them.  By one worker at a time.

The right to refresh stands in the row (`refreshing_until`).  What the platform hands out is written before anything
uses it, for it may have used up the old.  It counts only while the account still has the credentials that it was made
from, so that a person's reconnect in the middle wins.
"""

from __future__ import annotations

import logging
import random
import shlex
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from pydantic import BaseModel, ValidationError

from autoposter.assembling import Unequipped
from autoposter.credentials import revealed
from autoposter.database import DATABASE_AWAY
from autoposter.lifecycle import ErrorKind, Refused
from autoposter.outcomes import log_trace, trouble, words_of
from autoposter.plugins import NoPublisher
from autoposter.publishers import Publisher, PublishError, Refreshed
from autoposter.publishers.base import overrides
from autoposter.redaction import known, texts
from autoposter.settling import until_written
from autoposter.store import account_states
from autoposter.store.account_states import EXPIRES_SOON
from autoposter.store.snapshots import AccountRow, Attempt
from autoposter.workbench import Tools, Workbench, open_account

log = logging.getLogger(__name__)

#: How long the right to refresh lasts.  A worker that dies with it holds the others up for so long.
RIGHT_LASTS = timedelta(minutes=3)

#: Credentials are refreshed when a third of their time is left, and this long before they expire at most.
MOST_AHEAD = timedelta(days=7)

#: Credentials whose end nobody knows are refreshed so long after they were given: what comes back tells its end.  More
#: than a day, for there are platforms that renew nothing younger.
END_UNKNOWN = timedelta(hours=25)

#: Later expiries are a platform's mistake, such as milliseconds taken for seconds.
LONGEST_LIFE = timedelta(days=3650)

#: Of credentials that expire soon the log tells once in this time, until a person acts.
WARN_EVERY = timedelta(days=1)

#: So many failures in a row count as "nothing refreshes it": about 7 minutes.
WORTH_A_WARNING = 3

#: So many accounts are dispatched to be refreshed at once.
BATCH = 100

#: An attempt whose credentials somebody else is refreshing waits so long before it steps back.
LONGEST_WAIT = timedelta(seconds=10)

#: How often it looks.
LOOK = timedelta(milliseconds=200)


# --- ahead of time ---------------------------------------------------------------------------------------------------


def dispatch_due(refresh: Callable[[int], None]) -> int:
    """Have the accounts whose time it is refreshed; returns how many."""
    due = account_states.due_for_refresh(BATCH)
    for account_id in due:
        refresh(account_id)
    return len(due)


def refresh_ahead(account_id: int, bench: Workbench) -> None:
    """Refresh an account's credentials, if it is time and nobody else does.  A person is told where nothing could."""
    until = _until(bench)
    try:
        account = account_states.begin_refresh(account_id, until=until)
    except DATABASE_AWAY as error:
        log.warning("refreshing account %s waits for the database: %s", account_id, error)
        return
    if account is None:
        return
    with bench.leases.watch(RIGHT_LASTS):
        try:
            kind = bench.host.publisher_for(account.platform)
            with open_account(kind, account, bench.keyring) as (publisher, _):
                _refresh(account, publisher, until, bench)
        except (NoPublisher, Unequipped) as error:
            _failed(account, until, str(error))
        except BaseException as error:  # the publisher's own constructor
            log_trace(error, (), "the publisher of %s cannot be made", _name(account))
            _failed(account, until, known.text(trouble(error, ())))
        until_written(warn_of_expiry, "a warning")


def warn_of_expiry() -> int:
    """Say in the log which accounts expire soon with nothing that would refresh them; returns how many."""
    expiring = account_states.warn_of_expiry(within=EXPIRES_SOON, every=WARN_EVERY, failures=WORTH_A_WARNING)
    for account in expiring:
        log.warning(
            "the credentials of %s expire at %s: run `autoposter accounts reconnect %s`",
            account.address,
            account.expire_at.isoformat(timespec="minutes"),
            shlex.quote(account.address),
        )
    return len(expiring)


# --- after a rejection -----------------------------------------------------------------------------------------------


def after_rejection(attempt: Attempt, refusal: Refused, tools: Tools, bench: Workbench) -> Refused | None:
    """How an attempt goes on whose credentials were rejected, if others are there, or to be had.  None: they are not.

    The credentials that the attempt had loaded are meant.  Once: nothing is refreshed for the attempt that follows.
    """
    account = attempt.account
    standing = until_written(lambda: account_states.standing(account.id))
    if standing is not None and standing.is_refreshing:
        return _wait_for_others(attempt, refusal)
    if attempt.was_rejected:
        return None
    if standing is None or standing.credentials_version != account.credentials_version:
        return _again(refusal, "It was reconnected meanwhile.")
    if not overrides(type(tools.publisher), "refresh"):
        return None
    until = _until(bench)
    # Repeated until it is known whether we have the right: with it, and unaware, we would only hold the others up.
    begun = until_written(
        lambda: account_states.begin_refresh(account.id, until=until, credentials_version=account.credentials_version)
    )
    if begun is None:
        return _wait_for_others(attempt, refusal)
    if _refresh(begun, tools.publisher, until, bench):
        return _again(refusal, "Its credentials were refreshed.")
    return None


def _wait_for_others(attempt: Attempt, refusal: Refused) -> Refused:
    """Somebody else refreshes: wait a little, and step back."""
    look_until = time.monotonic() + LONGEST_WAIT.total_seconds()
    while time.monotonic() < look_until:
        standing = until_written(lambda: account_states.standing(attempt.account.id))
        if standing is None or not standing.is_refreshing:
            return _again(refusal, "Its credentials were being refreshed.")
        time.sleep(LOOK.total_seconds())
    return Refused(ErrorKind.TRANSIENT, f"{refusal.message} Its credentials are being refreshed.")


def _again(refusal: Refused, why: str) -> Refused:
    return Refused(ErrorKind.TRANSIENT, f"{refusal.message} {why}", retry_after=timedelta(seconds=1))


# --- one refresh -----------------------------------------------------------------------------------------------------


def _until(bench: Workbench) -> datetime:
    """When the right to refresh ends.  No two callers have the same: it is also by what a caller knows its own."""
    return bench.clock.now() + RIGHT_LASTS + timedelta(microseconds=random.randrange(1_000_000))


def _refresh(account: AccountRow, publisher: Publisher, until: datetime, bench: Workbench) -> bool:
    """Ask the platform, and write what it says.  Whether the account has other credentials now."""
    old = bench.keyring.decrypt(account.id, account.credentials)
    try:
        refreshed = publisher.refresh()
        if refreshed is None:
            until_written(lambda: account_states.end_refresh(account.id, until=until, reason=None))
            return False
        text = bench.keyring.encrypt(account.id, checked(publisher, refreshed, old))
    except PublishError as error:
        _failed(account, until, known.text(words_of(error, ())))
        return False
    except ValidationError:  # it tells its input
        _failed(account, until, "The publisher's Credentials do not take what its platform gave.")
        return False
    except BaseException as error:
        log_trace(error, tuple(texts(old)), "refreshing %s failed", _name(account))
        _failed(account, until, known.text(trouble(error, ())))
        return False
    now = bench.clock.now()
    expire_at = believed(refreshed.expires_at, now, _name(account))
    if until_written(
        lambda: account_states.write_refreshed(
            account.id,
            text,
            credentials_version=account.credentials_version,
            expire_at=expire_at,
            refresh_at=refresh_at(expire_at, now),
        )
    ):
        log.info("%s is refreshed; its credentials expire at %s", _name(account), expire_at or "an unknown time")
    else:
        log.warning("%s was reconnected while it was refreshed: the person's credentials stay", _name(account))
    return True


def _failed(account: AccountRow, until: datetime, reason: str) -> None:
    log.warning("%s could not be refreshed: %s", _name(account), reason)
    until_written(lambda: account_states.end_refresh(account.id, until=until, reason=f"Not refreshed: {reason}"))


def _name(account: AccountRow) -> str:
    return f"{account.platform} ({account.name})"


# --- what a platform says of credentials -----------------------------------------------------------------------------


def checked(publisher: Publisher, refreshed: object, old: dict[str, Any]) -> dict[str, Any]:
    """What to store: the new values, and the old where the platform left one out or empty.  Raises TypeError."""
    if not isinstance(refreshed, Refreshed) or not isinstance(refreshed.credentials, BaseModel):
        raise TypeError(f"refresh() must return a Refreshed or None, and returned {type(refreshed).__name__}")
    new = {name: value for name, value in revealed(refreshed.credentials).items() if not _is_empty(value)}
    known.remember(value for value in new.values() if isinstance(value, str))
    publisher.Credentials.model_validate(old | new)
    return old | new


def _is_empty(value: object) -> bool:
    return value is None or value in ([], {}) or (isinstance(value, str) and not value.strip())


def believed(expires_at: Any, now: datetime, whose: str) -> datetime | None:
    """When credentials expire, as their platform says; None: not known, or what it says cannot be."""
    if expires_at is None:
        return None
    if (
        isinstance(expires_at, datetime)
        and expires_at.utcoffset() is not None
        and now < expires_at < now + LONGEST_LIFE
    ):
        return expires_at
    log.warning("the credentials of %s are said to expire at %r, which is not believed", whose, expires_at)
    return None


def refresh_at(expire_at: datetime | None, now: datetime) -> datetime | None:
    """When to refresh credentials that expire then; None: their expiry is not known."""
    return None if expire_at is None else expire_at - min((expire_at - now) / 3, MOST_AHEAD)


def first_refresh_at(expire_at: datetime | None, now: datetime) -> datetime:
    """When to refresh credentials that a person has brought.

    At once where they end soon: it may turn out that nothing refreshes them, and then the person is to be warned.
    """
    if expire_at is not None and expire_at < now + EXPIRES_SOON:
        return now
    return refresh_at(expire_at, now) or now + END_UNKNOWN
