"""Media from an address: fetched from outside only, in bounded time, and whole or not at all.

Every hop of a redirect is checked like the first.  All addresses that a name has are checked, and one of these is
connected to, without a second look-up.  Never through a proxy: it would look the name up by itself, unchecked.
"""

from __future__ import annotations

import io
import re
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import BinaryIO
from urllib.parse import urljoin

import httpcore2
import httpx2

from autoposter.media.outside import inside_by_its_name, is_outside, is_own, parsed, refuse_inside
from autoposter.media.sources import shown
from autoposter.publishers.errors import ContentRejected, Transient
from autoposter.publishers.http import USER_AGENT, tls_context
from autoposter.publishers.sockets import Backend, Deadline

#: A file is fetched within this as a whole, redirects included: 1 GB at 14 Mbit/s.
FETCH_LASTS = timedelta(minutes=10)

#: Whether an address answers at all is known after this.
REACH_LASTS = timedelta(seconds=10)

#: Longer files are refused, in bytes.  No platform takes more by its API.
LARGEST = 4 * 1024**3

#: So many redirects are followed.
MOST_HOPS = 5

#: Answers that may be others in a minute.
PASSING = {408, 425, 429}


@dataclass(frozen=True, slots=True)
class Fetched:
    """An answer whose body has not been read yet."""

    stream: BinaryIO
    """Raises ContentRejected or Transient; its end is the end of the file, never less."""
    size: int | None
    """Bytes of the whole file; None where the server does not say."""
    start: int
    """Where in the file the stream begins."""
    is_inside: bool
    """Some hop of the way can only be reached from inside the house."""


@contextmanager
def fetch(source: str, allow: Collection[str], *, lasts: timedelta | None = None, start: int = 0) -> Iterator[Fetched]:
    """Fetch a file from `start` on, if the server can begin there; from 0 otherwise.

    Raises ContentRejected or Transient, in one sentence each.  `lasts` counts until all is read.
    """
    deadline = Deadline(FETCH_LASTS if lasts is None else lasts)
    url, is_inside = parsed(source, allow), False
    for _ in range(MOST_HOPS + 1):
        with _hop(url, allow, deadline, start) as (answer, was_inside):
            is_inside |= was_inside
            headers = httpx2.Headers(answer.headers)
            if 300 <= answer.status < 400:
                url = _next_hop(url, headers, allow)
                continue
            _refuse_status(url, answer.status)
            yield _fetched(url, answer, headers, is_inside)
            return
    raise ContentRejected(f"{shown(source)} leads on and on: more than {MOST_HOPS} redirects.")


def reach(address: str) -> None:
    """Have any answer from an address outside.  Raises ContentRejected where it is inside, Transient without one."""
    url = parsed(address, ())
    with _hop(url, (), Deadline(REACH_LASTS), 0):
        pass


@contextmanager
def _hop(
    url: httpx2.URL, allow: Collection[str], deadline: Deadline, start: int
) -> Iterator[tuple[httpcore2.Response, bool]]:
    """One request, on a connection of its own, and whether that leads inside."""
    door = _Door(url, allow)
    with door.pool as pool:
        with _one_sentence(url):
            answer = pool.handle_request(_request(url, deadline, start))
        try:
            yield answer, door.is_inside
        finally:
            answer.close()


class _Door:
    """The connection of one hop, and whether it leads inside."""

    def __init__(self, url: httpx2.URL, allow: Collection[str]) -> None:
        self._is_own = is_own(url, allow)
        self.is_inside = self._is_own and (url.scheme == "http" or inside_by_its_name(url.host))
        self.pool = httpcore2.ConnectionPool(ssl_context=tls_context(), network_backend=Backend(admit=self._admit))

    def _admit(self, host: str, addresses: list[str]) -> None:
        if not self._is_own:
            refuse_inside(host, addresses)
        self.is_inside |= not all(map(is_outside, addresses))


