"""Sources of media that are up to no good: none reaches inside, leaves its folder, lasts, or fills the memory."""

from __future__ import annotations

import contextlib
import gzip
import io
import os
import socket
import struct
import time
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from media_files import box, element, moov, mp4, picture, png, png_chunk
from town import PUBLIC, Town, answer, living_in, ok, redirect

from autoposter import media
from autoposter.media import MediaShelf, fetching, files
from autoposter.media.probing import MOST_READS, look_at
from autoposter.publishers import ContentRejected, Media, Transient

#: How long an address may be looked at, in these tests; the real time only lets the same things last longer.
LASTS = timedelta(seconds=0.6)

#: What one source may take, with a process that looks at a video on a busy machine.
PATIENCE_SECONDS = 15

#: The memory that all of them together may take beyond what was there before.
MEMORY_BYTES = 64 * 1024**2


# --- the places ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    with living_in(tmp_path_factory.mktemp("town")) as town:
        town.names |= NAMES
        town.pages |= {f"/{name}": page(town) if callable(page) else page for name, page in PAGES.items()}
        yield town


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """`outside` must not be read; `root` is the media root."""
    place = tmp_path_factory.mktemp("place")
    root = place / "root"
    (root / "sub").mkdir(parents=True)
    (place / "outside").mkdir()
    (place / "outside" / "secret.jpg").write_bytes(A_JPEG)
    (root / "good.jpg").write_bytes(A_JPEG)
    for name, content in FILES.items():
        (root / name).write_bytes(content() if callable(content) else content)
    for name, to in LINKS.items():
        (root / name).symlink_to(to.format(place=place))
    os.mkfifo(root / "fifo.jpg")
    with socket.socket(socket.AF_UNIX) as bound, (root / "sparse.mp4").open("wb") as sparse:
        with contextlib.chdir(root):
            bound.bind("socket.jpg")
        sparse.write(box(b"ftyp", b"isom\0\0\2\0"))
        sparse.truncate(3 * 1024**3)
        yield root


@pytest.fixture(scope="module", autouse=True)
def memory(town: Town, folder: Path) -> Iterator[None]:
    """All together keep within the memory that was there before, and `MEMORY_BYTES`."""
    Path("/proc/self/clear_refs").write_text("5")  # the peak is measured from here
    idle = peak_bytes()
    yield
    assert peak_bytes() - idle < MEMORY_BYTES


def peak_bytes() -> int:
    [line] = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM")]
    return int(line.split()[1]) * 1024


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(media, "LOOK_LASTS", LASTS)
    monkeypatch.setattr(fetching, "FETCH_LASTS", LASTS)


# --- the sources -----------------------------------------------------------------------------------------------------

A_JPEG = picture("JPEG")

#: Each has an address of the inside, spelled in some way.
INSIDE = """
127.0.0.1 127.0.0.2 127.1 127.0.1 127.255.255.254 2130706433 0x7f000001 0x7F000001 0x7f.0.0.1 0x7f.1 0177.0.0.1 0177.1
017700000001 127.0.0.01 127.000.000.001 127.0.0.1. 0 0.0.0.0 0x0 00.0.0.0 0.0.0.1 10.0.0.1 10.1 0xa.0.0.1 012.0.0.1
167772161 10.255.255.255 172.16.0.1 172.31.255.254 172.16.1 0xac100001 192.168.0.1 192.168.1 0xc0a80001 3232235521
169.254.169.254 169.254.43518 0xa9fea9fe 2852039166 0251.0376.0251.0376 0xa9.0xfe.0xa9.0xfe 169.254.170.2 100.64.0.1
100.100.100.200 100.127.255.255 168.63.129.16 192.0.0.192 192.0.0.1 192.0.2.1 198.18.0.1 198.19.255.254 198.51.100.7
203.0.113.9 192.88.99.1 224.0.0.1 239.255.255.250 240.0.0.1 255.255.255.255 127。0。0。1 127.0.0。1
[::1] [::] [0:0:0:0:0:0:0:1] [0000::1] [::ffff:127.0.0.1] [::ffff:7f00:1] [::ffff:10.0.0.1] [::ffff:169.254.169.254]
[::127.0.0.1] [64:ff9b::127.0.0.1] [64:ff9b::7f00:1] [64:ff9b::169.254.169.254] [64:ff9b::5db8:d822]
[64:ff9b:1::10.0.0.1] [64:ff9b:1:fffe::a00:1] [2002:7f00:1::] [2002:a9fe:a9fe::1] [2001:0:7f00:1::1] [2001:10::1]
[fe80::1] [fec0::1] [fc00::1] [fd00:ec2::254] [ff02::1] [ff05::2] [2001:db8::1] [3fff::1] [100::1] [5f00::1]
""".split()  # noqa: SIM905  a table of 90 that can be read

