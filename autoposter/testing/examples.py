"""Posts, media and accounts for tests: each says only what it is about."""

from __future__ import annotations

import io
import itertools
import struct
import uuid
import zlib
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any, Literal

from pydantic import BaseModel

from autoposter.publishers import Account, Media, Post, Publisher
from autoposter.publishers.base import Nothing

_numbers = itertools.count(1)

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)


def make_post(
    caption: str = "We are open.",
    *,
    link: str | None = None,
    media: Iterable[Media] = (),
    options: BaseModel | None = None,
    scheduled_for: datetime = NOON,
    attempted_at: datetime | None = None,
    id: int | None = None,
    idempotency_key: str | None = None,
) -> Post:
    """A post as a publisher is handed it.  Each has an id of its own; equal content of one post has an equal key."""
    number = next(_numbers) if id is None else id
    return Post(
        id=number,
        caption=caption,
        link=link,
        media=tuple(media),
        options=options or Nothing(),
        scheduled_for=scheduled_for,
        attempted_at=attempted_at,
        idempotency_key=idempotency_key or str(uuid.uuid5(uuid.NAMESPACE_OID, f"{number} {caption} {link}")),
    )


def make_media(
    kind: Literal["image", "video"] = "image",
    content: bytes | None = None,
    *,
    alt_text: str = "The shop from outside",
    mime_type: str | None = None,
    width: int | None = 640,
    height: int | None = 640,
    duration: timedelta | None = None,
    public_url: str | None = None,
) -> Media:
    """A picture (a real, white PNG) or a video (a few bytes that only begin like an MP4)."""
    is_image = kind == "image"
    data = content if content is not None else _png(width or 1, height or 1) if is_image else _MP4
    url = public_url or f"https://media.example/{'picture.png' if is_image else 'film.mp4'}"
    return Media(
        kind=kind,
        alt_text=alt_text,
        mime_type=mime_type or ("image/png" if is_image else "video/mp4"),
        size=len(data),
        width=width,
        height=height,
        duration=duration if is_image else duration or timedelta(seconds=5),
        open=lambda: io.BytesIO(data),
        _public_url=lambda: url,
    )


def make_account(
    publisher: type[Publisher],
    settings: Mapping[str, Any] | None = None,
    credentials: Mapping[str, Any] | None = None,
    *,
    name: str = "Shop",
    external_id: str | None = None,
) -> Account:
    """An account of this publisher, as `accounts add` would connect it."""
    return Account(
        id=1,
        name=name,
        external_id=external_id,
        settings=publisher.Settings.model_validate(dict(settings or {})),
        credentials=publisher.Credentials.model_validate(dict(credentials or {})),
    )


_MP4 = struct.pack(">I4s4sI4s4s", 24, b"ftyp", b"mp42", 0, b"isom", b"mp42") + bytes(1000)


@cache
def _png(width: int, height: int) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)  # 8 bits of grey
    rows = zlib.compress((b"\x00" + b"\xff" * width) * height)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