def _request(url: httpx2.URL, deadline: Deadline, start: int) -> httpcore2.Request:
    headers = [
        (b"Host", url.netloc),
        (b"User-Agent", USER_AGENT.encode()),
        (b"Accept", b"*/*"),
        (b"Accept-Encoding", b"identity"),
        *([(b"Range", b"bytes=%d-" % start)] if start else []),
    ]
    return httpcore2.Request(
        "GET",
        httpcore2.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path),
        headers=headers,
        extensions={"timeout": dict.fromkeys(("connect", "read", "write", "pool"), deadline)},
    )


def _next_hop(url: httpx2.URL, headers: httpx2.Headers, allow: Collection[str]) -> httpx2.URL:
    if not headers.get("location"):
        raise ContentRejected(f"{shown(url)} is a redirect to nowhere.")
    try:
        return parsed(urljoin(str(url), headers["location"]), allow)
    except ValueError:
        raise ContentRejected(f"{shown(url)} is a redirect to an address that cannot be read.") from None


def _refuse_status(url: httpx2.URL, status: int) -> None:
    if status in PASSING or status >= 500:
        raise Transient(f"{shown(url)} cannot be fetched now: the server answers {status}.")
    if status not in (200, 206):
        raise ContentRejected(f"{shown(url)} cannot be fetched: the server answers {status}.")


def _fetched(url: httpx2.URL, answer: httpcore2.Response, headers: httpx2.Headers, is_inside: bool) -> Fetched:
    if headers.get("content-encoding", "identity").strip().lower() != "identity":
        raise ContentRejected(f"{shown(url)} is sent packed ({headers['content-encoding'][:50]}), unasked.")
    length = int(headers["content-length"]) if "content-length" in headers else None
    if length is None and "transfer-encoding" not in headers:
        raise ContentRejected(
            f"{shown(url)} is sent without its length, so that nobody could tell whether it is whole."
        )
    start, size = _part(url, answer.status, headers, length)
    if size is not None and size > LARGEST:
        raise ContentRejected(f"{shown(url)} has {size:,} bytes; {LARGEST:,} are taken.")
    stream = io.BufferedReader(_Body(url, answer.iter_stream()), buffer_size=64 * 1024)
    return Fetched(stream, size, start, is_inside)


def _part(url: httpx2.URL, status: int, headers: httpx2.Headers, length: int | None) -> tuple[int, int | None]:
    """Where the body begins in the file, and the size of the whole file."""
    if status != 206:
        return 0, length
    said = re.fullmatch(r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18})", headers.get("content-range", "").strip())
    if said is None:
        raise Transient(f"{shown(url)} is sent in a part that the server does not name.")
    first, last, size = map(int, said.groups())
    if last != size - 1 or length not in (None, size - first):
        raise Transient(f"{shown(url)} is sent in another part than was asked for.")
    return first, size


class _Body(io.RawIOBase):
    """A body as it arrives."""

    def __init__(self, url: httpx2.URL, chunks: Iterator[bytes]) -> None:
        self._url = url
        self._chunks = chunks
        self._rest = memoryview(b"")
        self._arrived = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview, /) -> int:  # type: ignore[override]  # the buffer that BufferedReader gives
        with _one_sentence(self._url):
            while not self._rest:
                chunk = next(self._chunks, None)
                if chunk is None:
                    return 0
                self._rest = memoryview(chunk)
                self._arrived += len(chunk)
        if self._arrived > LARGEST:
            raise ContentRejected(f"{shown(self._url)} has more than {LARGEST:,} bytes.")
        count = min(len(buffer), len(self._rest))
        buffer[:count] = self._rest[:count]
        self._rest = self._rest[count:]
        return count


@contextmanager
def _one_sentence(url: httpx2.URL) -> Iterator[None]:
    """What happens on the network, as the contract's errors.  All of it may pass."""
    try:
        yield
    except httpcore2.TimeoutException as error:
        raise Transient(f"{shown(url)} was not fetched in time.") from error
    except httpcore2.RemoteProtocolError as error:
        raise Transient(f"{shown(url)} broke off, or is no HTTP: {_words(error)}.") from error
    except (httpcore2.NetworkError, httpcore2.ProtocolError, httpcore2.UnsupportedProtocol) as error:
        raise Transient(f"{shown(url)} cannot be fetched now: {_words(error)}.") from error


def _words(error: Exception) -> str:
    return shown(error).rstrip(".")
