"""What the wire says of the irreversible request, with servers that do to it what servers do."""

from __future__ import annotations

import contextlib
import ctypes
import gzip
import logging
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx2
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from autoposter.lifecycle import Reach, WireRecord
from autoposter.publishers import http
from autoposter.publishers.http import AnswerTooLong, SecondIrreversibleCall, Wire, environment_proxies

SOON = timedelta(milliseconds=400)
LATER = timedelta(seconds=10)

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\n" + b'{"id": "7"}'


class Connection:
    """The server's end of one connection."""

    def __init__(self, sock: socket.socket, number: int) -> None:
        self.sock = sock
        self.number = number
        self.received = b""

    def read_request(self) -> bytes:
        """One whole request without a body, or with a `Content-Length`.  Empty when the client has gone."""
        received = b""
        while b"\r\n\r\n" not in received or len(received) < self._length(received):
            try:
                more = self.sock.recv(65536)
            except OSError:
                more = b""
            self.received += more
            received += more
            if not more:
                return b""
        return received

    @staticmethod
    def _length(received: bytes) -> int:
        head, _, _ = received.partition(b"\r\n\r\n")
        lengths = [line.split(b":")[1] for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
        return len(head) + 4 + (int(lengths[0]) if lengths else 0)

    def reset(self) -> None:
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()


class Server:
    """A TCP server on this machine; `behaves` is run for each connection, in a thread of its own."""

    def __init__(self, behaves: Callable[[Connection], None], tls: ssl.SSLContext | None = None) -> None:
        self.connections: list[Connection] = []
        self.closing = threading.Event()
        self._behaves = behaves
        self._tls = tls
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self.port}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                sock, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock: socket.socket) -> None:
        with contextlib.suppress(OSError):
            if self._tls:
                sock = self._tls.wrap_socket(sock, server_side=True)
            connection = Connection(sock, len(self.connections) + 1)
            self.connections.append(connection)
            with sock:
                self._behaves(connection)

    @property
    def received(self) -> bytes:
        return b"".join(connection.received for connection in self.connections)

    def close(self) -> None:
        self.closing.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


Serve = Callable[..., Server]


@pytest.fixture
def serve() -> Iterator[Serve]:
    servers: list[Server] = []

    def start(behaves: Callable[[Connection], None], tls: ssl.SSLContext | None = None) -> Server:
        servers.append(Server(behaves, tls))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


@pytest.fixture
def wire() -> Iterator[Wire]:
    with Wire(secrets=["bot-token-4711"]) as wire:
        yield wire


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    environment_proxies.cache_clear()


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A key and a certificate for 127.0.0.1, signed by nobody but itself, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    names = [x509.DNSName("localhost")]
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1))
    built = builder.add_extension(x509.SubjectAlternativeName(names), critical=False).sign(key, hashes.SHA256())
    path = tmp_path_factory.mktemp("tls") / "both.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(private + built.public_bytes(serialization.Encoding.PEM))
    return path


