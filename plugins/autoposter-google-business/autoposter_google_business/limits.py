"""What Google takes: each limit that can be known offline, and the sentence a person sees.

Where they come from: Google's reference and help pages, and what others have seen of the API.  `COUPON_UNITS` and
`TERMS_UNITS` are those of Google's own web page; whether the API has the same is not confirmed.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator
from datetime import UTC, timedelta
from urllib.parse import urlsplit

from autoposter.publishers import ContentRejected, Media, PictureLimits, Post
from autoposter_google_business.content import button, options_of, period
from autoposter_google_business.options import Event, Offer

#: UTF-16 code units: an emoji is two.
TEXT_UNITS = 1500
TITLE_UNITS = 58
COUPON_UNITS = 58
TERMS_UNITS = 5000

PHOTOS = 1
LEAST_BYTES = 10_240
PICTURES = PictureLimits(formats=("image/jpeg", "image/png"), max_bytes=5_242_880, min_side=250)

#: Only what cannot be anything else: +49 30 1234567, (555) 123-4567, 555-123-4567.
PHONE = re.compile(
    r"(?<![\w+])(\+\d[\d ().\-/]{6,}\d|\(\d{3}\) ?\d{3}[ .\-]\d{4}|\d{3}(?P<gap>[.\-])\d{3}(?P=gap)\d{4})(?!\w)"
)

#: No clock on earth is further behind UTC.
FURTHEST_BEHIND = timedelta(hours=12)


def problems(post: Post) -> Iterator[str]:
    """Every reason why Google would refuse this post, but for those of `PICTURES`."""
    yield from _text(post.caption)
    yield from _photos(post.media)
    yield from _links(post)
    if what := period(options_of(post)):
        yield from _period(what, post)


def units(text: str) -> int:
    """Its length as Google counts it, in UTF-16 code units."""
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def _too_long(what: str, text: str, limit: int) -> Iterator[str]:
    if units(text) > limit:
        yield f"{what} {units(text):,} characters (an emoji counts as two); Google takes {limit:,}."


def _text(caption: str) -> Iterator[str]:
    if not caption.strip():
        yield "The text is empty; Google wants one in every post."
    yield from _too_long("The text has", caption, TEXT_UNITS)
    if found := PHONE.search(caption):
        yield f"The text has a phone number ({found[0]}), which Google rejects: use the call to action CALL instead."


# --- Photos ----------------------------------------------------------------------------------------------------------


def _photos(media: tuple[Media, ...]) -> Iterator[str]:
    if any(one.kind == "video" for one in media):
        yield "Google takes no video in a post, only a photo."
        return
    if len(media) > PHOTOS:
        yield f"It has {len(media)} photos; Google takes {PHOTOS} in a post."
    for photo in media[:PHOTOS]:
        yield from _photo(photo)


def _photo(photo: Media) -> Iterator[str]:
    if photo.size is not None and photo.size < LEAST_BYTES:
        yield f"The photo has {photo.size:,} bytes; Google takes none below {LEAST_BYTES:,}."
    try:
        address = photo.public_url
    except ContentRejected as error:
        yield f"Google fetches the photo by itself. {error.message}"
    else:
        if not (address.startswith("https://") and is_public_address(address)):
            yield f"The photo's address is {address[:200]!r}; Google fetches from an https address with a named host."


# --- Links -----------------------------------------------------------------------------------------------------------


def _links(post: Post) -> Iterator[str]:
    options = options_of(post)
    own = options.offer.redeem_url if options.offer else options.call_to_action and options.call_to_action.url
    if post.link and own and own != post.link:
        yield f"It has two links, {own} and {post.link}; Google takes one in a post."
    if call := button(post):
        yield from _button(call, post.link)
    elif options.offer and (address := own or post.link):
        yield from _address("The link", address)


def _button(call: dict[str, str], link: str | None) -> Iterator[str]:
    if call["actionType"] == "CALL":
        if link:
            yield f"The button CALL dials and has no link: leave out {link}, or take another button."
    elif not call["url"]:
        yield f"The button {call['actionType']} leads nowhere: give it a `url`, or the post a link."
    else:
        yield from _address("The link", call["url"])


def _address(what: str, address: str) -> Iterator[str]:
    if not is_public_address(address):
        yield f"{what} is {address[:200]!r}; Google takes a web address with a named host, such as https://shop.example/menu."


def is_public_address(address: str) -> bool:
    """Whether it is an absolute http(s) address whose host has a name that others may resolve."""
    try:
        parts = urlsplit(address)
        host = parts.hostname or ""
    except ValueError:
        return False
    if parts.scheme not in ("http", "https") or re.search(r"\s", address):
        return False
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return re.fullmatch(r"([^.\s]+\.)+[^.\s\d][^.\s]*\.?", host) is not None
    return False


# --- Events and offers -----------------------------------------------------------------------------------------------


def _period(what: Event, post: Post) -> Iterator[str]:
    if not what.title.strip():
        yield "The title is empty; Google wants one for every event and offer."
    yield from _too_long("The title has", what.title, TITLE_UNITS)
    # Where the location is, and what its clock says, is not known: refused is only what is over everywhere.
    earliest_clock = post.scheduled_for.astimezone(UTC).replace(tzinfo=None) - FURTHEST_BEHIND
    if what.end < earliest_clock:
        yield (
            f"It ends on {what.end:%Y-%m-%d at %H:%M}, and is to be published on"
            f" {post.scheduled_for:%Y-%m-%d}: it would be over."
        )
    if isinstance(what, Offer):
        yield from _too_long("The coupon code has", what.coupon_code or "", COUPON_UNITS)
        yield from _too_long("The terms have", what.terms or "", TERMS_UNITS)
