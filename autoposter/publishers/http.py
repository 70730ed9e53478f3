"""The HTTP client that a publisher is handed, and the fence around the one irreversible request.

While the fence stands (`Wire.publishing`), one request other than GET or HEAD is let out, whatever way it was made:
each request, streamed or not, each redirect and each step of an authentication passes the transport below.  It goes out
on a connection of its own, opened for it: one that has idled may be dead, and only a fresh one tells that no byte left.
It is never repeated.  Everything inside the fence, the irreversible request too, ends when the fence's time is over.

Proxies are taken from the environment (`HTTPS_PROXY`, `NO_PROXY`), as everywhere; only `http://` ones.  The fence holds
through them: what is said to the proxy before TLS stands is no byte of the request, and a proxy that refuses the tunnel
has sent nothing.  HTTP/1.1 only: one connection, one request, so that what was written belongs to it.
"""

from __future__ import annotations

import logging
import ssl
import urllib.request
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import cache
from importlib.metadata import version
from types import TracebackType
from typing import Any, Self

import httpcore2
import httpx2

from autoposter.clock import Stopwatch
from autoposter.lifecycle import WireRecord
from autoposter.publishers.evidence import Call, Calls
from autoposter.publishers.fence import Fence, SecondIrreversibleCall, is_irreversible
from autoposter.publishers.sockets import Backend, Deadline
from autoposter.redaction import Mask

__all__ = ["AnswerTooLong", "SecondIrreversibleCall", "Wire", "tls_context"]

#: A request outside the fence that names no timeout is over after this, as a whole.
REQUEST_LASTS = timedelta(seconds=60)

#: Longer answers are refused, as they arrive and unpacked, in bytes.  Streamed ones too: no platform's answer needs it.
LONGEST_ANSWER = 10 * 1024 * 1024

USER_AGENT = f"autoposter/{version('autoposter')}"

# Both tell whole URLs, with the tokens in them, at INFO and DEBUG.
logging.getLogger("httpx2").setLevel(logging.WARNING)
logging.getLogger("httpcore2").setLevel(logging.WARNING)


class AnswerTooLong(httpx2.RemoteProtocolError):
    """The answer is longer than any platform's; the rest of it was not read."""


class Wire:
    """HTTP for one attempt: the client a publisher is handed, and what the wire saw.

    `secrets` are left out of the evidence.  Used by one thread; close it, or use it in a `with`.  A `timeout` that a
    request names is the time for the whole of it (the longest, where several are named); `None` is 60 s, inside the
    fence all that is left of the fence's.
    """

    def __init__(self, *, secrets: Iterable[str] = ()) -> None:
        self._mask = Mask(secrets)
        self._calls = Calls(self._mask)
        self._transport = _Transport(self._calls)
        self.client: httpx2.Client = _Client(self._transport)

    @property
    def record(self) -> WireRecord:
        """How far the irreversible request came."""
        fence = self._transport.fence
        return fence.record if fence else WireRecord()

    @property
    def evidence(self) -> dict[str, Any]:
        """The last 50 calls, as JSON: `{"calls": [{method, host, path, status, ms, request_id, error}, ...]}`."""
        return self._calls.as_json()

    def masked(self, text: str) -> str:
        """`text` without the secrets: an `httpx2.HTTPStatusError` tells the whole URL, the token in its query too."""
        return self._mask.text(text)

    @contextmanager
    def publishing(self, deadline: timedelta, promised: Stopwatch | None = None) -> Iterator[None]:
        """The fence stands: inside, one request other than GET or HEAD is let out.  Once per Wire.

        `deadline` counts from here, by the monotonic and the wall clock; then everything inside is over.  `promised`
        was started with the intent: a process that was frozen since then is over when others count the call as ended.
        """
        if self._transport.fence:
            raise RuntimeError("a Wire serves one attempt: make another for the next")
        self._transport.fence = fence = Fence(deadline, promised)
        try:
            yield
        finally:
            fence.stands = False

    def close(self) -> None:
        """Close all connections."""
        self.client.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()


class _Client(httpx2.Client):
    """Follows no redirect with an irreversible request, whatever it is told."""

    def __init__(self, transport: _Transport) -> None:
        super().__init__(transport=transport, timeout=None, headers={"User-Agent": USER_AGENT})
        self._fenced = transport

    def send(self, request: httpx2.Request, **how: Any) -> httpx2.Response:
        if self._fenced.standing and is_irreversible(request.method):
            how["follow_redirects"] = False
        return super().send(request, **how)