@pytest.fixture
def tls(certificate: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context


@pytest.fixture
def trusted(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    http.tls_context.cache_clear()
    yield
    http.tls_context.cache_clear()


def answering(*answers: bytes) -> Callable[[Connection], None]:
    """Answers the first request with the first answer, and so on, the last for ever; keeps connections alive."""
    waiting = list(answers)

    def behave(connection: Connection) -> None:
        while connection.read_request():
            connection.sock.sendall(waiting.pop(0) if len(waiting) > 1 else waiting[0])

    return behave


def publish(wire: Wire, url: str, deadline: timedelta = LATER, **how: object) -> httpx2.Response:
    with wire.publishing(deadline):
        return wire.client.post(url, json={"text": "We are open."}, **how)


def seconds_of(action: Callable[[], object]) -> float:
    started = time.monotonic()
    action()
    return time.monotonic() - started


# --- Not a byte left -----------------------------------------------------------------------------------------------


def test_nothing_is_begun_when_a_publisher_calls_nobody(wire: Wire) -> None:
    with wire.publishing(LATER):
        pass

    assert wire.record == WireRecord(Reach.NEVER_BEGUN)


def test_a_refused_connection_sends_nothing(wire: Wire) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]

    with pytest.raises(httpx2.ConnectError):
        publish(wire, f"http://127.0.0.1:{port}/")

    assert wire.record == WireRecord(Reach.NOT_SENT)
    assert wire.evidence["calls"][0]["error"].startswith("ConnectError")


@pytest.mark.parametrize("host", ["nowhere.invalid", "a" * 70 + ".invalid"])
def test_a_name_that_nobody_knows_sends_nothing(wire: Wire, host: str) -> None:
    with pytest.raises((httpx2.ConnectError, httpx2.ConnectTimeout)):
        publish(wire, f"http://{host}/", timedelta(seconds=2))

    assert wire.record == WireRecord(Reach.NOT_SENT)


def test_a_resolver_that_hangs_is_left_at_the_deadline(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    real, hanging = socket.getaddrinfo, threading.Event()

    def resolver(host: str, *args: object, flags: int = 0, **how: object) -> object:
        if not flags & socket.AI_NUMERICHOST:
            hanging.wait(5)
        return real(host, *args, flags=flags, **how)  # type: ignore[arg-type]

    monkeypatch.setattr(socket, "getaddrinfo", resolver)
    with pytest.raises(httpx2.ConnectTimeout):
        publish(wire, "http://slow.invalid/", SOON)
    hanging.set()

    assert wire.record == WireRecord(Reach.NOT_SENT)
    assert wire.evidence["calls"][0]["ms"] < 1000


def test_a_server_whose_certificate_is_not_trusted_gets_no_byte_of_the_request(
    wire: Wire, serve: Serve, tls: ssl.SSLContext
) -> None:
    server = serve(answering(OK), tls)

    with pytest.raises(httpx2.ConnectError):
        publish(wire, server.url)

    assert wire.record == WireRecord(Reach.NOT_SENT)
    assert server.received == b""


def test_a_server_that_never_shakes_hands_is_left_at_the_deadline(wire: Wire, serve: Serve) -> None:
    server = serve(lambda connection: connection.read_request() and None)

    with pytest.raises(httpx2.ConnectTimeout):
        publish(wire, server.url.replace("http:", "https:"), SOON)

    assert wire.record == WireRecord(Reach.NOT_SENT)


def test_nothing_is_sent_once_the_time_is_over(wire: Wire, serve: Serve) -> None:
    server = serve(answering(OK))

    with pytest.raises(httpx2.TimeoutException):
        publish(wire, server.url, timedelta(0))

    assert wire.record == WireRecord(Reach.NOT_SENT)
    assert server.received == b""


def test_nothing_is_sent_when_the_time_is_over_by_the_wall_clock_alone(
    wire: Wire, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = serve(answering(OK))
    real = time.time

    with wire.publishing(LATER), pytest.raises(httpx2.TimeoutException):
        monkeypatch.setattr(time, "time", lambda: real() + 60)  # the machine slept
        wire.client.post(server.url)

    assert wire.record == WireRecord(Reach.NOT_SENT)
    assert server.received == b""


def test_a_header_that_cannot_be_sent_is_not(wire: Wire, serve: Serve) -> None:
    server = serve(answering(OK))

    with wire.publishing(LATER), pytest.raises(httpx2.LocalProtocolError):
        wire.client.post(server.url, headers={"Authorization": "Bearer unheard-of\n"})

    assert wire.record == WireRecord(Reach.NOT_SENT)
    assert wire.evidence["calls"][0]["error"] == "LocalProtocolError"  # its message repeats the header


# --- A byte may have left ------------------------------------------------------------------------------------------


def test_a_connection_reset_before_anything_was_read_may_have_sent(wire: Wire, serve: Serve) -> None:
    server = serve(lambda connection: connection.sock.recv(1) and connection.reset())

    with pytest.raises(httpx2.TransportError):
        publish(wire, server.url)

    assert wire.record == WireRecord(Reach.SENT)


def test_a_server_that_never_answers_is_left_at_the_deadline(wire: Wire, serve: Serve) -> None:
    server = serve(lambda connection: connection.read_request() and server.closing.wait(5) and None)

    def call() -> None:
        with pytest.raises(httpx2.ReadTimeout):
            publish(wire, server.url, SOON)

    assert 0.3 < seconds_of(call) < 1
    assert wire.record == WireRecord(Reach.SENT)


@pytest.mark.parametrize(
    "beginning", [b"HTTP/1.1 200 OK\r\nX-Long: ", b"HTTP/1.1 200 OK\r\nContent-Length: 99999\r\n\r\n"]
)
def test_an_answer_that_drips_is_left_at_the_deadline_as_a_whole(wire: Wire, serve: Serve, beginning: bytes) -> None:
    def drip(connection: Connection) -> None:
        connection.read_request()
        connection.sock.sendall(beginning)
        while not server.closing.wait(0.1):
            connection.sock.sendall(b"x")

    server = serve(drip)

    def call() -> None:
        with pytest.raises(httpx2.ReadTimeout):
            publish(wire, server.url, SOON)

    assert seconds_of(call) < 1
    assert wire.record == WireRecord(Reach.SENT)


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n" + b'{"ok": false}',
        b"HTTP/1.1 400 Bad Request\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Le",
        b"220 smtp.example ESMTP\r\n",
    ],
)
def test_an_answer_that_breaks_off_is_no_answer(wire: Wire, serve: Serve, answer: bytes) -> None:
    def break_off(connection: Connection) -> None:
        connection.read_request()
        connection.sock.sendall(answer)

    server = serve(break_off)

    with pytest.raises(httpx2.RemoteProtocolError):
        publish(wire, server.url)

    assert wire.record == WireRecord(Reach.SENT)


GARBAGE = {
    "no status line": b"<html>Hello</html>",
    "a status that is none": b"HTTP/1.1 99 Odd\r\nContent-Length: 0\r\n\r\n",
    "an upgrade": b"HTTP/1.1 101 Go\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\nhello",
    "a header of 500 KB": b"HTTP/1.1 200 OK\r\nX-Long: " + b"a" * 500_000 + b"\r\nContent-Length: 0\r\n\r\n",
    "100,000 headers": b"HTTP/1.1 200 OK\r\n" + b"X-Many: a\r\n" * 100_000 + b"Content-Length: 0\r\n\r\n",
    "NUL in a header": b"HTTP/1.1 200 OK\r\nX-Request-Id: a\0b\r\nContent-Length: 0\r\n\r\n",
    "two lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 5\r\n\r\nhello",
    "a negative length": b"HTTP/1.1 200 OK\r\nContent-Length: -2\r\n\r\nhello",
    "a chunk without a size": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nhello\r\n0\r\n\r\n",
    "a chunk of 70 bits": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"f" * 18 + b"\r\nhello",
}


@pytest.mark.parametrize("garbage", GARBAGE)
def test_garbage_is_no_answer(wire: Wire, serve: Serve, garbage: str) -> None:
    def behave(connection: Connection) -> None:
        connection.read_request()
        connection.sock.sendall(GARBAGE[garbage])

    server = serve(behave)

    with pytest.raises(httpx2.RemoteProtocolError):
        publish(wire, server.url)

    assert wire.record == WireRecord(Reach.SENT)


def test_an_answer_that_is_not_packed_as_it_says_is_none(wire: Wire, serve: Serve) -> None:
    server = serve(answering(OK.replace(b"\r\n\r\n", b"\r\nContent-Encoding: gzip\r\n\r\n")))

    with pytest.raises(httpx2.DecodingError):
        publish(wire, server.url)

    assert wire.record == WireRecord(Reach.SENT)


def test_one_who_always_says_continue_is_left_at_the_deadline(wire: Wire, serve: Serve) -> None:
    def behave(connection: Connection) -> None:
        connection.read_request()
        while not server.closing.is_set():
            connection.sock.sendall(b"HTTP/1.1 100 Continue\r\n\r\n" * 100)

    server = serve(behave)

    with pytest.raises(httpx2.ReadTimeout):
        publish(wire, server.url, SOON)

    assert wire.record == WireRecord(Reach.SENT)


def test_a_big_body_that_is_reset_half_way_may_have_been_sent(wire: Wire, serve: Serve) -> None:
    server = serve(lambda connection: connection.sock.recv(100_000) and connection.reset())

    with wire.publishing(LATER), pytest.raises(httpx2.TransportError):
        wire.client.post(server.url, content=b"x" * 20_000_000)

    assert wire.record == WireRecord(Reach.SENT)


def test_a_big_body_that_trickles_away_is_left_at_the_deadline(wire: Wire, serve: Serve) -> None:
    def sip(connection: Connection) -> None:
        while not server.closing.wait(0.02):
            connection.received += connection.sock.recv(1000)

    server = serve(sip)

    def call() -> None:
        with wire.publishing(SOON), pytest.raises(httpx2.WriteTimeout):
            wire.client.post(server.url, content=(b"x" * 1_000_000 for _ in range(50)))

    assert seconds_of(call) < 1
    assert wire.record == WireRecord(Reach.SENT)


def test_a_server_that_reads_after_the_deadline_never_gets_the_whole_request(wire: Wire, serve: Serve) -> None:
    given_up, done = threading.Event(), threading.Event()

    def read_late(connection: Connection) -> None:
        connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 10_000)
        given_up.wait(5)
        assert connection.read_request() == b""
        done.set()

    server = serve(read_late)
    body = b"x" * 1_500_000  # the kernel takes it all, and would go on sending it after we have closed

    with wire.publishing(SOON), pytest.raises((httpx2.ReadTimeout, httpx2.WriteTimeout)):
        wire.client.post(server.url, content=body)
    given_up.set()

    assert done.wait(5)
    assert len(server.received) < len(body)


