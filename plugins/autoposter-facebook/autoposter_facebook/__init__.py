"""Publishes on Facebook Pages: texts, links, photos, videos, reels and stories."""

from __future__ import annotations

from autoposter import hookimpl
from autoposter.publishers import Publisher
from autoposter_facebook.publisher import Facebook


@hookimpl
def autoposter_publishers() -> list[type[Publisher]]:
    """What this plugin brings."""
    return [Facebook]
