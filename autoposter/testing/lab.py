"""One publisher, one fake of its platform, and what the core would do with them: the same wire, the same judge."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from pydantic import BaseModel

from autoposter.lifecycle import Confirmed, ErrorKind, Outcome, Refused, Unknown, judge
from autoposter.outcomes import before_the_call, confirmed, declared, trouble
from autoposter.publishers import AccountCheck, NotReady, Post, Publisher, PublishError, Receipt
from autoposter.publishers.base import Nothing, overrides
from autoposter.publishers.http import Wire
from autoposter.testing.examples import make_account
from autoposter.testing.fake import FakeServer, Platform
from autoposter.testing.rules import Rule

#: So often `prepare` may say NotReady to a fake before it counts as stuck.
MOST_ROUNDS = 100

#: How long a call may take that is not about time.
AMPLE = timedelta(seconds=20)


@dataclass(frozen=True, slots=True)
class Attempt:
    """What one attempt came to."""

    outcome: Outcome
    """As the core judges it."""
    error: BaseException | None
    """What the publisher raised."""
    calls: list[dict[str, Any]]
    """Every request of `publish()`, also those that the fence held back."""

    def __str__(self) -> str:
        match self.outcome:
            case Confirmed(platform_post_id):
                what = f"published it as {platform_post_id!r}"
            case Refused(kind, message):
                what = f"said that nothing was published ({kind}: {message})"
            case _:
                what = f"left the outcome unknown ({self.outcome.message})"
        return f"publish() {what}" + (f", by raising {type(self.error).__name__}" if self.error else "")

    @property
    def platform_post_id(self) -> str | None:
        """The platform's id, if it was published."""
        return self.outcome.platform_post_id if isinstance(self.outcome, Confirmed) else None

    @property
    def kind(self) -> ErrorKind | None:
        """Why it was refused, if it was."""
        return self.outcome.kind if isinstance(self.outcome, Refused) else None

    @property
    def writes(self) -> list[str]:
        """Its requests that are neither GET nor HEAD."""
        return [f"{call['method']} {call['path']}" for call in self.calls if call["method"] not in ("GET", "HEAD")]

    @property
    def is_unknown(self) -> bool:
        """Whether it must be found out."""
        return isinstance(self.outcome, Unknown)