def test_an_interrupted_thread_leaves_a_true_record(wire: Wire, serve: Serve) -> None:
    class Interrupted(BaseException):
        pass

    def drip(connection: Connection) -> None:
        connection.read_request()
        connection.sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 99999\r\n\r\n")
        dripping.set()
        while not server.closing.wait(0.01):
            connection.sock.sendall(b"x")

    dripping = threading.Event()
    server = serve(drip)
    ended: list[BaseException] = []

    def attempt() -> None:
        try:
            publish(wire, server.url)
        except BaseException as error:
            ended.append(error)

    thread = threading.Thread(target=attempt)
    thread.start()
    assert dripping.wait(5)
    assert ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread.ident or 0), ctypes.py_object(Interrupted))
    thread.join(5)

    assert isinstance(ended[0], Interrupted)
    assert wire.record == WireRecord(Reach.SENT)
    assert wire.evidence["calls"][0]["error"] == "Interrupted"


def test_an_answer_that_was_not_read_to_its_end_is_none(wire: Wire, serve: Serve) -> None:
    server = serve(answering(OK))

    with wire.publishing(LATER), wire.client.stream("POST", server.url) as answer:
        assert answer.status_code == 200

    assert wire.record == WireRecord(Reach.SENT)


@pytest.mark.parametrize(
    "packed", [gzip.compress(b"\0" * 50_000_000), gzip.compress(gzip.compress(b"\0" * 50_000_000))]
)
def test_an_answer_that_unpacks_to_fifty_megabytes_is_refused(wire: Wire, serve: Serve, packed: bytes) -> None:
    codings = b"gzip" if len(packed) > 1000 else b"gzip, gzip"
    head = b"HTTP/1.1 200 OK\r\nContent-Encoding: %b\r\nContent-Length: %d\r\n\r\n" % (codings, len(packed))
    server = serve(answering(head + packed))

    with pytest.raises(AnswerTooLong):
        publish(wire, server.url)

    assert wire.record == WireRecord(Reach.SENT)


