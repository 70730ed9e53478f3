"""Publishes on Instagram."""

from __future__ import annotations

from autoposter import hookimpl
from autoposter.publishers import Publisher


@hookimpl
def autoposter_publishers() -> list[type[Publisher]]:
    """What this plugin brings."""
    return []
