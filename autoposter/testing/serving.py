"""What every fake platform stands on: a real socket, a script that says what goes wrong, a note of each request.

A platform says two things: which requests publish (`verb`), and what it does with one (`behave`).  The script decides
what the caller hears of it.
"""

from __future__ import annotations

import asyncio
import json
import re
import socket
import struct
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.utils import formatdate
from functools import cached_property
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlsplit

from autoposter.testing.rules import Reply, Rule, Script, Verb

#: A caller that waits longer than this for an answer that never comes is let go, in seconds.
SILENCE_SECONDS = 120

#: Connections that wait to be taken.
BACKLOG = 4096

#: How much of a request the kernel keeps before it is read, in bytes: a publisher that streams is held back by it.
KERNEL_BYTES = 256 * 1024


@dataclass(frozen=True)
class Request:
    """One request, read to its end."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    """Names in lower case."""
    content: bytes
    arrived_at: float
    """When its first byte arrived, in seconds since 1970."""

    @property
    def token(self) -> str:
        """What follows `Authorization: Bearer`; empty where there is none."""
        return self.headers.get("authorization", "").removeprefix("Bearer ")

    @cached_property
    def body(self) -> dict[str, Any]:
        """The JSON object it brought; empty where there is none."""
        try:
            value = json.loads(self.content)
        except ValueError:
            return {}
        return value if isinstance(value, dict) else {}

    @cached_property
    def form(self) -> dict[str, str]:
        """The fields of a form, urlencoded or multipart; a file's content is in `files`."""
        if not self._is_multipart:
            return dict(parse_qsl(self.content.decode(), keep_blank_values=True))
        return {name: part.decode() for name, is_file, part in self._parts if not is_file}

    @cached_property
    def files(self) -> dict[str, bytes]:
        """The files of a multipart form, by the names of their fields."""
        return {name: part for name, is_file, part in self._parts if is_file}

    @property
    def _is_multipart(self) -> bool:
        return self.headers.get("content-type", "").startswith("multipart/")

    @cached_property
    def _parts(self) -> list[tuple[str, bool, bytes]]:
        """Name, whether it is a file, content."""
        boundary = re.search(r'^multipart/.*boundary="?([^";]+)', self.headers.get("content-type", ""))
        parts = self.content.split(b"--" + boundary[1].encode())[1:-1] if boundary else []
        return [_part(part) for part in parts]


def _part(part: bytes) -> tuple[str, bool, bytes]:
    head, _, content = part.partition(b"\r\n\r\n")
    name = re.search(rb'[; ]name="([^"]*)"', head)
    return (name[1].decode() if name else ""), b"filename" in head, content.removesuffix(b"\r\n")


@dataclass(frozen=True, slots=True)
class Answer:
    """One HTTP answer."""

    status: int
    body: bytes = b""
    retry_after: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def json(cls, status: int, content: object, **headers: str) -> Answer:
        """With a JSON body.  `X_Request_Id="7"` is the header `X-Request-Id`."""
        return cls(status, json.dumps(content).encode(), None, headers)

    def encode(self) -> bytes:
        """As it goes over the wire."""
        head = [f"HTTP/1.1 {self.status} X", "Content-Type: application/json", f"Content-Length: {len(self.body)}"]
        head += [f"{name.replace('_', '-')}: {value}" for name, value in self.headers.items()]
        if self.retry_after is not None:
            head.append(f"Retry-After: {_retry_after(self.retry_after)}")
        return "\r\n".join([*head, "", ""]).encode() + self.body


def _retry_after(given: str) -> str:
    if given.startswith("date+"):
        return formatdate(time.time() + float(given.removeprefix("date+")), usegmt=True)
    return given


class _Reader(asyncio.StreamReader):
    """A stream that knows when the first byte of the present request arrived, and how many bytes came in all."""

    arrived_at: float | None = None
    counter: Server

    def feed_data(self, data: Any) -> None:
        if self.arrived_at is None:
            self.arrived_at = time.time()
        self.counter.received_bytes += len(data)
        super().feed_data(data)


