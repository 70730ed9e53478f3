"""A small internet on this machine: names, addresses, a TLS server, and a canary wherever nothing may reach.

Only what lies below autoposter is replaced: the answers of the resolver, and which socket of this machine an address
leads to.  An address of the town leads to its server; every other one leads to the canary, which counts.
"""

from __future__ import annotations

import contextlib
import itertools
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from autoposter.publishers import http

#: Where the town's one server stands.
PUBLIC = "93.184.216.34"
PUBLIC_6 = "2606:2800:220:1:248:1893:25c8:1946"

Page = bytes | Callable[[socket.socket, bytes], None]


class Town:
    """`pages`: what is answered, by path.  `names`: a name's addresses, a list for each look-up, the last one again."""

    def __init__(self, folder: Path) -> None:
        self.pages: dict[str, Page] = {}
        self.names: dict[str, list[list[str]]] = {}
        self.reached_inside: list[tuple[str, int]] = []
        self.requests: list[bytes] = []
        self.closing = threading.Event()
        self._looked_up: dict[str, int] = {}
        self._town, self._canary = socket.create_server(("127.0.0.1", 0)), socket.create_server(("127.0.0.1", 0))
        self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._tls.load_cert_chain(certificates(folder))
        self._really_connect, self._really_look_up = socket.create_connection, socket.getaddrinfo
        for listener, serve in ((self._town, self._serve), (self._canary, lambda sock: None)):
            threading.Thread(target=self._accept, args=(listener, serve), daemon=True).start()

    @property
    def port(self) -> int:
        """The real port of the server, for hosts of one's own."""
        return int(self._town.getsockname()[1])

    # --- below autoposter ---------------------------------------------------------------------------------------------

    def look_up(self, host: Any, port: Any, *args: Any, **how: Any) -> Any:
        """Stands for `socket.getaddrinfo`."""
        with contextlib.suppress(OSError, UnicodeError):
            return self._really_look_up(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
        name = (host.decode() if isinstance(host, bytes) else host).rstrip(".").lower()
        if how.get("flags", 0) & socket.AI_NUMERICHOST or name not in self.names:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        number = self._looked_up[name] = self._looked_up.get(name, -1) + 1
        addresses = self.names[name][min(number, len(self.names[name]) - 1)]
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in addresses]

    def connect(self, address: tuple[str, int], timeout: float | None = None, *args: Any, **how: Any) -> socket.socket:
        """Stands for `socket.create_connection`."""
        host, port = address
        if host in (PUBLIC, PUBLIC_6) and port == 443:
            return self._really_connect(self._town.getsockname(), timeout)
        if (host, port) == self._town.getsockname():  # a host of one's own, by its real address
            return self._really_connect(address, timeout)
        self.reached_inside.append(address)
        return self._really_connect(self._canary.getsockname(), timeout)

    # --- the server ---------------------------------------------------------------------------------------------------

    def _accept(self, listener: socket.socket, serve: Callable[[socket.socket], None]) -> None:
        with contextlib.suppress(OSError):
            while True:
                sock, _ = listener.accept()
                threading.Thread(target=self._attend, args=(sock, serve), daemon=True).start()

    def _attend(self, sock: socket.socket, serve: Callable[[socket.socket], None]) -> None:
        with contextlib.suppress(OSError), sock:
            serve(sock)

    def _serve(self, sock: socket.socket) -> None:
        sock.settimeout(20)
        if sock.recv(1, socket.MSG_PEEK) == b"\x16":  # the beginning of TLS
            sock = self._tls.wrap_socket(sock, server_side=True)
        with sock:
            received = b""
            while b"\r\n\r\n" not in received:
                more = sock.recv(65536)
                if not more:
                    return
                received += more
            self.requests.append(received)
            path = received.split(b" ")[1].decode("latin-1").partition("?")[0]
            page = self.pages.get(path, b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
            if callable(page):
                page(sock, received)
            else:
                sock.sendall(page)

    def close(self) -> None:
        self.closing.set()
        for listener in (self._town, self._canary):
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            listener.close()


def ok(content: bytes, *headers: str) -> bytes:
    """An answer that holds this file."""
    return answer("200 OK", content, f"Content-Length: {len(content)}", *headers)


def answer(status: str, content: bytes = b"", *headers: str) -> bytes:
    return "\r\n".join([f"HTTP/1.1 {status}", *headers, "", ""]).encode("latin-1") + content


def redirect(to: str, status: str = "302 Found") -> bytes:
    return answer(status, b"", f"Location: {to}", "Content-Length: 0")


def in_parts(content: bytes) -> Callable[[socket.socket, bytes], None]:
    """A server that sends the rest of a file alone, when it is asked to."""

    def serve(sock: socket.socket, request: bytes) -> None:
        _, asked, rest = request.partition(b"Range: bytes=")
        start = int(rest.partition(b"-")[0]) if asked else 0
        said = f"Content-Range: bytes {start}-{len(content) - 1}/{len(content)}"
        if asked:
            sock.sendall(answer("206 Partial", content[start:], f"Content-Length: {len(content) - start}", said))
        else:
            sock.sendall(ok(content))

    return serve


@contextlib.contextmanager
def living_in(folder: Path) -> Iterator[Town]:
    """A town, and this process lives in it."""
    town = Town(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket, "getaddrinfo", town.look_up)
        patch.setattr(socket, "create_connection", town.connect)
        patch.setenv("SSL_CERT_FILE", str(folder / "authority.pem"))
        http.tls_context.cache_clear()
        yield town
    http.tls_context.cache_clear()
    town.close()


_serials = itertools.count(1)


def certificates(folder: Path) -> Path:
    """An authority of the town's own (`authority.pem`), and its certificate for the town's names, with the key."""
    authority_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    authority = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "The town's authority")])
    usage = x509.KeyUsage(False, False, False, False, False, True, True, False, False)
    root = _certificate(authority, authority, authority_key, authority_key, [x509.BasicConstraints(True, None), usage])
    (folder / "authority.pem").write_bytes(root.public_bytes(serialization.Encoding.PEM))
    names = x509.SubjectAlternativeName(
        [x509.DNSName("*.town.example"), x509.DNSName("xn--bcher-kva.example"), x509.DNSName("localhost")]
    )
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "The town")])
    built = _certificate(name, authority, key, authority_key, [names])
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    both = folder / "server.pem"
    both.write_bytes(private + built.public_bytes(serialization.Encoding.PEM))
    return both


def _certificate(
    name: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    signed_by: ec.EllipticCurvePrivateKey,
    extensions: list[x509.ExtensionType],
) -> x509.Certificate:
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder(issuer, name, key.public_key(), next(_serials))
    builder = builder.not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1))
    builder = builder.add_extension(
        x509.AuthorityKeyIdentifier.from_issuer_public_key(signed_by.public_key()), critical=False
    )
    builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    for extension in extensions:
        builder = builder.add_extension(extension, critical=isinstance(extension, x509.BasicConstraints))
    return builder.sign(signed_by, hashes.SHA256())
