"""Reading what a platform answered, when it may have answered anything.  Nothing here raises on garbage."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

import httpx2

from autoposter.clock import Clock

_SECONDS = re.compile(r"-?[0-9]{1,12}(\.[0-9]+)?")


def json_object(response: httpx2.Response) -> dict[str, Any]:
    """The JSON object in an answer; empty where there is none: HTML, nothing at all, a list, broken text."""
    try:
        value = response.json()
    except (ValueError, RecursionError):  # ValueError: not JSON, or not even text
        return {}
    return value if isinstance(value, dict) else {}


def retry_after(response: httpx2.Response) -> timedelta | None:
    """How long the platform asks us to wait (`Retry-After`); None where it does not say so legibly, never below 0.

    It may be seconds or a date.  A date is measured by the answer's own `Date`, where it has one: our clocks differ.
    """
    text = response.headers.get("Retry-After", "").strip()
    if _SECONDS.fullmatch(text):
        wait = timedelta(seconds=float(text))
    elif until := _date(text):
        wait = until - (_date(response.headers.get("Date", "")) or Clock().now())
    else:
        return None
    return max(wait, timedelta(0))


def _date(text: str) -> datetime | None:
    try:
        moment = parsedate_to_datetime(text)
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, TypeError, IndexError, OverflowError):  # what it raises depends on the garbage
        return None
