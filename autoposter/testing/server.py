"""The fake platform's server: a socket, the posts it took, and the script it follows.

What counts as published is decided in one place, `Board.accept`: one line in the record, written before anything is
answered.  Everything that goes wrong afterwards is theatre for the caller.

    POST /posts {"text", "key"?}      201 {"ok": true, "id", "url"}
    GET  /posts?since=SECONDS         200 {"posts": [{"id", "text", "key", "at"}]}, what the listing shows by now
    GET  /me                          200 {"id", "name"}
    POST /admin/script, /admin/settings, /admin/reset ; GET /admin/posts, /admin/requests
"""

from __future__ import annotations

import asyncio
import json
import socket
import struct
import time
from dataclasses import asdict, dataclass, field
from email.utils import formatdate
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from pydantic import BaseModel, ConfigDict, Field

from autoposter.testing.rules import Reply, Rule, Script, Verb

#: A caller that waits longer than this for an answer that never comes is let go, in seconds.
SILENCE_SECONDS = 120

#: Connections that wait to be taken.
BACKLOG = 4096


@dataclass(frozen=True, slots=True)
class AcceptedPost:
    """One effect: a post that the public can see.  Times are seconds since 1970, this machine's wall clock."""

    id: str
    text: str
    key: str | None
    token: str
    arrived_at: float
    """When the first byte of the request arrived."""
    accepted_at: float


class PlatformSettings(BaseModel):
    """How the platform is, as opposed to what goes wrong."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    keeps_keys_seconds: float | None = Field(default=None, ge=0)
    """How long a key is remembered; None: for ever; 0: keys are ignored."""
    listing_lag_ms: int = Field(default=0, ge=0)
    """How long a new post does not show in the listing."""
    refused_tokens: tuple[str, ...] = ()


@dataclass(slots=True)
class Board:
    """What the platform holds."""

    record: Path | None = None
    posts: list[AcceptedPost] = field(default_factory=list)
    by_key: dict[tuple[str, str], AcceptedPost] = field(default_factory=dict)

    def accept(self, request: Request, keeps_keys_seconds: float | None) -> AcceptedPost:
        """Publish, or answer a repeated key with the post it made."""
        text, key = request.body["text"], request.body.get("key")
        now = time.time()
        known = self.by_key.get((request.token, key)) if key else None
        if known and (keeps_keys_seconds is None or now - known.accepted_at < keeps_keys_seconds):
            return known
        post = AcceptedPost(f"p{len(self.posts) + 1}", text, key, request.token, request.arrived_at, now)
        self.posts.append(post)
        if key:
            self.by_key[request.token, key] = post
        if self.record:
            with self.record.open("a", encoding="utf-8") as file:
                file.write(json.dumps(asdict(post)) + "\n")
        return post

    def listing(self, token: str, since: float, until: float) -> list[AcceptedPost]:
        """The account's posts that were accepted between the two moments."""
        return [post for post in self.posts if post.token == token and since <= post.accepted_at <= until]


@dataclass(frozen=True, slots=True)
class Request:
    """One request, read to its end."""

    method: str
    path: str
    query: dict[str, str]
    token: str
    body: dict[str, Any]
    arrived_at: float


@dataclass(frozen=True, slots=True)
class Answer:
    """One HTTP answer."""

    status: int
    body: bytes
    retry_after: str | None = None

    @classmethod
    def json(cls, status: int, content: object) -> Answer:
        """With a JSON body."""
        return cls(status, json.dumps(content).encode())

    def encode(self) -> bytes:
        """As it goes over the wire."""
        head = [f"HTTP/1.1 {self.status} X", "Content-Type: application/json", f"Content-Length: {len(self.body)}"]
        if self.retry_after is not None:
            head.append(f"Retry-After: {_retry_after(self.retry_after)}")
        return "\r\n".join([*head, "", ""]).encode() + self.body


def _retry_after(given: str) -> str:
    if given.startswith("date+"):
        return formatdate(time.time() + float(given.removeprefix("date+")), usegmt=True)
    return given


class _Reader(asyncio.StreamReader):
    """A stream that knows when the first byte of the present request arrived."""

    arrived_at: float | None = None

    def feed_data(self, data: Any) -> None:
        if self.arrived_at is None:
            self.arrived_at = time.time()
        super().feed_data(data)