def test_an_endless_answer_is_refused(wire: Wire, serve: Serve) -> None:
    def flood(connection: Connection) -> None:
        connection.read_request()
        connection.sock.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        while not server.closing.is_set():
            connection.sock.sendall(b"x" * 100_000)

    server = serve(flood)

    with pytest.raises(AnswerTooLong):
        publish(wire, server.url)
    with pytest.raises(AnswerTooLong), wire.client.stream("GET", server.url) as answer:
        for _ in answer.iter_raw():
            pass

    assert wire.record == WireRecord(Reach.SENT)


@pytest.mark.skipif(not hasattr(socket, "TCP_USER_TIMEOUT"), reason="only Linux can")
def test_the_kernel_gives_up_too_at_the_deadline_of_a_process_that_was_killed(wire: Wire, serve: Serve) -> None:
    server = serve(answering(OK))

    with wire.publishing(LATER), wire.client.stream("POST", server.url) as answer:
        sock = answer.extensions["network_stream"].get_extra_info("socket")
        milliseconds = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT)

    assert 0 < milliseconds <= LATER.total_seconds() * 1000 + 1


# --- Answered ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [200, 204, 422, 500])
def test_a_complete_answer_is_recorded_with_its_status(wire: Wire, serve: Serve, status: int) -> None:
    length = b"" if status == 204 else b"Content-Length: 0\r\n"
    server = serve(answering(b"HTTP/1.1 %d Whatever\r\n%b\r\n" % (status, length)))

    publish(wire, server.url)

    assert wire.record == WireRecord(Reach.ANSWERED, status)


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 100 Continue\r\n\r\n" + OK,
        b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n" + OK,
        b"HTTP/1.0 200 OK\r\n\r\n" + b'{"id": "7"}',
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b'b\r\n{"id": "7"}\r\n0\r\nX-Late: y\r\n\r\n',
    ],
    ids=["after 100", "after 103", "1.0 without a length", "in chunks with a trailer"],
)
def test_an_answer_of_any_proper_form_counts(wire: Wire, serve: Serve, answer: bytes) -> None:
    def behave(connection: Connection) -> None:
        connection.read_request()
        connection.sock.sendall(answer)

    assert publish(wire, serve(behave).url).json() == {"id": "7"}
    assert wire.record == WireRecord(Reach.ANSWERED, 200)


