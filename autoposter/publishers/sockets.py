"""Below httpcore2's connection pool: sockets that end with their request, and tell when its first byte leaves.

httpcore2 knows a timeout for each operation, and so many operations last for ever: a byte of the answer every second,
a big body that trickles away.  Here each operation gets what is left of the whole (`Deadline`), and none is begun when
nothing is left.  Looking up a name cannot be given a timeout; it runs in a thread that is left behind.

What is not bounded here: a body that the publisher itself makes piece by piece.  While it makes one, nothing is sent.
"""

from __future__ import annotations

import contextlib
import queue
import select
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterable, Iterator
from datetime import timedelta
from typing import Any, Protocol

import httpcore2

from autoposter.clock import Stopwatch

#: The most that one write hands to the operating system, in bytes; before each the deadline is looked at.
PIECE_BYTES = 64 * 1024

#: `SO_LINGER` on, 0 s: closing throws away what still waits in the kernel to be sent, and resets the connection.
DISCARD_UNSENT = struct.pack("ii", 1, 0)


class Deadline(float):
    """When a request is over as a whole, in the guise of the timeout in seconds that httpcore2 hands through.

    By the monotonic and the wall clock: a process that was frozen in the midst of a body sends no more of it.
    """

    def __new__(cls, lasts: timedelta, since: Stopwatch | None = None) -> Deadline:
        return super().__new__(cls, lasts.total_seconds())

    def __init__(self, lasts: timedelta, since: Stopwatch | None = None) -> None:
        self._lasts = lasts
        self._watch = since or Stopwatch()

    def left(self, otherwise: type[Exception]) -> float:
        """The seconds that are left, more than 0; raises `otherwise` when there are none."""
        left = self._lasts - self._watch.elapsed
        if left <= timedelta(0):
            raise otherwise(f"The time for the whole request is over ({self:g} s).")
        return left.total_seconds()


class Witness(Protocol):
    """Who must know what happens to the irreversible request."""

    @property
    def answered(self) -> bool:
        """Whether its answer has arrived completely."""

    def byte_leaves(self) -> None:
        """Called before each piece of the request is handed to the operating system."""


class Backend(httpcore2.NetworkBackend):
    """Opens the connections of one pool; `witness` stands beside each of them, if given.

    `tls`: the request itself goes out under TLS.  What is written before TLS stands is then no byte of it: the
    greeting of a proxy.  `admit` is asked with a host and all its addresses before one of these is connected to, and
    raises for those that it does not admit; a name is looked up once, so that nothing else can be connected to.
    """

    def __init__(
        self,
        *,
        witness: Witness | None = None,
        tls: bool = False,
        admit: Callable[[str, list[str]], None] | None = None,
    ) -> None:
        self._witness = witness
        self._tls = tls
        self._admit = admit

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.NetworkStream:
        """Connect to the first address of `host` that answers.  Each gets an equal share of the time."""
        deadline = _deadline(timeout)
        addresses = _addresses(host, port, deadline)
        if self._admit:
            self._admit(host, addresses)
        sock = _connect(addresses, port, deadline)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self._witness:
            _forget_after(deadline, sock)
        return Stream(sock, witness=self._witness, carries_request=not self._tls)


