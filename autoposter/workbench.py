"""What one attempt, or one look at one, is carried out with: a publisher of its account, the post, and a wire."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from pydantic import BaseModel, SecretStr, ValidationError

from autoposter.clock import Clock
from autoposter.credentials import CredentialsUnreadable, Keyring
from autoposter.leases import Leases
from autoposter.lifecycle import ErrorKind, Refused, RetryPolicy
from autoposter.media import MediaShelf
from autoposter.plugins import Host, NoPublisher
from autoposter.publishers import Account, Post, Publisher
from autoposter.publishers.http import Wire
from autoposter.settling import Announce, announce_nothing
from autoposter.store.snapshots import Attempt, Snapshot


@dataclass(frozen=True, slots=True)
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


class Unequipped(Exception):
    """The attempt cannot be carried out, and why.  Nothing was sent."""

    def __init__(self, refusal: Refused) -> None:
        super().__init__(refusal.message)
        self.refusal = refusal


def publisher_class(attempt: Snapshot, bench: Workbench) -> type[Publisher]:
    """The publisher of the attempt's platform.  Raises Unequipped where nobody brings it."""
    try:
        return bench.host.publisher_for(attempt.account.platform)
    except NoPublisher as error:
        raise Unequipped(Refused(ErrorKind.NO_PUBLISHER, str(error))) from error


@contextmanager
def equip(kind: type[Publisher], attempt: Snapshot, bench: Workbench) -> Iterator[Tools]:
    """Make the tools of one attempt.  Raises Unequipped where its rows do not make sense to its publisher."""
    account = attempt.account
    try:
        values = bench.keyring.decrypt(account.id, account.credentials)
    except CredentialsUnreadable as error:
        # Our own configuration: the post must survive until it is mended.
        raise Unequipped(Refused(ErrorKind.TRANSIENT, str(error))) from error
    credentials = _parse(kind.Credentials, values, ErrorKind.ACCOUNT, f"The credentials of {account.name}")
    settings = _parse(kind.Settings, account.settings, ErrorKind.ACCOUNT, f"The settings of {account.name}")
    post = post_of(
        attempt, attempt.content, attempt.idempotency_key, parsed_options(kind, attempt.content), bench.shelf
    )
    earlier = attempt.found_absent if isinstance(attempt, Attempt) else None
    earlier_post = _earlier_post(attempt, earlier, kind, bench.shelf) if earlier else None
    secrets = frozenset(_secrets(values))
    with Wire(secrets=secrets) as wire:
        publisher = kind(
            Account(
                id=account.id,
                name=account.name,
                external_id=account.external_id,
                settings=settings,
                credentials=credentials,
            ),
            wire.client,
        )
        yield Tools(publisher, post, earlier_post, wire, secrets)


def _earlier_post(attempt: Snapshot, earlier: dict[str, Any], kind: type[Publisher], shelf: MediaShelf) -> Post:
    content = earlier["content"]
    return post_of(attempt, content, earlier["idempotency_key"], parsed_options(kind, content), shelf)


def parsed_options(kind: type[Publisher], content: dict[str, Any]) -> BaseModel:
    """The platform's options of a content.  Raises Unequipped where they make no sense to its publisher."""
    options = {} if content["options"] is None else content["options"]
    return _parse(kind.Options, options, ErrorKind.CONTENT, f"The options for {kind.platform}")


def post_of(snapshot: Snapshot, content: dict[str, Any], key: str, options: BaseModel, shelf: MediaShelf) -> Post:
    """The post that a publisher is handed, saying what `content` says."""
    return Post(
        id=snapshot.post_id,
        caption=content["caption"],
        link=content["link"],
        media=tuple(shelf.media(asset) for asset in content["media"]),
        options=options,
        scheduled_for=snapshot.scheduled_for,
        attempted_at=snapshot.attempted_at,
        idempotency_key=key,
    )


def _parse(model: type[BaseModel], values: Any, kind: ErrorKind, what: str) -> BaseModel:
    try:
        return model.model_validate(values)
    except ValidationError as error:
        # Without the input: it may be a secret.
        first = error.errors(include_input=False, include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise Unequipped(Refused(kind, f"{what} are wrong: {where}: {first['msg']}.")) from None


def _secrets(values: object) -> Iterator[str]:
    match values:
        case dict():
            for value in values.values():
                yield from _secrets(value)
        case list():
            for value in values:
                yield from _secrets(value)
        case SecretStr():
            yield values.get_secret_value()
        case str() if values:
            yield values
