"""Pictures and videos for tests: the least that is one of each kind."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

from PIL import Image

#: The beginning of a PNG of 1x1 pixels: all that is read of it, whatever it is called.
A_PICTURE = b"\x89PNG\r\n\x1a\n" + struct.pack(">I4sIIBBBBB", 13, b"IHDR", 1, 1, 8, 0, 0, 0, 0)


def picture(kind: str = "JPEG", size: tuple[int, int] = (64, 48), mode: str = "RGB", **saved: Any) -> bytes:
    """A picture of some grey that Pillow has written."""
    written = io.BytesIO()
    Image.new(mode, size, 128 if mode in ("L", "I;16", "I", "1", "P") else None).save(written, kind, **saved)
    return written.getvalue()


def png(width: int, height: int, *, chunks: bytes = b"", rows: bytes = b"") -> bytes:
    """A PNG that claims to have these sides, whatever it holds."""
    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", head) + chunks + png_chunk(b"IDAT", rows) + png_chunk(b"IEND", b"")


def png_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def box(kind: bytes, *content: bytes) -> bytes:
    """A box of an MP4 (ISO 14496-12)."""
    data = b"".join(content)
    return struct.pack(">I4s", 8 + len(data), kind) + data


MATRIX = struct.pack(">9I", 0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000)


def moov(width: int = 640, height: int = 360, seconds: float = 5) -> bytes:
    """What an MP4 says of a single moving picture, which has one frame."""
    lasts = int(seconds * 1000)
    mvhd = box(
        b"mvhd",
        struct.pack(">IIIII", 0, 0, 0, 1000, lasts),
        struct.pack(">IH10x", 0x10000, 0x100),
        MATRIX,
        bytes(24),
        b"\0\0\0\2",
    )
    tkhd = box(
        b"tkhd",
        struct.pack(">IIIIII8xHHHH", 7, 0, 0, 1, 0, lasts, 0, 0, 0, 0),
        MATRIX,
        struct.pack(">II", width << 16, height << 16),
    )
    mdhd = box(b"mdhd", struct.pack(">IIIIIHH", 0, 0, 0, 1000, lasts, 0x55C4, 0))
    hdlr = box(b"hdlr", struct.pack(">II4s12x", 0, 0, b"vide"), b"video\0")
    entry = box(b"mp4v", struct.pack(">6xH16xHHIIIH32xHh", 1, width, height, 0x480000, 0x480000, 0, 1, 24, -1))
    tables = [
        box(b"stsd", struct.pack(">II", 0, 1), entry),
        box(b"stts", struct.pack(">IIII", 0, 1, 1, lasts)),
        box(b"stsc", struct.pack(">IIIII", 0, 1, 1, 1, 1)),
        box(b"stsz", struct.pack(">IIII", 0, 0, 1, 100)),
        box(b"stco", struct.pack(">III", 0, 1, 48)),
    ]
    dinf = box(b"dinf", box(b"dref", struct.pack(">II", 0, 1), box(b"url ", b"\0\0\0\1")))
    minf = box(b"minf", box(b"vmhd", struct.pack(">IQ", 1, 0)), dinf, box(b"stbl", *tables))
    return box(b"moov", mvhd, box(b"trak", tkhd, box(b"mdia", mdhd, hdlr, minf)))


def mp4(size: int = 20_000, *, brand: bytes = b"isom", header_first: bool = False, **said: Any) -> bytes:
    """An MP4 (`qt  `: a MOV) of so many bytes, of zeros but for its header."""
    if header_first:
        return mp4_beginning(size, brand=brand, **said).ljust(size, b"\0")
    ftyp, header = _ftyp(brand), moov(**said)
    return ftyp + box(b"mdat", bytes(size - len(ftyp) - len(header) - 8)) + header


def mp4_beginning(size: int, *, brand: bytes = b"isom", **said: Any) -> bytes:
    """An MP4 of so many bytes with its header first, as far as the frames, which are zeros."""
    start = _ftyp(brand) + moov(**said)
    return start + struct.pack(">I4s", size - len(start), b"mdat")


def _ftyp(brand: bytes) -> bytes:
    return box(b"ftyp", brand, b"\0\0\2\0", brand, b"mp41")


def element(id: int, *content: bytes) -> bytes:
    """An element of a WebM (RFC 8794)."""
    data = b"".join(content)
    name = id.to_bytes((id.bit_length() + 7) // 8, "big")
    return name + (1 << 56 | len(data)).to_bytes(8, "big") + data


def webm(width: int = 640, height: int = 360, seconds: float = 5) -> bytes:
    """A WebM without a frame."""

    def number(id: int, value: int) -> bytes:
        return element(id, value.to_bytes(4, "big"))

    head = element(0x1A45DFA3, element(0x4282, b"webm"), number(0x4287, 4), number(0x4285, 2))
    info = element(0x1549A966, number(0x2AD7B1, 1_000_000), element(0x4489, struct.pack(">d", seconds * 1000)))
    video = element(0xE0, number(0xB0, width), number(0xBA, height))
    track = element(0xAE, number(0xD7, 1), number(0x73C5, 1), number(0x83, 1), element(0x86, b"V_VP9"), video)
    cluster = element(0x1F43B675, number(0xE7, 0), element(0xA3, b"\x81\0\0\x80" + bytes(500)))
    return head + element(0x18538067, info, element(0x1654AE6B, track), cluster)