#: Names that lead inside: by all their addresses, by one of them, or not at first.
NAMES: dict[str, list[list[str]]] = {
    "localhost": [["127.0.0.1"]],
    "cdn.town.example": [[PUBLIC]],
    "xn--bcher-kva.example": [[PUBLIC]],
    "unknown-to-the-certificate.example": [[PUBLIC]],
    "loop.town.example": [["127.0.0.1"]],
    "ten.town.example": [["10.0.0.1"]],
    "metadata.google.internal": [["169.254.169.254"]],
    "kubernetes.default.svc": [["10.96.0.1"]],
    "v6.town.example": [["::1"]],
    "mapped.town.example": [["::ffff:127.0.0.1"]],
    "nat64.town.example": [["64:ff9b::7f00:1"]],
    "zone.town.example": [["fe80::1%1"]],
    "mixed.town.example": [[PUBLIC, "127.0.0.1"]],
    "mixed-first.town.example": [["127.0.0.1", PUBLIC]],
    "mixed-six.town.example": [[PUBLIC, "fd00::1"]],
    "rebinding.town.example": [["127.0.0.1"], ["10.0.0.1"]],
    "none.town.example": [[]],
    "xn--tda.town.example": [["192.168.1.1"]],
}

LEADING_INSIDE = [f"https://{name}/good.jpg" for name in NAMES if NAMES[name][0] not in ([PUBLIC], [])]

#: Addresses that cannot be meant well, whatever is behind them.
FORMS = [
    "http://cdn.town.example/good.jpg",
    "HTTP://cdn.town.example/good.jpg",
    "ftp://cdn.town.example/good.jpg",
    "file:///etc/passwd",
    "file://localhost/etc/passwd",
    "gopher://127.0.0.1:6379/_INFO",
    "dict://127.0.0.1:11211/stat",
    "unix:///var/run/docker.sock",
    "https+unix://%2Fvar%2Frun%2Fdocker.sock/v1/info",
    "ws://cdn.town.example/good.jpg",
    "jar:https://cdn.town.example/a.zip!/good.jpg",
    "data:image/png;base64,iVBORw0KGgo=",
    "javascript:alert(1)//.jpg",
    "https:127.0.0.1/good.jpg",
    "https:/127.0.0.1/good.jpg",
    "https:///127.0.0.1/good.jpg",
    "//127.0.0.1/good.jpg",
    r"https:\\127.0.0.1\good.jpg",
    "https://",
    "https://?x",
    "https://#@127.0.0.1/good.jpg",
    "https://user@cdn.town.example/good.jpg",
    "https://user:word@cdn.town.example/good.jpg",
    "https://cdn.town.example@127.0.0.1/good.jpg",
    "https://cdn.town.example:443@127.0.0.1/good.jpg",
    r"https://cdn.town.example\@127.0.0.1/good.jpg",
    r"https://127.0.0.1\@cdn.town.example/good.jpg",
    "https://127.0.0.1#@cdn.town.example/good.jpg",
    "https://127.0.0.1?@cdn.town.example/good.jpg",
    "https://127.0.0.1%2F@cdn.town.example/good.jpg",
    "https://127.0.0.1%00.town.example/good.jpg",
    "https://127.0.0.1%2ecdn.town.example/good.jpg",
    "https://cdn.town.example:22/good.jpg",
    "https://cdn.town.example:80/good.jpg",
    "https://cdn.town.example:6379/good.jpg",
    "https://cdn.town.example:8443/good.jpg",
    "https://cdn.town.example:0/good.jpg",
    "https://cdn.town.example:99999/good.jpg",
    "https://cdn.town.example:port/good.jpg",
    "https://cdn.town.example:-443/good.jpg",
    "https://[fe80::1%eth0]/good.jpg",
    "https://[fe80::1%25eth0]/good.jpg",
    "https://[::1/good.jpg",
    "https://[::ffff:127.0.0.1%25lo]/good.jpg",
    "https://[127.0.0.1]/good.jpg",
    "https://１２７.0.0.1/good.jpg",
    "https://①②⑦.⓪.⓪.①/good.jpg",
    "https://cdn town.example/good.jpg",
    "https://cdn.town.example\n.evil/good.jpg",
    "https://cdn.town.example/good.jpg\r\nHost: 127.0.0.1",
    "https://cdn.town.example\0/good.jpg",
    " https://127.0.0.1/good.jpg",
    "https://nowhere.town.example/good.jpg",
    "https://none.town.example/good.jpg",
    f"https://{'x' * 70}.town.example/good.jpg",
    f"https://{'x.' * 200}example/good.jpg",
    f"https://cdn.town.example/{'x' * 100_000}.jpg",
    "https://256.256.256.256/good.jpg",
    "https://1.2.3.4.5/good.jpg",
    "https://unknown-to-the-certificate.example/good.jpg",
]