class _Transport(httpx2.BaseTransport):
    """What every request passes, and every answer."""

    def __init__(self, calls: Calls) -> None:
        self.fence: Fence | None = None
        self._calls = calls
        self._kept: dict[str, httpcore2.ConnectionPool] = {}  # by proxy
        self._own: httpcore2.ConnectionPool | None = None

    @property
    def standing(self) -> Fence | None:
        """The fence, while it stands."""
        return self.fence if self.fence and self.fence.stands else None

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        fence = self.standing
        call = self._calls.begin(request)
        with self._calls.watching(call), _httpx_errors():
            if fence and fence.let_through(request.method):
                self._calls.keep(call)
                pool = self._own = _pool(request.url, Backend(witness=fence, tls=request.url.scheme == "https"))
                return self._answer(pool, request, call, fence)
            return self._answer(self._keeping(request.url), request, call, None)

    def _keeping(self, url: httpx2.URL) -> httpcore2.ConnectionPool:
        """The pool whose connections are used again."""
        address = _proxy_address(url)
        if address not in self._kept:
            self._kept[address] = _pool(url, Backend())
        return self._kept[address]

    def _answer(
        self, pool: httpcore2.ConnectionPool, request: httpx2.Request, call: Call, fence: Fence | None
    ) -> httpx2.Response:
        since = Stopwatch()  # started before the fence is asked: frozen in between, nothing is left
        deadline = Deadline(_time_for(request, self.standing), since)
        answer = pool.handle_request(_core_request(request, deadline))
        body = _Body(request, answer, self._calls, call, fence)
        response = _Response(answer.status, headers=answer.headers, stream=body, extensions=answer.extensions)
        self._calls.answered(call, answer.status, response.headers)
        return response

    def close(self) -> None:
        for pool in [*self._kept.values(), *([self._own] if self._own else [])]:
            pool.close()


class _Body(httpx2.SyncByteStream):
    """The bytes of an answer as they arrive.  When the last one has, the answer is complete."""

    def __init__(
        self, request: httpx2.Request, answer: httpcore2.Response, calls: Calls, call: Call, fence: Fence | None
    ) -> None:
        self._request = request
        self._answer = answer
        self._calls = calls
        self._call = call
        self._fence = fence

    def __iter__(self) -> Iterator[bytes]:
        with self._calls.watching(self._call), _httpx_errors():
            yield from _limited(self._answer.iter_stream(), self._request)
            if self._fence:
                self._fence.answer_complete(self._answer.status)

    def close(self) -> None:
        self._answer.close()
        self._call.ended()


class _Response(httpx2.Response):
    """An answer that does not unpack to more than `LONGEST_ANSWER`.  All ways of reading it come by here."""

    def iter_bytes(self, chunk_size: int | None = None) -> Iterator[bytes]:
        return _limited(super().iter_bytes(chunk_size), self.request)


def _limited(chunks: Iterable[bytes], request: httpx2.Request) -> Iterator[bytes]:
    size = 0
    for chunk in chunks:
        size += len(chunk)
        if size > LONGEST_ANSWER:
            raise AnswerTooLong(f"The answer is longer than {LONGEST_ANSWER:,} bytes.", request=request)
        yield chunk


def _time_for(request: httpx2.Request, fence: Fence | None) -> timedelta:
    """The longest of the timeouts the publisher gave, as a whole; never beyond the fence's time."""
    given = [seconds for seconds in request.extensions.get("timeout", {}).values() if seconds is not None]
    asked = timedelta(seconds=max(given)) if given else None
    if fence:
        left = fence.left
        return left if asked is None else min(asked, left)
    return REQUEST_LASTS if asked is None else asked


def _core_request(request: httpx2.Request, deadline: Deadline) -> httpcore2.Request:
    assert isinstance(request.stream, httpx2.SyncByteStream)  # the client has refused others
    url = request.url
    timeouts = {"connect": deadline, "read": deadline, "write": deadline, "pool": max(float(deadline), 0.0)}
    return httpcore2.Request(
        method=request.method,
        url=httpcore2.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path),
        headers=request.headers.raw,
        content=request.stream,
        extensions={**request.extensions, "timeout": timeouts},
    )


@contextmanager
def _httpx_errors() -> Iterator[None]:
    """Turn httpcore2's errors into those of the same name that publishers know."""
    try:
        yield
    except (
        httpcore2.TimeoutException,
        httpcore2.NetworkError,
        httpcore2.ProtocolError,
        httpcore2.ProxyError,
        httpcore2.UnsupportedProtocol,
    ) as error:
        raise getattr(httpx2, type(error).__name__)(str(error)) from error


# --- Connections ---------------------------------------------------------------------------------------------------


@cache
def tls_context() -> ssl.SSLContext:
    """The process's one TLS context: making it costs 25 ms of CPU.  `SSL_CERT_FILE` and `SSL_CERT_DIR` are obeyed."""
    return httpx2.create_ssl_context()


def _pool(url: httpx2.URL, backend: Backend) -> httpcore2.ConnectionPool:
    address = _proxy_address(url)
    return httpcore2.ConnectionPool(
        ssl_context=tls_context(),
        proxy=_proxy(httpx2.URL(address)) if address else None,
        keepalive_expiry=5.0,
        network_backend=backend,
    )


@cache
def environment_proxies() -> dict[str, str]:
    """The environment's proxies as the process finds them first: to read them is a tenth of a small attempt's CPU."""
    return urllib.request.getproxies()


def _proxy_address(url: httpx2.URL) -> str:
    """The proxy's address; empty: none."""
    address = environment_proxies().get(url.scheme) or environment_proxies().get("all") or ""
    if not address or urllib.request.proxy_bypass(url.host):
        return ""
    return address if "://" in address else f"http://{address}"


def _proxy(url: httpx2.URL) -> httpcore2.Proxy:
    if url.scheme != "http":
        raise httpx2.ProxyError(f"The proxy in the environment is a {url.scheme}:// one; only http:// works.")
    auth = (url.username, url.password) if url.username else None
    return httpcore2.Proxy(httpcore2.URL(scheme="http", host=url.host, port=url.port, target="/"), auth=auth)