class Stream(httpcore2.NetworkStream):
    """One connection.  Every `timeout` is the whole request's Deadline."""

    def __init__(self, sock: socket.socket, *, witness: Witness | None, carries_request: bool) -> None:
        self._sock = sock
        self._witness = witness
        self._carries_request = carries_request

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """What has arrived, at most `max_bytes`; empty at the end."""
        seconds = _deadline(timeout).left(httpcore2.ReadTimeout)
        with _as(httpcore2.ReadTimeout, httpcore2.ReadError):
            self._sock.settimeout(seconds)
            return self._sock.recv(max_bytes)

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Send all of it, or raise."""
        rest = memoryview(buffer)
        while rest:
            seconds = _deadline(timeout).left(httpcore2.WriteTimeout)
            if self._witness and self._carries_request:
                self._witness.byte_leaves()  # before: killed between the two, it may have left
            with _as(httpcore2.WriteTimeout, httpcore2.WriteError):
                self._sock.settimeout(seconds)
                rest = rest[self._sock.send(rest[:PIECE_BYTES]) :]

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore2.NetworkStream:
        """The same connection under TLS.  The standard library's handshake keeps its timeout as a whole."""
        with _as(httpcore2.ConnectTimeout, httpcore2.ConnectError):
            try:
                self._sock.settimeout(_deadline(timeout).left(httpcore2.ConnectTimeout))
                sock = ssl_context.wrap_socket(self._sock, server_hostname=server_hostname)
            except BaseException:
                self.close()
                raise
        return Stream(sock, witness=self._witness, carries_request=True)

    def close(self) -> None:
        """Close the connection.  Of an irreversible request without an answer, not a byte more may leave.

        Otherwise the kernel would go on sending a half-sent body for minutes, and the platform might publish it after
        the post was found "not there".
        """
        if self._witness and not self._witness.answered:
            with contextlib.suppress(OSError):  # closed before, or taken over by TLS
                self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, DISCARD_UNSENT)
        self._sock.close()

    def get_extra_info(self, info: str) -> Any:
        """What httpcore2 asks of a connection."""
        match info:
            case "ssl_object":
                return self._sock if isinstance(self._sock, ssl.SSLSocket) else None
            case "socket":
                return self._sock
            case "client_addr":
                return self._sock.getsockname()
            case "server_addr":
                return self._sock.getpeername()
            case "is_readable":  # of an idle connection: the other side has closed it
                return _is_readable(self._sock)
        return None


def _deadline(timeout: float | None) -> Deadline:
    if not isinstance(timeout, Deadline):
        raise TypeError(f"every request needs a Deadline, and this one has {timeout!r}")
    return timeout


def _addresses(host: str, port: int, deadline: Deadline) -> list[str]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    except (OSError, UnicodeError):  # a name, and perhaps an impossible one
        found = _look_up(host, port, deadline)
    return [str(address[0]) for *_, address in found]


def _look_up(host: str, port: int, deadline: Deadline) -> list[Any]:
    """Ask the resolver, which knows no timeout, in a thread: one that is late ends whenever the resolver lets it."""
    answers: queue.SimpleQueue[list[Any] | Exception] = queue.SimpleQueue()

    def ask() -> None:
        try:
            answers.put(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
        except (OSError, UnicodeError) as error:  # UnicodeError: an impossible name
            answers.put(error)

    threading.Thread(target=ask, name=f"looks up {host}", daemon=True).start()
    try:
        answer = answers.get(timeout=deadline.left(httpcore2.ConnectTimeout))
    except queue.Empty:
        raise httpcore2.ConnectTimeout(f"The name {host} was not looked up in time.") from None
    if isinstance(answer, Exception):
        raise httpcore2.ConnectError(f"The name {host} cannot be looked up: {answer}") from answer
    return answer


def _connect(addresses: list[str], port: int, deadline: Deadline) -> socket.socket:
    for number, address in enumerate(addresses, start=1):
        share = deadline.left(httpcore2.ConnectTimeout) / (len(addresses) - number + 1)
        try:
            with _as(httpcore2.ConnectTimeout, httpcore2.ConnectError):
                return socket.create_connection((address, port), timeout=share)
        except (httpcore2.ConnectTimeout, httpcore2.ConnectError):
            if number == len(addresses):
                raise
    raise httpcore2.ConnectError("The name has no address.")


def _forget_after(deadline: Deadline, sock: socket.socket) -> None:
    """Let the kernel give up at the deadline too: for a process that is killed, nobody discards what is unsent."""
    if hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux
        milliseconds = int(deadline.left(httpcore2.ConnectTimeout) * 1000) + 1
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, milliseconds)


@contextlib.contextmanager
def _as(late: type[Exception], failed: type[Exception]) -> Iterator[None]:
    """Turn the operating system's errors into httpcore2's."""
    try:
        yield
    except TimeoutError as error:
        raise late(str(error)) from error
    except OSError as error:
        raise failed(str(error)) from error


def _is_readable(sock: socket.socket) -> bool:
    if sock.fileno() < 0:
        return True
    poll = select.poll()
    poll.register(sock, select.POLLIN)
    return bool(poll.poll(0))