def dripping(piece: bytes, begin: bytes = b"") -> Callable[[Town], Callable[[socket.socket, bytes], None]]:
    """A server that sends a little again and again."""

    def page(town: Town) -> Callable[[socket.socket, bytes], None]:
        def serve(sock: socket.socket, _: bytes) -> None:
            sock.sendall(begin)
            while not town.closing.wait(0.02):
                sock.sendall(piece)

        return serve

    return page


def endless(piece: bytes, begin: bytes) -> Callable[[Town], Callable[[socket.socket, bytes], None]]:
    def page(town: Town) -> Callable[[socket.socket, bytes], None]:
        def serve(sock: socket.socket, _: bytes) -> None:
            sock.sendall(begin)
            while not town.closing.is_set():
                sock.sendall(piece)

        return serve

    return page


def silent(begin: bytes) -> Callable[[Town], Callable[[socket.socket, bytes], None]]:
    def page(town: Town) -> Callable[[socket.socket, bytes], None]:
        def serve(sock: socket.socket, _: bytes) -> None:
            sock.sendall(begin)
            town.closing.wait(20)

        return serve

    return page


CHUNKED = answer("200 OK", b"", "Transfer-Encoding: chunked")
PLAIN_HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n"


def zipped(name: str, content: bytes) -> bytes:
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, content)
    return written.getvalue()


Hostile = bytes | Callable[[Town], Callable[[socket.socket, bytes], None]]

