"""Autoposter's publishers of the benchmarks: one posts to the fake platform, one does nothing.

As a plugin author would write them.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from autoposter import hookimpl
from autoposter.publishers import Delivery, Post, Publisher, Receipt

TOKEN = {"Authorization": "Bearer ours"}


class FakePlatformPublisher(Publisher):
    """Posts the caption, and finds by it what a killed worker may have sent."""

    platform = "bench_http"
    delivery = Delivery.FINDABLE
    publish_timeout = timedelta(seconds=5)
    find_after = timedelta(seconds=1)

    class Settings(BaseModel):
        """Where the fake platform listens."""

        api_url: str

    def publish(self, post: Post, prepared: dict[str, Any]) -> Receipt:
        """One request."""
        answer = self.http.post(self._url, json={"text": post.caption}, headers=TOKEN)
        return Receipt(platform_post_id=answer.raise_for_status().json()["id"])

    def find(self, post: Post, prepared: dict[str, Any]) -> Receipt | None:
        """By its text, since the first attempt."""
        since = (post.attempted_at or post.scheduled_for) - timedelta(seconds=1)
        answer = self.http.get(self._url, params={"since": str(since.timestamp())}, headers=TOKEN).raise_for_status()
        ids = [found["id"] for found in answer.json()["posts"] if found["text"] == post.caption]
        return Receipt(platform_post_id=ids[0]) if ids else None

    @property
    def _url(self) -> str:
        assert isinstance(self.account.settings, self.Settings)
        return f"{self.account.settings.api_url}/posts"


class NoopPublisher(Publisher):
    """Publishes nothing, at once: what is left is the cost of the books."""

    platform = "bench_noop"
    delivery = Delivery.BLIND

    def publish(self, post: Post, prepared: dict[str, Any]) -> Receipt:
        """Nothing."""
        return Receipt(platform_post_id=f"noop-{post.id}")


@hookimpl
def autoposter_publishers() -> Iterable[type[Publisher]]:
    """Both."""
    return [FakePlatformPublisher, NoopPublisher]


def install(folder: Path) -> None:
    """Lay a distribution that registers them into `folder`, which is on the workers' PYTHONPATH."""
    metadata = folder / "autoposter_bench-0.1.0.dist-info"
    metadata.mkdir(parents=True, exist_ok=True)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: autoposter-bench\nVersion: 0.1.0\n")
    (metadata / "entry_points.txt").write_text(f"[autoposter]\nbench = {__name__}\n")
