"""A publisher's values made from rows: options, settings, credentials, the post."""

from __future__ import annotations

from dataclasses import replace
from difflib import get_close_matches
from itertools import islice
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from autoposter.lifecycle import ErrorKind, Refused
from autoposter.media import MediaShelf
from autoposter.outcomes import before_the_call
from autoposter.plugins import Host, NoPublisher
from autoposter.publishers import Account, Post, Publisher, PublishError
from autoposter.publishers.base import reasons
from autoposter.publishers.http import Wire
from autoposter.publishers.texts import clean
from autoposter.store.snapshots import Snapshot

#: So many reasons of `validate` are told.
MOST_PROBLEMS = 10


class Unequipped(Exception):
    """The attempt cannot be carried out, and why.  Nothing was sent."""

    def __init__(self, refusal: Refused) -> None:
        self.refusal = replace(refusal, message=clean(refusal.message))
        super().__init__(self.refusal.message)


def publisher_class(attempt: Snapshot, host: Host) -> type[Publisher]:
    """The publisher of the attempt's platform.  Raises Unequipped where nobody brings it."""
    try:
        return host.publisher_for(attempt.account.platform)
    except NoPublisher as error:
        raise Unequipped(Refused(ErrorKind.NO_PUBLISHER, str(error))) from error


def parsed_options(kind: type[Publisher], content: dict[str, Any]) -> BaseModel:
    """The platform's options of a content.  Raises Unequipped where they make no sense to its publisher."""
    options = {} if content["options"] is None else content["options"]
    return parsed(kind.Options, options, ErrorKind.CONTENT, f"The options for {kind.platform}")


def examine_media(snapshot: Snapshot, shelf: MediaShelf) -> None:
    """Have the shelf know what the media of a post are.  Raises Unequipped where they cannot be published, or now."""
    try:
        shelf.examine(snapshot.content["media"])
    except PublishError as error:
        raise Unequipped(before_the_call(error, ())) from error


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


def parsed(model: type[BaseModel], values: Any, kind: ErrorKind, what: str) -> BaseModel:
    """The values as an instance of the model.  Raises Unequipped, which names every mistake in them."""
    try:
        return model.model_validate(values)
    except ValidationError as error:
        # Without the input: it may be a secret.
        mistakes = error.errors(include_input=False, include_url=False)[:MOST_PROBLEMS]
        said = "; ".join(_mistake(model, each["loc"], each["type"], each["msg"]) for each in mistakes)
        raise Unequipped(Refused(kind, f"{what} are wrong: {said}.")) from None


def _mistake(model: type[BaseModel], where: tuple[int | str, ...], kind: str, message: str) -> str:
    path = ".".join(map(str, where))
    if kind != "extra_forbidden":
        return f"{path}: {message}" if path else message
    fields = list(_inner(model, where[:-1]).model_fields)
    if near := get_close_matches(str(where[-1]), fields, n=1):
        return f"{path} is none of them (did you mean {near[0]}?)"
    return f"{path} is none of them; there are {', '.join(fields) or 'none'}"


def _inner(model: type[BaseModel], path: tuple[int | str, ...]) -> type[BaseModel]:
    """The model that stands in a model at this place, as far as its annotations tell."""
    for name in path:
        if isinstance(name, str) and name in model.model_fields:
            annotation = model.model_fields[name].annotation
            kinds = [kind for kind in (annotation, *get_args(annotation)) if isinstance(kind, type)]
            model = next((kind for kind in kinds if issubclass(kind, BaseModel)), model)
    return model


def problems(snapshot: Snapshot, host: Host, shelf: MediaShelf) -> list[str]:
    """Every reason why a post would be refused that can be known offline; without credentials.

    A publisher whose `validate` fails itself is no reason: its attempt will tell.
    """
    try:
        kind = publisher_class(snapshot, host)
        settings = parsed(
            kind.Settings, snapshot.account.settings, ErrorKind.ACCOUNT, f"The settings of {snapshot.account.name}"
        )
        post = post_of(
            snapshot, snapshot.content, snapshot.idempotency_key, parsed_options(kind, snapshot.content), shelf
        )
    except Unequipped as unequipped:
        return [unequipped.refusal.message]
    account = Account(
        id=snapshot.account.id,
        name=snapshot.account.name,
        external_id=snapshot.account.external_id,
        settings=settings,
        credentials=kind.Credentials.model_construct(),
    )
    with Wire() as wire:
        return validated(kind(account, wire.client), post)


def validated(publisher: Publisher, post: Post, secrets: frozenset[str] = frozenset()) -> list[str]:
    """Why a publisher would refuse a post, cut to what a person reads.  Raises what its `validate` raises."""
    return [clean(problem, secrets) for problem in islice(reasons(publisher, post), MOST_PROBLEMS)]
