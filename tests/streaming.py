"""Streams one video from its source to a platform, as a publisher does, and prints what memory that took.

A program of its own, so that nothing else is measured: `python streaming.py SOURCE MEDIA_ROOT ALLOW PLATFORM_URL`.
"""

from __future__ import annotations

import json
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from autoposter.media import MediaShelf
from autoposter.publishers import Account, Delivery, Post, Publisher, Receipt
from autoposter.publishers.base import Nothing
from autoposter.publishers.http import Wire
from autoposter.testing import make_post


class Cinema(Publisher):
    """Takes one film, in one request."""

    platform = "cinema"
    delivery = Delivery.BLIND
    publish_timeout = timedelta(minutes=5)

    class Settings(BaseModel):
        url: str

    def publish(self, post: Post, prepared: dict[str, Any]) -> Receipt:
        assert isinstance(self.account.settings, self.Settings)
        [film] = post.media
        with film.open() as stream:
            answer = self.http.post(
                self.account.settings.url, content=stream, headers={"Content-Length": str(film.size)}
            )
        return Receipt(answer.raise_for_status().text)


def peak_bytes() -> int:
    [line] = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM")]
    return int(line.split()[1]) * 1024


def publish(source: str, root: str, allow: str, url: str) -> str:
    shelf = MediaShelf(Path(root), None, [allow])
    asset = {"kind": "video", "source": source, "alt_text": None, "mime_type": None}
    shelf.examine([asset])
    account = Account(1, "Shop", None, Cinema.Settings(url=url), Nothing())
    with Wire() as wire, wire.publishing(Cinema.publish_timeout):
        return Cinema(account, wire.client).publish(make_post(media=[shelf.media(asset)]), {}).platform_post_id


if __name__ == "__main__":
    source, root, allow, url = sys.argv[1:]
    idle = peak_bytes()
    received = publish(source, root, allow, url)
    print(json.dumps({"received": int(received), "more_bytes": peak_bytes() - idle}))