#: By path: answers that no picture comes of.
PAGES: dict[str, Hostile] = {
    **{f"to-{number}": redirect(f"https://{host}/good.jpg") for number, host in enumerate(INSIDE[::4])},
    "good.jpg": ok(A_JPEG),
    "to-http": redirect("http://cdn.town.example/good.jpg"),
    "to-file": redirect("file:///etc/passwd"),
    "to-ftp": redirect("ftp://127.0.0.1/x.jpg"),
    "to-gopher": redirect("gopher://127.0.0.1:6379/_FLUSHALL"),
    "to-port": redirect("https://cdn.town.example:6379/good.jpg"),
    "to-user": redirect("https://user:word@cdn.town.example/good.jpg"),
    "to-relative-host": redirect("//127.0.0.1/good.jpg"),
    "to-backslash": redirect("\\\\127.0.0.1\\good.jpg"),
    "to-tab": redirect("https://127.0.0.1\t/good.jpg"),
    "to-garbage": redirect("https://[::1"),
    "to-nothing": answer("302 Found", b"", "Content-Length: 0"),
    "to-empty": redirect(""),
    "to-itself": redirect("/to-itself"),
    "to-name": redirect("https://loop.town.example/good.jpg"),
    "to-mixed": redirect("https://mixed.town.example/good.jpg"),
    "to-metadata": redirect("https://metadata.google.internal/computeMetadata/v1/", "307 Temporary Redirect"),
    "to-twice": redirect("/to-name", "301 Moved"),
    **{f"hop-{number}": redirect(f"/hop-{number + 1}") for number in range(1, 5)},
    "hop-5": redirect("https://127.0.0.1/good.jpg", "308 Permanent Redirect"),
    **{f"far-{number}": redirect(f"/far-{number + 1}") for number in range(1, 7)},
    "far-7": ok(A_JPEG),
    "gone": answer("404 Not Found", b"", "Content-Length: 0"),
    "forbidden": answer("403 Forbidden", b"<html>no</html>", "Content-Length: 15"),
    "login": answer("401 Unauthorized", b"", "Content-Length: 0", "WWW-Authenticate: Basic"),
    "teapot": answer("418 I'm a teapot", b"", "Content-Length: 0"),
    "busy": answer("503 Service Unavailable", b"", "Content-Length: 0"),
    "broken": answer("500 Internal Server Error", b"", "Content-Length: 0"),
    "slow-down": answer("429 Too Many Requests", b"", "Content-Length: 0"),
    "no-content": answer("204 No Content"),
    "part": answer("206 Partial Content", A_JPEG, f"Content-Length: {len(A_JPEG)}"),
    "wrong-part": answer("206 Partial", A_JPEG, f"Content-Length: {len(A_JPEG)}", "Content-Range: bytes 5-9/99999"),
    "bomb.gz": ok(gzip.compress(bytes(50_000_000)), "Content-Encoding: gzip"),
    "bomb-twice.gz": ok(gzip.compress(gzip.compress(bytes(50_000_000))), "Content-Encoding: gzip, gzip"),
    "bomb.deflate": ok(zlib.compress(bytes(50_000_000)), "Content-Encoding: deflate"),
    "packed.br": ok(A_JPEG, "Content-Encoding: br"),
    "short": answer("200 OK", A_JPEG[:200], f"Content-Length: {len(A_JPEG)}"),
    "short-by-one": answer("200 OK", A_JPEG[:-1], f"Content-Length: {len(A_JPEG)}"),
    "short-chunked": CHUNKED + b"%x\r\n" % len(A_JPEG) + A_JPEG[:100],
    "unended-chunked": CHUNKED + b"%x\r\n" % len(A_JPEG) + A_JPEG + b"\r\n",
    "wrong-chunked": CHUNKED + b"zz\r\n" + A_JPEG,
    "lengthless": answer("200 OK", A_JPEG),
    "two-lengths": answer("200 OK", A_JPEG, "Content-Length: 5", f"Content-Length: {len(A_JPEG)}"),
    "negative": answer("200 OK", A_JPEG, "Content-Length: -1"),
    "words-for-length": answer("200 OK", A_JPEG, "Content-Length: many"),
    "huge": answer("200 OK", A_JPEG, f"Content-Length: {10**15}"),
    "beyond-counting": answer("200 OK", A_JPEG, f"Content-Length: {'9' * 400}"),
    "empty": ok(b""),
    "nothing": b"",
    "garbage": os.urandom(2000),
    "other-protocol": b"SSH-2.0-OpenSSH_9.6\r\n",
    "old-http": b"HTTP/0.9 200\r\n\r\n",
    "huge-header": b"HTTP/1.1 200 OK\r\nX: " + b"x" * 2_000_000,
    "many-headers": b"HTTP/1.1 200 OK\r\n" + b"X: x\r\n" * 200_000,
    "silent": silent(b""),
    "silent-header": silent(b"HTTP/1.1 200 OK\r\n"),
    "silent-body": silent(PLAIN_HEAD + A_JPEG[:300]),
    "dripping-status": dripping(b"H"),
    "dripping-header": dripping(b"X: y\r\n", b"HTTP/1.1 200 OK\r\n"),
    "dripping-100": dripping(b"HTTP/1.1 100 Continue\r\n\r\n"),
    "dripping-body": dripping(b"x", PLAIN_HEAD),
    "dripping-chunks": dripping(b"1\r\nx\r\n", CHUNKED),
    "endless-header": endless(b"X: " + b"x" * 1000 + b"\r\n", b"HTTP/1.1 200 OK\r\n"),
    "endless-zeros": endless(b"10000\r\n" + bytes(65536) + b"\r\n", CHUNKED),
    "page.jpg": ok(b"<!DOCTYPE html><html><body>Log in</body></html>", "Content-Type: image/jpeg"),
    "zip.jpg": ok(zipped("a.jpg", bytes(30_000_000)), "Content-Type: image/jpeg"),
    "drawing.jpg": ok(b'<?xml version="1.0"?><!DOCTYPE s [<!ENTITY a "aa">]><svg width="1" height="1">&a;</svg>'),
    "entity.jpg": ok(b'<svg xmlns="http://www.w3.org/2000/svg"><image href="https://127.0.0.1/"/></svg>'),
    "script.jpg": ok(b"#!/bin/sh\nrm -rf /\n", "Content-Type: image/png"),
    "program.jpg": ok(b"\x7fELF" + bytes(500)),
    "film.jpg": ok(mp4(5000), "Content-Type: image/jpeg"),
    "leaf.jpg": ok(b"%PDF-1.7\n"),
    "playlist.jpg": ok(b"#EXTM3U\n#EXTINF:1,\nhttps://127.0.0.1/x.ts\n"),
    "push.jpg": ok(b"push graphic-context\nimage over 0,0 0,0 'https://127.0.0.1/x'\n"),
    "postscript.jpg": ok(b"%!PS\n(%pipe%id) (r) file\n"),
}