def test_a_server_that_has_only_an_ipv6_address_gets_the_request(wire: Wire) -> None:
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as listener:

        def serve_one() -> None:
            sock, _ = listener.accept()
            with sock:
                answering(OK)(Connection(sock, 1))

        threading.Thread(target=serve_one, daemon=True).start()
        publish(wire, f"http://[::1]:{listener.getsockname()[1]}/")

    assert wire.record == WireRecord(Reach.ANSWERED, 200)
    assert wire.evidence["calls"][0]["host"] == "::1"


def test_what_follows_an_answer_on_a_kept_connection_is_no_answer(wire: Wire, serve: Serve) -> None:
    server = serve(answering(OK + b"garbage\r\n\r\n", OK))

    wire.client.get(server.url)
    with pytest.raises(httpx2.RemoteProtocolError):
        wire.client.get(server.url)

    assert wire.client.get(server.url).json() == {"id": "7"}


def test_an_answer_that_came_before_the_body_was_taken_counts(wire: Wire, serve: Serve) -> None:
    def refuse(connection: Connection) -> None:
        connection.sock.recv(1000)
        connection.sock.sendall(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        connection.sock.shutdown(socket.SHUT_WR)
        while connection.sock.recv(1_000_000):
            pass

    server = serve(refuse)

    with wire.publishing(LATER):
        wire.client.post(server.url, content=b"x" * 3_000_000)

    assert wire.record == WireRecord(Reach.ANSWERED, 413)


def test_a_streamed_answer_counts_once_it_was_read(wire: Wire, serve: Serve) -> None:
    server = serve(answering(OK))

    with wire.publishing(LATER):
        answer = wire.client.send(wire.client.build_request("POST", server.url), stream=True)
        before = wire.record
        answer.read()

    assert before == WireRecord(Reach.SENT)
    assert wire.record == WireRecord(Reach.ANSWERED, 200)


def test_tls_that_is_trusted_gets_an_answer(wire: Wire, serve: Serve, tls: ssl.SSLContext, trusted: None) -> None:
    server = serve(answering(OK), tls)

    answer = publish(wire, server.url.replace("127.0.0.1", "localhost"))

    assert answer.json() == {"id": "7"}
    assert wire.record == WireRecord(Reach.ANSWERED, 200)


def test_a_call_after_the_answer_is_recorded(wire: Wire, serve: Serve) -> None:
    server = serve(answering(OK))

    with wire.publishing(LATER):
        wire.client.get(server.url)
        before = wire.client.post(server.url) and wire.record
        wire.client.get(f"{server.url}/permalink")

    assert before == WireRecord(Reach.ANSWERED, 200)
    assert wire.record == WireRecord(Reach.ANSWERED, 200, went_on=True)


def test_what_comes_after_publishing_changes_nothing_in_the_record(wire: Wire, serve: Serve) -> None:
    server = serve(answering(OK))

    publish(wire, server.url)
    wire.client.post(f"{server.url}/token")

    assert wire.record == WireRecord(Reach.ANSWERED, 200)


# --- One, and only one ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_of_the_irreversible_call_is_not_followed(wire: Wire, serve: Serve, status: int) -> None:
    server = serve(answering(b"HTTP/1.1 %d Moved\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n" % status, OK))

    answer = publish(wire, server.url, follow_redirects=True)

    assert answer.status_code == status
    assert wire.record == WireRecord(Reach.ANSWERED, status)
    assert b"/elsewhere" not in server.received


@pytest.mark.parametrize("method", ["POST", "post", "PUT", "DELETE", "PATCH", "OPTIONS", "Publish"])
def test_a_second_irreversible_call_reaches_nobody(wire: Wire, serve: Serve, method: str) -> None:
    server = serve(answering(OK))

    with wire.publishing(LATER):
        wire.client.post(f"{server.url}/first")
        with pytest.raises(SecondIrreversibleCall):
            wire.client.request(method, f"{server.url}/second")

    assert b"/second" not in server.received
    assert wire.record == WireRecord(Reach.ANSWERED, 200, went_on=True)


def test_a_second_irreversible_call_is_refused_though_it_is_streamed(wire: Wire, serve: Serve) -> None:
    server = serve(answering(OK))

    with wire.publishing(LATER), wire.client.stream("POST", f"{server.url}/first"):
        again = wire.client.build_request("GET", f"{server.url}/second")
        again.method = "post"
        with pytest.raises(SecondIrreversibleCall):
            wire.client.send(again, stream=True)

    assert b"/second" not in server.received


def test_a_login_that_would_repeat_the_call_is_refused(wire: Wire, serve: Serve) -> None:
    challenge = b'HTTP/1.1 401 Who?\r\nWWW-Authenticate: Digest realm="r", nonce="n"\r\nContent-Length: 0\r\n\r\n'
    server = serve(answering(challenge, OK))

    with pytest.raises(SecondIrreversibleCall):
        publish(wire, server.url, auth=httpx2.DigestAuth("name", "password"))

    assert server.received.count(b"POST") == 1


def test_a_wire_serves_one_attempt(wire: Wire) -> None:
    with wire.publishing(LATER):
        pass

    with pytest.raises(RuntimeError, match="one attempt"), wire.publishing(LATER):
        pass


def test_the_irreversible_call_goes_out_on_a_connection_of_its_own(wire: Wire, serve: Serve) -> None:
    def answer_once(connection: Connection) -> None:
        connection.read_request()
        connection.sock.sendall(OK)
        if connection.number == 1:
            closed.wait(5)  # then close what the client believes to be alive

    closed = threading.Event()
    server = serve(answer_once)

    wire.client.get(server.url)
    with wire.publishing(LATER):
        answer = wire.client.post(server.url)
    closed.set()

    assert answer.status_code == 200
    assert [connection.received[:4] for connection in server.connections] == [b"GET ", b"POST"]


# --- Outside the fence ---------------------------------------------------------------------------------------------


def test_preparing_may_call_as_it_likes_on_one_connection(wire: Wire, serve: Serve) -> None:
    server = serve(answering(OK))

    for method in ("POST", "PUT", "GET", "POST"):
        wire.client.request(method, server.url)

    assert len(server.connections) == 1
    assert wire.record == WireRecord()
    assert b"user-agent: autoposter/" in server.received.lower()


def test_a_timeout_of_a_request_is_for_the_whole_of_it(wire: Wire, serve: Serve) -> None:
    def drip(connection: Connection) -> None:
        connection.read_request()
        connection.sock.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        while not server.closing.wait(0.05):
            connection.sock.sendall(b"x")

    server = serve(drip)

    def call() -> None:
        with pytest.raises(httpx2.ReadTimeout):
            wire.client.get(server.url, timeout=0.3)

    assert seconds_of(call) < 0.8


# --- Through a proxy -----------------------------------------------------------------------------------------------


def tunnelling(port: int) -> Callable[[Connection], None]:
    def pump(source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                sink.sendall(data)

    def behave(connection: Connection) -> None:
        assert connection.read_request().startswith(b"CONNECT localhost:")
        with socket.create_connection(("127.0.0.1", port)) as onward:
            connection.sock.sendall(b"HTTP/1.1 200 Go\r\n\r\n")
            threading.Thread(target=pump, args=(onward, connection.sock), daemon=True).start()
            pump(connection.sock, onward)

    return behave


def test_a_tunnel_through_a_proxy_gets_an_answer(
    wire: Wire, serve: Serve, tls: ssl.SSLContext, trusted: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = serve(answering(OK), tls)
    proxy = serve(tunnelling(server.port))
    monkeypatch.setenv("https_proxy", proxy.url)

    publish(wire, f"https://localhost:{server.port}/")

    assert wire.record == WireRecord(Reach.ANSWERED, 200)
    assert len(proxy.connections) == 1


@pytest.mark.parametrize("refusal", [b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n", b""])
def test_a_proxy_that_refuses_the_tunnel_has_sent_nothing(
    wire: Wire, serve: Serve, monkeypatch: pytest.MonkeyPatch, refusal: bytes
) -> None:
    proxy = serve(lambda connection: connection.read_request() and connection.sock.sendall(refusal))
    monkeypatch.setenv("https_proxy", proxy.url)

    with pytest.raises(httpx2.TransportError):
        publish(wire, "https://localhost:1/")

    assert wire.record == WireRecord(Reach.NOT_SENT)


def test_what_a_proxy_forwards_in_the_clear_may_have_been_sent(
    wire: Wire, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy = serve(lambda connection: connection.read_request() and None)
    monkeypatch.setenv("http_proxy", proxy.url)
    environment_proxies.cache_clear()

    with pytest.raises(httpx2.RemoteProtocolError):
        publish(wire, "http://platform.invalid/")

    assert wire.record == WireRecord(Reach.SENT)


# --- Evidence ------------------------------------------------------------------------------------------------------


def test_evidence_tells_the_call_without_its_secrets(wire: Wire, serve: Serve) -> None:
    server = serve(answering(OK.replace(b"\r\n\r\n", b"\r\nX-FB-Trace-Id: AbC123\r\n\r\n")))

    publish(wire, f"{server.url}/botbot-token-4711/send?access_token=unheard-of")

    [call] = wire.evidence["calls"]
    assert call.pop("ms") < 5000
    assert call == {
        "method": "POST",
        "host": "127.0.0.1",
        "path": "/***/send",
        "status": 200,
        "request_id": "AbC123",
        "error": None,
    }


def test_evidence_knows_a_secret_that_is_quoted_and_one_that_is_an_address() -> None:
    hook = "https://hooks.example/services/T1/B2/abc"

    with Wire(secrets=["a b/c:d", hook, "", "x"]) as wire:
        for path in ("a%20b%2Fc%3ad/x", "services/T1/B2/abc/messages/1"):
            with pytest.raises(httpx2.UnsupportedProtocol):
                wire.client.get(f"ftp://127.0.0.1/{path}")

        assert [call["path"] for call in wire.evidence["calls"]] == ["/***/x", "/***/messages/1"]
        assert wire.masked(f"404 for {hook}?wait=true") == "404 for ***?wait=true"


def test_evidence_keeps_the_last_calls_and_the_irreversible_one(wire: Wire, serve: Serve) -> None:
    server = serve(answering(OK))

    with wire.publishing(LATER):
        wire.client.post(f"{server.url}/publish")
        for number in range(60):
            wire.client.get(f"{server.url}/{number}")

    paths = [call["path"] for call in wire.evidence["calls"]]
    assert paths == ["/publish", *(f"/{number}" for number in range(11, 60))]


def test_no_log_tells_an_address(wire: Wire, serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    server = serve(answering(OK))

    with caplog.at_level(logging.DEBUG):
        publish(wire, f"{server.url}/botbot-token-4711/send")

    assert "4711" not in caplog.text