class Server:
    """Serves a platform on a socket of its own."""

    def __init__(self) -> None:
        self.script = Script([])
        self.requests: list[dict[str, Any]] = []
        """Every request that the script was asked about, with what was replied."""
        self.received_bytes = 0

    def verb(self, request: Request) -> Verb:
        """What a request is for."""
        raise NotImplementedError

    def behave(self, verb: Verb, request: Request) -> Answer:
        """What the platform does when nothing goes wrong."""
        raise NotImplementedError

    def beside_the_script(self, request: Request) -> Answer | None:
        """The answer to a request that is not the platform's but the test's; None: it is the platform's."""
        return None

    async def start(self, port: int) -> int:
        """Listen on localhost; returns the port."""
        listener = socket.create_server(("127.0.0.1", port), backlog=BACKLOG)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, KERNEL_BYTES)
        server = await asyncio.get_running_loop().create_server(self._connected, sock=listener, backlog=BACKLOG)
        bound: int = server.sockets[0].getsockname()[1]
        return bound

    def _connected(self) -> asyncio.StreamReaderProtocol:
        loop = asyncio.get_running_loop()
        reader = _Reader(loop=loop)
        reader.counter = self
        return asyncio.StreamReaderProtocol(reader, self._serve, loop=loop)

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
        if (answer := self.beside_the_script(request)) is not None:
            return await _send(writer, answer)
        if self.script.rule_for("connect"):
            self._note(request, "dropped", None)
            _reset(writer)
            return False
        return await self._follow_script(request, writer)

    async def _follow_script(self, request: Request, writer: asyncio.StreamWriter) -> bool:
        verb = self.verb(request)
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
        proper = self.behave(verb, request) if rule.accepts else Answer.json(503, {"error": "later"})
        if rule.status is None and rule.body is None:
            return Answer(proper.status, proper.body, rule.retry_after, proper.headers)
        body = proper.body if rule.body is None else rule.body.encode()
        return Answer(rule.status or proper.status, body, rule.retry_after)

    def _note(self, request: Request, reply: str, status: int | None) -> None:
        self.requests.append(
            {
                "verb": self.verb(request),
                "method": request.method,
                "path": request.path,
                "token": request.token,
                "text": request.body.get("text"),
                "key": request.body.get("key"),
                "arrived_at": request.arrived_at,
                "reply": reply,
                "status": status,
            }
        )


async def _read_request(first: bytes, reader: asyncio.StreamReader, arrived_at: float) -> Request:
    head = (first + await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    request_line, *lines = head.rstrip("\r\n").split("\r\n")
    method, target, _ = request_line.split(" ", 2)
    headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    parts = urlsplit(target)
    return Request(
        method=method,
        path=parts.path,
        query={name: values[0] for name, values in parse_qs(parts.query, keep_blank_values=True).items()},
        headers=headers,
        content=await _read_content(reader, headers),
        arrived_at=arrived_at,
    )


async def _read_content(reader: asyncio.StreamReader, headers: Mapping[str, str]) -> bytes:
    if headers.get("transfer-encoding", "").lower() != "chunked":
        return await reader.readexactly(int(headers.get("content-length") or 0))
    chunks = []
    while size := int((await reader.readuntil(b"\r\n")).split(b";")[0], 16):
        chunks.append(await reader.readexactly(size))
        await reader.readexactly(2)
    await reader.readuntil(b"\r\n")
    return b"".join(chunks)


async def _send(writer: asyncio.StreamWriter, answer: Answer) -> bool:
    writer.write(answer.encode())
    await writer.drain()
    return True


def _reset(writer: asyncio.StreamWriter) -> None:
    """Close with RST instead of FIN: linger zero."""
    raw = writer.get_extra_info("socket")
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