#: What is only there to be led to, or is good.
GOOD_PAGES = {
    "good.jpg",
    "far-7",
    "far-2",
    "far-3",
    "far-4",
    "far-5",
    "far-6",
    "hop-2",
    "hop-3",
    "hop-4",
    "hop-5",
}


def ifd(count: int, *entries: bytes, after: int = 0) -> bytes:
    return b"II*\0" + struct.pack("<I", 8) + struct.pack("<H", count) + b"".join(entries) + struct.pack("<I", after)


def nested(depth: int) -> bytes:
    inner = b""
    for _ in range(depth):
        inner = box(b"moov", inner)
    return inner


#: Below the media root: files that are not what they seem.
FILES: dict[str, bytes | Callable[[], bytes]] = {
    "empty.jpg": b"",
    "one-byte.jpg": b"\xff",
    "text.jpg": b"not a picture at all",
    "zip-bomb.jpg": lambda: zipped("a", bytes(50_000_000)),
    "gzip-bomb.png": lambda: gzip.compress(bytes(50_000_000)),
    "film.png": lambda: mp4(5000),
    "picture.mp4": A_JPEG,
    "million-sides.png": png(1_000_000, 1_000_000),
    "bomb.png": lambda: png(30_000, 30_000, rows=zlib.compress(bytes(30_000_000))),
    "no-sides.png": png(0, 0),
    "no-height.png": png(10, 0),
    "cut.png": png(10, 10)[:20],
    "no-header.png": b"\x89PNG\r\n\x1a\n" + png_chunk(b"IDAT", b""),
    "negative.png": png(0xFFFFFFFF, 0xFFFFFFFF),
    "no-frame.jpg": b"\xff\xd8\xff\xe0\0\x10JFIF\0" + bytes(9) + b"\xff\xd9",
    "long-segment.jpg": b"\xff\xd8\xff\xe1\xff\xff" + bytes(100),
    "filled.jpg": b"\xff\xd8" + b"\xff" * 3_000_000,
    "segments.jpg": b"\xff\xd8" + b"\xff\xe1\0\2" * 500_000,
    "bomb.jpg": b"\xff\xd8\xff\xc0\0\x11\x08\xff\xff\xff\xff\3" + bytes(9) + b"\xff\xd9",
    "no-lines.jpg": b"\xff\xd8\xff\xc0\0\x11\x08\0\0\0\0\3" + bytes(9) + b"\xff\xd9",
    "no-sides.gif": b"GIF89a\0\0\0\0\0\0\0;",
    "bomb.gif": b"GIF89a\xff\x7f\xff\x7f\0\0\0;",
    "cut.gif": b"GIF89a\1",
    "bomb.webp": b"RIFF\x1e\0\0\0WEBPVP8X\n\0\0\0\0\0\0\0" + b"\xff\xff\xff" * 2,
    "unknown.webp": b"RIFF\x1e\0\0\0WEBPVP9X" + bytes(30),
    "cut.webp": b"RIFF\x1e\0\0\0WEBP",
    "bomb.bmp": b"BM" + bytes(16) + struct.pack("<ii", 2**31 - 1, -(2**31) + 1) + bytes(30),
    "no-sides.bmp": b"BM" + bytes(60),
    "loop.tif": ifd(0, after=8),
    "many.tif": ifd(65535),
    "bomb.tif": ifd(2, *[struct.pack("<HHII", tag, 4, 1, 60_000) for tag in (256, 257)]),
    "nowhere.tif": b"II*\0" + struct.pack("<I", 2**32 - 1),
    "cut.avif": box(b"ftyp", b"avif\0\0\0\0avif"),
    "huge-meta.avif": box(b"ftyp", b"avif\0\0\0\0avif") + struct.pack(">I4s", 2**31, b"meta"),
    "endless.heic": box(b"ftyp", b"heic\0\0\0\0heic") + struct.pack(">I4s", 0, b"meta"),
    "free.heic": box(b"ftyp", b"heic\0\0\0\0heic") + box(b"free") * 200_000,
    "sizeless.mp4": struct.pack(">I4s", 0, b"ftyp"),
    "tiny-box.mp4": box(b"ftyp", b"isom\0\0\2\0") + struct.pack(">I4s", 1, b"moov") + bytes(8),
    "huge-box.mp4": box(b"ftyp", b"isom\0\0\2\0") + struct.pack(">I4s", 2**32 - 1, b"moov"),
    "wide-box.mp4": box(b"ftyp", b"isom\0\0\2\0") + struct.pack(">I4sQ", 1, b"moov", 2**63),
    "nested.mp4": lambda: box(b"ftyp", b"isom\0\0\2\0") + nested(3000),
    "headerless.mp4": box(b"ftyp", b"isom\0\0\2\0") + box(b"mdat", bytes(5000)),
    "cut.mp4": mp4(5000)[:-200],
    "cut-early.mp4": mp4(5000, header_first=True)[:3000],
    "boxes.mp4": box(b"ftyp", b"isom\0\0\2\0") + box(b"free") * 200_000,
    "table.mp4": box(b"ftyp", b"isom\0\0\2\0") + moov()[:-24] + struct.pack(">I4sIII", 20, b"stsz", 0, 0, 2**32 - 1),
    "zeros.mp4": bytes(1_000_000),
    "wav.mp4": b"RIFF\x24\0\0\0WAVEfmt " + bytes(28),
    "nothing.webm": b"\x1a\x45\xdf\xa3",
    "sizeless.webm": b"\x1a\x45\xdf\xa3\xff" * 1000,
    "huge.webm": b"\x1a\x45\xdf\xa3" + b"\x01" + b"\xff" * 7 + bytes(50),
    "headless.webm": element(0x1A45DFA3, element(0x4282, b"webm")),
    "film.avi": b"RIFF\xff\xff\xff\xffAVI LIST\xff\xff\xff\xffhdrl",
    "listing.ogv": b"OggS" + bytes(20) + b"\xff" * 300,
    "system.mpg": b"\0\0\1\xba" * 1000,
    "playlist.mp4": b"#EXTM3U\nhttps://127.0.0.1/\n",
    "concat.mp4": b"ffconcat version 1.0\nfile /etc/passwd\n",
}

