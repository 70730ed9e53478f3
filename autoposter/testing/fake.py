"""A fake platform in about twenty lines: routes, a memory, and the script of what goes wrong.

    class FakeBoard(FakeServer):
        credentials = {"token": "the-right-token"}

        @publishes("POST /notices")
        def post(self, request: Request) -> Answer:
            if request.token != "the-right-token":
                return Answer.json(401, {"error": "token"})
            notice = self.publish(request.body["text"], key=request.headers.get("idempotency-key"))
            return Answer.json(201, {"id": notice.id})

        @route("GET /notices")
        def listing(self, request: Request) -> Answer:
            return Answer.json(200, [{"id": post.id, "text": post.text} for post in self.listed()])

    with FakeBoard() as board:
        board.follow(accept_then(Reply.RESET, times=1))
        ...
        assert len(board.published()) == 1

What the script (`rules`) says is for the routes that publish, unless a rule says `on="other"`.
"""

from __future__ import annotations

import asyncio
import re
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Any, ClassVar, Protocol, Self, TypeVar

from autoposter.testing.rules import Rule, Script, Verb
from autoposter.testing.serving import Answer, Request, Server

__all__ = ["FakeServer", "Platform", "Published", "publishes", "route"]

#: How long a fake may take to open its socket, in seconds.
START_SECONDS = 20


@dataclass(frozen=True, slots=True)
class Published:
    """One post that the public can see."""

    id: str
    text: str
    key: str | None
    at: datetime
    media: int = 0
    """How many pictures and videos it shows."""


class Platform(Protocol):
    """What the conformance suite asks of any fake; a `FakeServer` has all of it."""

    @property
    def settings(self) -> Mapping[str, Any]:
        """What a connected account's `Settings` are made of."""

    @property
    def credentials(self) -> Mapping[str, Any]:
        """What its `Credentials` are made of: those that the fake takes."""

    def published(self) -> Sequence[Published]:
        """Every post that the public can see, oldest first."""

    def age(self, by: timedelta) -> None:
        """Make all that is published so much older."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None: ...


Handler = TypeVar("Handler", bound=Callable[..., Answer])


def route(pattern: str) -> Callable[[Handler], Handler]:
    """Answers a request such as `GET /notices/{notice}`; what stands in braces is handed over by that name."""
    return _routed(pattern, "other")


def publishes(pattern: str) -> Callable[[Handler], Handler]:
    """As `route`, for the one irreversible request: after it the public can see the post."""
    return _routed(pattern, "publish")


def _routed(pattern: str, verb: Verb) -> Callable[[Handler], Handler]:
    method, _, path = pattern.partition(" ")
    segments = re.split(r"\{(\w+)\}", path)
    fits = "".join(f"(?P<{part}>[^/]+)" if index % 2 else re.escape(part) for index, part in enumerate(segments))

    def mark(handler: Handler) -> Handler:
        setattr(handler, "route", _Route(method, re.compile(fits), verb))  # noqa: B010
        return handler

    return mark


@dataclass(frozen=True, slots=True)
class _Route:
    method: str
    path: re.Pattern[str]
    verb: Verb


class FakeServer(Server):
    """A fake platform on a real socket, in a thread.  A subclass brings its routes; use it in a `with`."""

    credentials: Mapping[str, Any] = {}
    """The credentials that it takes; all others it must refuse, as the platform does."""
    external_id: ClassVar[str | None] = None
    """What `check()` is to say of the account whose credentials these are."""
    listing_lag: timedelta = timedelta(0)
    """How long a new post does not show in `listed()`."""

    def __init__(self) -> None:
        super().__init__()
        self.url = ""
        self.troubles: list[str] = []
        """What its own handlers raised: mistakes in the fake."""
        self.received: list[bytes] = []
        """The bodies and queries of all requests."""
        self._posts: list[Published] = []
        self._ended: Callable[[], object] = lambda: None
        self._thread: threading.Thread | None = None

    @property
    def settings(self) -> Mapping[str, Any]:
        """By default its address, as the setting `api_url`."""
        return {"api_url": self.url}

    # --- memory ------------------------------------------------------------------------------------------------------

    def publish(self, text: str, *, key: str | None = None, id: str | None = None, media: int = 0) -> Published:
        """Show a post to the public.  With a key that it has seen: the post that was made then.

        Without `id` they are p1, p2, ...  `media`: how many pictures and videos the request brought or named.
        """
        for post in self._posts:
            if key is not None and post.key == key:
                return post
        post = Published(id or f"p{len(self._posts) + 1}", text, key, datetime.now(UTC), media)
        self._posts.append(post)
        return post

    def published(self) -> Sequence[Published]:
        """Every post that the public can see, oldest first."""
        return tuple(self._posts)

    def listed(self) -> list[Published]:
        """What a listing shows by now, newest first."""
        until = datetime.now(UTC) - self.listing_lag
        return [post for post in reversed(self._posts) if post.at <= until]

    def age(self, by: timedelta) -> None:
        """Make all that is published so much older.

        Do not wait out `listing_lag` with it: `find` looks since the attempt only.  Set `listing_lag = timedelta(0)`.
        """
        self._posts = [replace(post, at=post.at - by) for post in self._posts]

    # --- script ------------------------------------------------------------------------------------------------------

    def follow(self, *rules: Rule) -> None:
        """Replace the script; no rules: behave."""
        self.script = Script(list(rules))

    def verb(self, request: Request) -> Verb:
        """`publish` or `other`."""
        return next((found.verb for found, _, _ in self._fitting(request)), "other")

    def beside_the_script(self, request: Request) -> None:
        """Remember what came."""
        self.received.append("\n".join(request.query.values()).encode() + b"\n" + request.content)

    def behave(self, verb: Verb, request: Request) -> Answer:
        """What the route's handler answers; 404 without one."""
        for _, handler, names in self._fitting(request):
            try:
                return handler(request, **names)
            except Exception:
                self.troubles.append(f"{request.method} {request.path}: {traceback.format_exc()}")
                return Answer.json(500, {"error": "the fake itself is broken: see its `troubles`"})
        return Answer.json(404, {"error": f"the fake has no route for {request.method} {request.path}"})

    def _fitting(self, request: Request) -> Iterator[tuple[_Route, Callable[..., Answer], dict[str, str]]]:
        for name in dir(type(self)):
            found = getattr(getattr(type(self), name), "route", None)
            if not isinstance(found, _Route) or found.method != request.method:
                continue
            if match := found.path.fullmatch(request.path):
                yield found, getattr(self, name), match.groupdict()

    # --- socket ------------------------------------------------------------------------------------------------------

    def __enter__(self) -> Self:
        started = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run(started)), daemon=True)
        self._thread.start()
        if not started.wait(START_SECONDS):
            raise RuntimeError("The fake platform did not start.")
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()

    def stop(self) -> None:
        """Close the socket: from now on nobody can connect."""
        self._ended()
        if self._thread:
            self._thread.join()
        self._ended = lambda: None

    async def _run(self, started: threading.Event) -> None:
        ended = asyncio.Event()
        loop = asyncio.get_running_loop()
        self._ended = lambda: loop.call_soon_threadsafe(ended.set)
        self.url = f"http://127.0.0.1:{await self.start(0)}"
        started.set()
        await ended.wait()
