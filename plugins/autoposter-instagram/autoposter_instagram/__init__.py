"""Publishes on Instagram: pictures, reels, stories and carousels of professional accounts."""

from __future__ import annotations

from autoposter import hookimpl
from autoposter.publishers import Publisher
from autoposter_instagram.publisher import Instagram


@hookimpl
def autoposter_publishers() -> list[type[Publisher]]:
    """What this plugin brings."""
    return [Instagram]