LINKS = {
    "link.jpg": "{place}/outside/secret.jpg",
    "relative-link.jpg": "../outside/secret.jpg",
    "folder-link": "{place}/outside",
    "up": "..",
    "root-link": "/",
    "dangling.jpg": "nowhere.jpg",
    "itself.jpg": "itself.jpg",
    "inner-link.jpg": "good.jpg",
    "process-link.jpg": "/proc/self/environ",
    "device-link.jpg": "/dev/zero",
}

PATHS = [
    *FILES,
    *(name for name in LINKS if "." in name[2:]),
    "folder-link/secret.jpg",
    "up/outside/secret.jpg",
    "root-link/etc/passwd",
    "fifo.jpg",
    "socket.jpg",
    "sparse.mp4",
    "sub",
    ".",
    "..",
    "/",
    "nowhere.jpg",
    "good.jpg/x",
    "good.jpg/..",
    "../outside/secret.jpg",
    "sub/../../outside/secret.jpg",
    "sub/../good.jpg",
    "./../outside/secret.jpg",
    "..//outside/secret.jpg",
    "%2e%2e/outside/secret.jpg",
    "..%2foutside/secret.jpg",
    "..\\outside\\secret.jpg",
    "....//outside/secret.jpg",
    "/etc/passwd",
    "//etc/passwd",
    "/proc/self/environ",
    "/dev/zero",
    "~/.ssh/id_ed25519",
    "~root/.profile",
    "$HOME/.profile",
    "C:\\Windows\\win.ini",
    "\\\\127.0.0.1\\share\\a.jpg",
    "good.jpg\0.png",
    "\0",
    "\udcff.jpg",
    "x" * 300 + ".jpg",
    "x/" * 5000 + "a.jpg",
    "file:good.jpg",
    "good.jpg\n",
]


