"""What one attempt, or one look at one, is carried out with: a publisher of its account, the post, and a wire."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import cached_property, partial
from typing import Any

from autoposter.assembling import Unequipped, parsed, parsed_options, post_of
from autoposter.clock import Clock
from autoposter.credentials import CredentialsUnreadable, Keyring
from autoposter.leases import Leases
from autoposter.lifecycle import ErrorKind, Refused, RetryPolicy
from autoposter.media import MediaShelf
from autoposter.outcomes import before_the_call, log_trace
from autoposter.plugins import Host
from autoposter.publishers import Account, Post, Publisher
from autoposter.publishers.http import Wire
from autoposter.publishers.texts import clean
from autoposter.redaction import texts
from autoposter.settling import Announce, announce_nothing
from autoposter.store import claims, intents
from autoposter.store.snapshots import AccountRow, Attempt, Snapshot
from autoposter.together import MOST_PROMISES, Together


@dataclass(frozen=True)
class Workbench:
    """What every attempt of this process shares."""

    worker: str
    """This process's id in `worker.id` and `publish_job.worker`."""
    host: Host
    keyring: Keyring
    shelf: MediaShelf
    policy: RetryPolicy
    max_lateness: timedelta | None
    clock: Clock
    leases: Leases
    announce: Announce = announce_nothing

    @cached_property
    def claims(self) -> Together[int, Attempt]:
        """Claims posts by their ids, together with whatever other threads claim."""
        free = partial(claims.claim_free, worker=self.worker, max_lateness=self.max_lateness)
        return Together(free, key=lambda post_id: post_id)

    @cached_property
    def intents(self) -> Together[tuple[Attempt, dict[str, Any]], bool]:
        """Promises the calls of attempts (with what is prepared), together with whatever other threads promise."""
        free = partial(intents.intend_free, worker=self.worker)
        return Together(free, key=lambda promise: promise[0].job_id, most=MOST_PROMISES)


@dataclass(frozen=True, slots=True)
class Tools:
    """What one attempt is carried out with."""

    publisher: Publisher
    post: Post
    earlier_post: Post | None
    """What an earlier attempt, looked for and not found, would have published."""
    wire: Wire
    secrets: frozenset[str]
    """Values that no log, error or row may show."""


class Locked(Unequipped):
    """The account's credentials do not open with this process's keys: a person must mend the keys, not the post."""


@contextmanager
def equip(kind: type[Publisher], attempt: Snapshot, bench: Workbench) -> Iterator[Tools]:
    """Make the tools of one attempt.

    Raises Unequipped where its rows do not make sense to its publisher, or the publisher's own code fails on them, and
    Locked where the account's credentials do not open.
    """
    values = _decrypted(attempt.account, bench.keyring)
    secrets = frozenset(texts(values))
    with Wire(secrets=secrets) as wire:
        try:
            tools = _tools(kind, attempt, values, wire, secrets, bench)
        except Unequipped as unequipped:
            refusal = unequipped.refusal
            raise Unequipped(replace(refusal, message=clean(refusal.message, secrets))) from None
        except BaseException as error:
            log_trace(error, secrets, "post %s: its publisher cannot be made", attempt.post_id)
            raise Unequipped(before_the_call(error, secrets)) from None
        yield tools


@contextmanager
def open_account(kind: type[Publisher], account: AccountRow, keyring: Keyring) -> Iterator[tuple[Publisher, Wire]]:
    """A publisher of an account, for what is not about a post.  Raises as `equip` does."""
    values = _decrypted(account, keyring)
    with Wire(secrets=texts(values)) as wire:
        yield kind(known_account(kind, account, values), wire.client), wire


def _decrypted(account: AccountRow, keyring: Keyring) -> dict[str, Any]:
    try:
        return keyring.decrypt(account.id, account.credentials)
    except CredentialsUnreadable as error:
        raise Locked(Refused(ErrorKind.TRANSIENT, str(error))) from error


def _tools(
    kind: type[Publisher],
    attempt: Snapshot,
    values: dict[str, Any],
    wire: Wire,
    secrets: frozenset[str],
    bench: Workbench,
) -> Tools:
    account = attempt.account
    known = known_account(kind, account, values)
    post = post_of(
        attempt, attempt.content, attempt.idempotency_key, parsed_options(kind, attempt.content), bench.shelf
    )
    earlier = attempt.found_absent if isinstance(attempt, Attempt) else None
    earlier_post = _earlier_post(attempt, earlier, kind, bench.shelf) if earlier else None
    return Tools(kind(known, wire.client), post, earlier_post, wire, secrets)


def known_account(kind: type[Publisher], account: AccountRow, values: dict[str, Any]) -> Account:
    """The account that a publisher is handed, with these values of its credentials.  Raises Unequipped."""
    credentials = parsed(kind.Credentials, values, ErrorKind.ACCOUNT, f"The credentials of {account.name}")
    settings = parsed(kind.Settings, account.settings, ErrorKind.ACCOUNT, f"The settings of {account.name}")
    return Account(
        id=account.id,
        name=account.name,
        external_id=account.external_id,
        settings=settings,
        credentials=credentials,
    )


def _earlier_post(attempt: Snapshot, earlier: dict[str, Any], kind: type[Publisher], shelf: MediaShelf) -> Post:
    content = earlier["content"]
    return post_of(attempt, content, earlier["idempotency_key"], parsed_options(kind, content), shelf)
