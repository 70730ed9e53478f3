"""Listings: newest first, in pages."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from .client import Graph

#: The platform's clock and ours may differ by this much, and a call is promised a little before it is made.
CLOCK_SLACK = timedelta(minutes=2)

#: A listing that does not end is cut off; by then it is far older than what is looked for.
MOST_PAGES = 40


def rows(graph: Graph, path: str, **parameters: str) -> Iterator[dict[str, Any]]:
    """The rows of a listing, newest first.  Raises ValueError where it is none: that must not pass for an empty one."""
    after: dict[str, str] = {}
    for _ in range(MOST_PAGES):
        page = graph.get(path, **parameters, **after)
        data = page.get("data")
        if not isinstance(data, list):
            raise ValueError(f"The listing of {path} has no rows that can be read.")
        yield from (row for row in data if isinstance(row, dict))
        paging = page.get("paging")
        cursors = paging.get("cursors", {}) if isinstance(paging, dict) and "next" in paging else {}
        if not cursors.get("after"):
            return
        after = {"after": str(cursors["after"])}  # not `next` itself: it carries the token


def since(moment: datetime) -> str:
    """The parameter `since` for what was begun at this moment."""
    return str(int((moment - CLOCK_SLACK).timestamp()))


def moment(value: object) -> datetime | None:
    """A time as listings tell it: `2026-10-01T10:00:03+0000`, or seconds since 1970; None where it is neither."""
    try:
        if isinstance(value, int) or (isinstance(value, str) and value.isdigit()):
            return datetime.fromtimestamp(int(value), UTC)
        return datetime.strptime(str(value), "%Y-%m-%dT%H:%M:%S%z")
    except (ValueError, OverflowError, OSError):
        return None