@dataclass(frozen=True)
class Source:
    source: str
    can_be_opened: bool = False
    """It is refused for what is in it, or for how it is served."""


SOURCES = [
    *(Source(f"https://{host}/good.jpg") for host in INSIDE),
    *(Source(url) for url in LEADING_INSIDE + FORMS),
    *(Source(f"https://cdn.town.example/{name}", can_be_opened=True) for name in PAGES if name not in GOOD_PAGES),
    *(Source(path, can_be_opened=path in FILES or path == "sparse.mp4") for path in PATHS),
]


def asset(source: str) -> dict[str, Any]:
    kind = "video" if Path(source).suffix in (".mp4", ".webm", ".avi", ".ogv", ".mpg") else "image"
    return {"kind": kind, "source": source, "alt_text": None, "mime_type": None}


def read(made: Media) -> int:
    """Read all of it, piece by piece, as a publisher does."""
    with made.open() as stream:
        return sum(len(piece) for piece in iter(lambda: stream.read(65536), b""))


# --- what must not be ------------------------------------------------------------------------------------------------


def test_there_are_more_than_150_of_them() -> None:
    assert len({source.source for source in SOURCES}) == len(SOURCES) > 150


@pytest.mark.parametrize("hostile", SOURCES, ids=lambda hostile: ascii(hostile.source)[:60])
def test_a_hostile_source_ends_in_one_sentence_and_reaches_nothing(hostile: Source, town: Town, folder: Path) -> None:
    shelf = MediaShelf(folder, "https://media.town.example", allow=["files.house"])
    began = time.monotonic()

    with pytest.raises((ContentRejected, Transient)) as refused:
        shelf.examine([asset(hostile.source)])
    if not hostile.can_be_opened:
        with pytest.raises((ContentRejected, Transient)):
            read(shelf.media(asset(hostile.source)))

    said = str(refused.value)
    assert said.endswith(".")
    assert "\n" not in said
    assert len(said) < 500
    assert time.monotonic() - began < PATIENCE_SECONDS
    assert town.reached_inside == []