class PlatformServer:
    """Serves the platform on a socket of its own."""

    def __init__(self, record: Path | None = None) -> None:
        self.board = Board(record)
        self.script = Script([])
        self.settings = PlatformSettings()
        self.requests: list[dict[str, Any]] = []
        self._connections: set[asyncio.Task[None]] = set()

    async def start(self, port: int) -> int:
        """Listen on localhost; returns the port."""
        listener = socket.create_server(("127.0.0.1", port), backlog=BACKLOG)
        server = await asyncio.get_running_loop().create_server(self._connected, sock=listener, backlog=BACKLOG)
        bound: int = server.sockets[0].getsockname()[1]
        return bound

    def _connected(self) -> asyncio.StreamReaderProtocol:
        loop = asyncio.get_running_loop()
        return asyncio.StreamReaderProtocol(_Reader(loop=loop), self._serve, loop=loop)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert isinstance(reader, _Reader)
        try:
            while await self._serve_one(reader, writer):
                pass
        except (ConnectionError, asyncio.IncompleteReadError, TimeoutError):
            pass
        finally:
            writer.close()

    async def _serve_one(self, reader: _Reader, writer: asyncio.StreamWriter) -> bool:
        """Answer one request; whether the connection lives on."""
        reader.arrived_at = None
        # A request that came together with the one before it would already wait in the buffer: clients do not pipeline.
        first = await reader.read(1)
        if not first:
            return False
        arrived_at = reader.arrived_at or time.time()
        request = await _read_request(first, reader, arrived_at)
        if request.path.startswith("/admin/"):
            return await _send(writer, self._admin(request))
        if self.script.rule_for("connect"):
            self._note(request, "dropped", None)
            _reset(writer)
            return False
        return await self._follow_script(request, writer)

    async def _follow_script(self, request: Request, writer: asyncio.StreamWriter) -> bool:
        verb = _verb(request)
        rule = self.script.rule_for(verb, str(request.body.get("text", "")), request.token) or Rule(on=verb)
        await asyncio.sleep(rule.think_ms / 1000)
        answer = self._answer(verb, request, rule)
        self._note(request, rule.reply, answer.status)
        await asyncio.sleep(rule.answer_after_ms / 1000)
        match rule.reply:
            case Reply.ANSWER:
                return await _send(writer, answer)
            case Reply.RESET:
                _reset(writer)
            case Reply.TRUNCATE:
                whole = answer.encode()
                writer.write(whole[: len(whole) - max(1, len(answer.body) // 2)])
                await writer.drain()
            case Reply.SILENCE:
                await asyncio.sleep(SILENCE_SECONDS)
            case Reply.CLOSE:
                pass
        return False

    def _answer(self, verb: Verb, request: Request, rule: Rule) -> Answer:
        """Do what the platform does, and say what the rule says."""
        proper = self._behave(verb, request) if rule.accepts else Answer.json(503, {"error": "later"})
        if rule.status is None and rule.body is None:
            return Answer(proper.status, proper.body, rule.retry_after)
        body = proper.body if rule.body is None else rule.body.encode()
        return Answer(rule.status or proper.status, body, rule.retry_after)

    def _behave(self, verb: Verb, request: Request) -> Answer:
        if not request.token or request.token in self.settings.refused_tokens:
            return Answer.json(401, {"error": "token"})
        if verb == "check":
            return Answer.json(200, {"id": request.token, "name": f"Account {request.token}"})
        if verb == "find":
            until = time.time() - self.settings.listing_lag_ms / 1000
            posts = self.board.listing(request.token, float(request.query.get("since", 0)), until)
            shown = [{"id": post.id, "text": post.text, "key": post.key, "at": post.accepted_at} for post in posts]
            return Answer.json(200, {"posts": shown})
        return self._publish(request)

    def _publish(self, request: Request) -> Answer:
        if not isinstance(request.body.get("text"), str):
            return Answer.json(422, {"error": "content"})
        post = self.board.accept(request, self.settings.keeps_keys_seconds)
        if post.text != request.body["text"]:
            return Answer.json(409, {"error": "this key was used for another text"})
        return Answer.json(201, {"ok": True, "id": post.id, "url": f"http://fake.example/{post.id}"})

    def _admin(self, request: Request) -> Answer:
        match request.method, request.path.removeprefix("/admin/"):
            case "POST", "script":
                rules = [Rule.model_validate(rule) for rule in request.body["rules"]]
                self.script = Script(rules, int(request.body.get("seed", 0)))
            case "POST", "settings":
                self.settings = PlatformSettings.model_validate(request.body)
            case "POST", "reset":
                self.board, self.script, self.requests = Board(self.board.record), Script([]), []
                self.settings = PlatformSettings()
            case "GET", "posts":
                return Answer.json(200, [asdict(post) for post in self.board.posts])
            case "GET", "requests":
                return Answer.json(200, self.requests)
            case _:
                return Answer.json(404, {"error": "no such page"})
        return Answer.json(200, {})

    def _note(self, request: Request, reply: str, status: int | None) -> None:
        self.requests.append(
            {
                "verb": _verb(request),
                "token": request.token,
                "text": request.body.get("text"),
                "key": request.body.get("key"),
                "arrived_at": request.arrived_at,
                "reply": reply,
                "status": status,
            }
        )


def _verb(request: Request) -> Verb:
    if request.method == "POST":
        return "publish"
    return "check" if request.path == "/me" else "find"


async def _read_request(first: bytes, reader: asyncio.StreamReader, arrived_at: float) -> Request:
    head = (first + await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    request_line, *lines = head.rstrip("\r\n").split("\r\n")
    method, target, _ = request_line.split(" ", 2)
    headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    length = int(headers.get("content-length", "0"))
    content = await reader.readexactly(length) if length else b""
    parts = urlsplit(target)
    return Request(
        method=method,
        path=parts.path,
        query={name: values[0] for name, values in parse_qs(parts.query).items()},
        token=headers.get("authorization", "").removeprefix("Bearer "),
        body=json.loads(content) if content else {},
        arrived_at=arrived_at,
    )


async def _send(writer: asyncio.StreamWriter, answer: Answer) -> bool:
    writer.write(answer.encode())
    await writer.drain()
    return True


def _reset(writer: asyncio.StreamWriter) -> None:
    """Close with RST instead of FIN: linger zero."""
    raw = writer.get_extra_info("socket")
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
