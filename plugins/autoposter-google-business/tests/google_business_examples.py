"""Posts of every kind, and a photo that Google takes."""

from __future__ import annotations

import random
import struct
import zlib
from typing import Any

from autoposter.publishers import Media, Post
from autoposter.testing import make_media, make_post
from autoposter_google_business.options import PostOptions

PHOTO_URL = "https://media.example/terrace.png"

LINK = "https://shop.example/menu"


def png(width: int, height: int) -> bytes:
    """A real picture, of grey noise: a plain one would have too few bytes for Google."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)  # 8 bits of grey
    noise = random.Random(7)
    rows = zlib.compress(b"".join(b"\x00" + noise.randbytes(width) for _ in range(height)), 1)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


PHOTO = png(320, 250)

#: So far away that no event is over, whenever its post is due.
FAR_AWAY = {"start": "9999-12-30", "end": "9999-12-31"}


def photo(content: bytes = PHOTO, **facts: Any) -> Media:
    """A photo that Google takes, or one that differs from it."""
    given = {"mime_type": "image/png", "width": 320, "height": 250, "public_url": PHOTO_URL} | facts
    return make_media("image", content, **given)


def options(**given: Any) -> PostOptions:
    """As they stand in `content_item.options["google_business"]`."""
    return PostOptions.model_validate(given)


def event(**given: Any) -> PostOptions:
    """An event far away."""
    return options(event={"title": "Tasting", **FAR_AWAY} | given)


def offer(**given: Any) -> PostOptions:
    """An offer far away."""
    return options(offer={"title": "Spring sale", **FAR_AWAY} | given)


#: What a café posts, and the kind that Google takes it for.
KINDS: dict[str, tuple[str, Post]] = {
    "an update": ("STANDARD", make_post("We are open.")),
    "an update with a link": ("STANDARD", make_post("See the menu.", link=LINK)),
    "an update with a photo": ("STANDARD", make_post("The terrace is open.", media=[photo()])),
    "an update with a button": (
        "STANDARD",
        make_post("Book a table.", options=options(call_to_action={"action": "BOOK", "url": LINK})),
    ),
    "an update that dials": (
        "STANDARD",
        make_post("Give us a ring.", options=options(call_to_action={"action": "CALL"})),
    ),
    "an event": (
        "EVENT",
        make_post(
            "Eight wines, one evening.",
            media=[photo()],
            options=options(
                event={"title": "Tasting", "start": "2126-05-08T19:00", "end": "2126-05-08T22:30"},
                call_to_action={"action": "SIGN_UP", "url": LINK},
            ),
        ),
    ),
    "an event of whole days": (
        "EVENT",
        make_post(
            "The harvest.", options=options(event={"title": "Harvest", "start": "2126-05-08", "end": "2126-05-10"})
        ),
    ),
    "an offer": (
        "OFFER",
        make_post(
            "A third off.",
            media=[photo()],
            options=options(
                language="en-US",
                offer={
                    "title": "Spring sale",
                    "start": "2126-05-01T09:00",
                    "end": "2126-05-07T18:00",
                    "coupon_code": "SPRING",
                    "redeem_url": LINK,
                    "terms": "One each",
                },
            ),
        ),
    ),
    "an offer with nothing but a time": ("OFFER", make_post("Two for one.", options=offer())),
}