class Lab:
    """Carries out attempts on a fake platform.  Every call gets a new publisher, as after a restart."""

    def __init__(self, publisher: type[Publisher], platform: Platform, ordinary: Post) -> None:
        self.kind = publisher
        self.platform = platform
        self._ordinary = ordinary
        self._numbers = itertools.count(ordinary.id)
        self._intents: dict[int, datetime] = {}

    @property
    def server(self) -> FakeServer:
        """The fake, where it has a socket and a script."""
        assert isinstance(self.platform, FakeServer)
        return self.platform

    @property
    def secrets(self) -> frozenset[str]:
        """The account's secrets."""
        return frozenset(_texts(self.platform.credentials))

    def post(self, **changes: Any) -> Post:
        """The author's ordinary post, with an id and a key of its own."""
        return replace(self.own(self._ordinary), **changes)

    def own(self, post: Post) -> Post:
        """An author's post, with an id and a key that no other has, and options of the publisher's type."""
        number = next(self._numbers)
        options = self.kind.Options() if isinstance(post.options, Nothing) else post.options
        return replace(post, id=number, idempotency_key=f"key-of-post-{number}", options=options)

    @contextmanager
    def at_work(self, credentials: Mapping[str, Any] | None = None) -> Iterator[tuple[Publisher, Wire]]:
        """A new publisher with the wire of one attempt."""
        held = self.platform.credentials if credentials is None else credentials
        account = make_account(self.kind, self.platform.settings, held)
        with Wire(secrets=frozenset(_texts(held))) as wire:
            yield self.kind(account, wire.client), wire

    def prepare(self, post: Post, prepared: dict[str, Any] | None = None) -> dict[str, Any]:
        """Prepare until it is ready, each round from what a row has kept of the one before."""
        known = {} if prepared is None else prepared
        if not overrides(self.kind, "prepare"):
            return known
        for _ in range(MOST_ROUNDS):
            with self.at_work() as (publisher, _wire):
                try:
                    return kept(publisher.prepare(post, known))
                except NotReady as not_ready:
                    known, wait = kept(not_ready.prepared), not_ready.retry_after
                    assert isinstance(wait, timedelta), f"NotReady needs a timedelta, and has {wait!r}."
                    time.sleep(0.02 if wait else 0)
        raise AssertionError(f"prepare() said NotReady {MOST_ROUNDS} times.")

    def attempt(
        self,
        post: Post,
        prepared: dict[str, Any] | None = None,
        *,
        credentials: Mapping[str, Any] | None = None,
        deadline: timedelta = AMPLE,
    ) -> Attempt:
        """Prepare, unless that is done, and make the one irreversible call."""
        ready = self.prepare(post) if prepared is None else prepared
        self._intents.setdefault(post.id, datetime.now(UTC))
        said: Confirmed | Refused | Unknown | None = None
        error: BaseException | None = None
        with self.at_work(credentials) as (publisher, wire):
            try:
                with wire.publishing(deadline):
                    said = confirmed(publisher.publish(post, ready), self.secrets)
            except PublishError as raised:
                said, error = declared(raised, self.secrets), raised
            except (Exception, SystemExit) as raised:
                error = raised
            outcome = judge(said, wire.record, trouble=trouble(error, self.secrets) if error else "")
            return Attempt(outcome, error, wire.evidence["calls"])

    def attempt_with(self, credentials: Mapping[str, Any]) -> Outcome:
        """A whole attempt with these credentials: what prepare() refuses is refused."""
        post = self.post()
        try:
            with self.at_work(credentials) as (publisher, _wire):
                prepared = kept(publisher.prepare(post, {}))
        except NotReady:
            raise
        except Exception as error:
            return before_the_call(error, self.secrets)
        return self.attempt(post, prepared, credentials=credentials).outcome

    def find(self, post: Post, prepared: dict[str, Any] | None = None) -> Receipt | None:
        """Ask for a post since it was first attempted; for one that never was, since now."""
        since = self._intents.setdefault(post.id, datetime.now(UTC))
        with self.at_work() as (publisher, _wire):
            return publisher.find(
                replace(post, attempted_at=since), self.prepare(post) if prepared is None else prepared
            )

    def check(self, credentials: Mapping[str, Any] | None = None) -> AccountCheck:
        """Ask whose token it is."""
        with self.at_work(credentials) as (publisher, _wire):
            return publisher.check()

    def wrong_credentials(self) -> dict[str, Any]:
        """The same, but each text is wrong."""
        return {name: _spoilt(value) for name, value in self.platform.credentials.items()}

    def held(self, post_id: str) -> bool:
        """Whether the platform shows a post with this id."""
        return any(published.id == post_id for published in self.platform.published())

    def follow(self, *rules: Rule) -> None:
        """Give the fake a script."""
        self.server.follow(*rules)

    def publishing_requests(self) -> int:
        """How many requests the publishing routes of the fake have seen."""
        return sum(request["verb"] == "publish" for request in self.server.requests)


def kept(value: object) -> dict[str, Any]:
    """What is prepared, as it comes back from the database."""
    assert isinstance(value, dict), f"What is prepared must be a dict; this is {type(value).__name__}."
    try:
        text = json.dumps(value, allow_nan=False, ensure_ascii=False)
        text.encode()  # half a character is no text to PostgreSQL
        back: dict[str, Any] = json.loads(text)
    except (TypeError, ValueError) as error:
        raise AssertionError(f"What is prepared must be JSON: {error}.") from None
    assert "\\u0000" not in text, "What is prepared contains NUL, which no row can hold."
    assert back == value, f"What is prepared comes back from JSON as something else: {value} as {back}."
    return back


def _texts(value: object) -> Iterator[str]:
    match value:
        case Mapping():
            for one in value.values():
                yield from _texts(one)
        case BaseModel():
            yield from _texts(value.model_dump())
        case list() | tuple():
            for one in value:
                yield from _texts(one)
        case None | bool() | int() | float():
            return
        case _ if hasattr(value, "get_secret_value"):
            yield str(value.get_secret_value())
        case _:
            yield str(value)


def _spoilt(value: object) -> object:
    return f"wrong-{value}" if isinstance(value, str) else value
