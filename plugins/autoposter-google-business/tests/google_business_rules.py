"""What Google refuses in a new post, as far as the fact sheet tells: unknown fields, wrong values, bad media."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

KINDS = ("STANDARD", "EVENT", "OFFER", "ALERT")
ACTIONS = ("BOOK", "ORDER", "SHOP", "LEARN_MORE", "SIGN_UP", "CALL", "GET_OFFER")
DATE, TIME = {"year": int, "month": int, "day": int}, {"hours": int, "minutes": int}

#: Every field that the API knows, by its type.
SHAPE: dict[str, Any] = {
    "languageCode": str,
    "summary": str,
    "topicType": str,
    "alertType": str,
    "scheduledTime": str,
    "callToAction": {"actionType": str, "url": str},
    "event": {
        "title": str,
        "schedule": {"startDate": DATE, "startTime": TIME, "endDate": DATE, "endTime": TIME},
    },
    "offer": {"couponCode": str, "redeemOnlineUrl": str, "termsConditions": str},
    "media": [{"mediaFormat": str, "sourceUrl": str}],
}

#: Names of the API's own codes for what is wrong.
MISSING, INVALID, RANGE, PHOTO = 2, 3, 10, 1000


@dataclass(frozen=True, slots=True)
class Wrong:
    """One field that is refused."""

    code: int
    field: str
    message: str


def misshapen(value: Any, shape: Any = SHAPE, where: str = "local_post") -> Iterator[str]:
    """What does not even parse: fields that the API does not know, and other types."""
    if isinstance(shape, dict):
        if not isinstance(value, dict):
            yield f"Invalid value at '{where}'."
            return
        for name, inner in value.items():
            if name not in shape:
                yield f"Invalid JSON payload received. Unknown name \"{name}\" at '{where}': Cannot find field."
            else:
                yield from misshapen(inner, shape[name], f"{where}.{name}")
    elif isinstance(shape, list):
        for inner in value if isinstance(value, list) else [None]:
            yield from misshapen(inner, shape[0], where)
    elif type(value) is not shape:
        yield f"Invalid value at '{where}'."


def wrong(said: dict[str, Any], fetch: Callable[[str], bytes | None]) -> Iterator[Wrong]:
    """What is refused of a post that parses.  `fetch`: what stands at an address, if anything."""
    kind = said.get("topicType")
    if kind is None:
        yield Wrong(MISSING, "topic_type", "Topic type is required for post creation.")
    elif kind not in KINDS:
        yield Wrong(INVALID, "topic_type", "Invalid topic type.")
    if not said.get("summary"):
        yield Wrong(MISSING, "summary", "Summary is required.")
    yield from _too_long(said, "summary", 1500, "summary")
    yield from _button(said.get("callToAction"), kind)
    if kind in ("EVENT", "OFFER"):
        yield from _event(said.get("event"))
    elif "event" in said:
        yield Wrong(INVALID, "event", "Event is only for events and offers.")
    if "offer" in said and kind != "OFFER":
        yield Wrong(INVALID, "offer", "Offer is only for offers.")
    yield from _media(said.get("media", []), fetch)


def _too_long(value: dict[str, Any], name: str, limit: int, field: str) -> Iterator[Wrong]:
    if len(value.get(name, "").encode("utf-16-le")) // 2 > limit:
        yield Wrong(RANGE, field, f"Must be at most {limit} characters")


def _button(button: dict[str, str] | None, kind: str | None) -> Iterator[Wrong]:
    if button is None:
        return
    if kind == "OFFER":
        yield Wrong(INVALID, "call_to_action", "Call to action is not allowed for offers.")
    action = button.get("actionType")
    if action not in ACTIONS or action == "GET_OFFER":
        yield Wrong(INVALID, "call_to_action.action_type", "Invalid action type.")
    elif action == "CALL" and "url" in button:
        yield Wrong(INVALID, "call_to_action.url", "Url must not be set for CALL.")
    elif action != "CALL" and not button.get("url", "").startswith(("http://", "https://")):
        yield Wrong(MISSING, "call_to_action.url", "Url is required.")


def _event(event: dict[str, Any] | None) -> Iterator[Wrong]:
    if event is None:
        yield Wrong(MISSING, "event", "event is required")
        return
    if not event.get("title"):
        yield Wrong(MISSING, "event.title", "Title is required.")
    yield from _too_long(event, "title", 58, "event.title")
    schedule = event.get("schedule", {})
    if set(schedule) != {"startDate", "startTime", "endDate", "endTime"}:
        yield Wrong(MISSING, "event.schedule", "Schedule must contain all fields to be valid.")
        return
    try:
        start, end = (_moment(schedule[f"{which}Date"], schedule[f"{which}Time"]) for which in ("start", "end"))
    except (ValueError, KeyError):
        yield Wrong(INVALID, "event.schedule", "Invalid date or time.")
        return
    if end <= start:
        yield Wrong(INVALID, "event.schedule", "Inverted range.")


def _moment(date: dict[str, int], time: dict[str, int]) -> datetime:
    day = f"{date['year']:04}-{date['month']:02}-{date['day']:02}"
    return datetime.fromisoformat(f"{day} {time.get('hours', 0):02}:{time.get('minutes', 0):02}")


def _media(media: list[dict[str, str]], fetch: Callable[[str], bytes | None]) -> Iterator[Wrong]:
    if len(media) > 1:
        yield Wrong(RANGE, "media", "Too many media items.")
    for one in media[:1]:
        if one.get("mediaFormat") != "PHOTO" or not one.get("sourceUrl"):
            yield Wrong(MISSING, "media", "A photo with a source url is required.")
        elif problem := _bad_photo(fetch(one["sourceUrl"])):
            yield Wrong(PHOTO, "media.source_url", problem)


def _bad_photo(content: bytes | None) -> str | None:
    if content is None:
        return "Fetching image failed."
    if not content.startswith((b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff")):
        return "Image format is not supported."
    if not 10_240 <= len(content) <= 5_242_880:
        return "Image size is out of range."
    if content.startswith(b"\x89PNG") and min(struct.unpack(">II", content[16:24])) < 250:
        return "Image dimensions are too small."
    return None