@pytest.mark.parametrize(
    "name",
    ["silent-body", "dripping-body", "dripping-chunks", "short", "short-by-one", "short-chunked", "unended-chunked"],
)
def test_no_half_file_is_ever_handed_to_a_publisher_as_whole(name: str, town: Town) -> None:
    made = MediaShelf(None, None).media(asset(f"https://cdn.town.example/{name}"))

    with pytest.raises(Transient):
        read(made)


def test_a_body_without_end_is_cut_at_the_longest_that_is_taken(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetching, "LARGEST", 1_000_000)
    monkeypatch.setattr(fetching, "FETCH_LASTS", timedelta(seconds=PATIENCE_SECONDS))

    with pytest.raises(ContentRejected, match="has more than 1,000,000 bytes"):
        read(MediaShelf(None, None).media(asset("https://cdn.town.example/endless-zeros")))


def test_a_name_that_changes_its_address_after_the_check_leads_nowhere_else(town: Town) -> None:
    town.names["turning.town.example"] = [[PUBLIC], ["127.0.0.1"]]
    shelf = MediaShelf(None, None)

    shelf.examine([asset("https://turning.town.example/good.jpg")])  # its one look-up is the one that was checked
    with pytest.raises(ContentRejected, match=r"has the address 127\.0\.0\.1"):
        read(shelf.media(asset("https://turning.town.example/good.jpg")))

    assert town.reached_inside == []


@pytest.mark.parametrize("device", ["null", "zero", "full", "random", "tty", "stdin", "fd/0", "shm", "ptmx"])
def test_no_device_is_opened_even_in_the_media_root(device: str) -> None:
    with pytest.raises(ContentRejected):
        MediaShelf(Path("/dev"), None).examine([asset(device)])


@pytest.mark.parametrize("secret", ["self/environ", "self/mem", "self/maps", "kcore", "kmsg", "self/root/etc/passwd"])
def test_nothing_of_a_process_is_a_picture(secret: str) -> None:
    with pytest.raises((ContentRejected, Transient)):
        MediaShelf(Path("/proc"), None).examine([asset(secret)])


def test_a_length_beyond_all_files_is_refused_without_reading_them(town: Town) -> None:
    with pytest.raises(ContentRejected, match=r"has 1,000,000,000,000,000 bytes; 4,294,967,296 are taken"):
        MediaShelf(None, None).examine([asset("https://cdn.town.example/huge")])


def test_a_header_that_does_not_end_is_read_for_so_long_and_no_longer() -> None:
    class Counting(io.BytesIO):
        reads = 0

        def read(self, size: int | None = -1, /) -> bytes:
            Counting.reads += 1
            return super().read(size)

    with pytest.raises(ContentRejected, match="broken picture"):
        look_at(Counting(b"\xff\xd8" + b"\xff" * 1_000_000), "image", whole=True)
    assert Counting.reads < MOST_READS + 10


def test_a_file_that_becomes_a_link_while_it_is_opened_is_refused(folder: Path) -> None:
    turning = folder / "file-turning.jpg"
    turning.write_bytes(b"harmless")
    really_stat = os.stat

    def stat_and_turn(path: Any, **how: Any) -> os.stat_result:
        found = really_stat(path, **how)
        if path == turning.name:
            turning.unlink()
            turning.symlink_to(folder.parent / "outside" / "secret.jpg")
        return found

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(files.os, "stat", stat_and_turn)
        with pytest.raises(ContentRejected, match="links are not followed"):
            files.open_below(folder, turning.name)


def test_a_folder_that_becomes_a_link_while_its_file_is_opened_leads_nowhere_else(folder: Path) -> None:
    """The file is opened from the folder that was checked, whatever its name means by now."""
    turning, secret = folder / "turning", folder.parent / "outside"
    turning.mkdir()
    (turning / "secret.jpg").write_bytes(b"harmless")
    really_stat = os.stat

    def stat_and_turn(path: Any, **how: Any) -> os.stat_result:
        found = really_stat(path, **how)
        if path == "secret.jpg":
            turning.rename(folder / "turned")
            turning.symlink_to(secret)
        return found

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(files.os, "stat", stat_and_turn)
        with files.open_below(folder, "turning/secret.jpg") as file:
            assert file.read() == b"harmless"
