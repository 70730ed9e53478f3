"""Autoposter's publishers of the benchmarks: one posts to the fake platform, one does nothing.

As a plugin author would write them.  `BLIND`: an attempt whose answer is lost would show in the tables.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from autoposter import hookimpl
from autoposter.publishers import Delivery, Post, Publisher, Receipt


class FakePlatformPublisher(Publisher):
    """Posts the caption."""

    platform = "bench_http"
    delivery = Delivery.BLIND

    class Settings(BaseModel):
        """Where the fake platform listens."""

        api_url: str

    def publish(self, post: Post, prepared: dict[str, Any]) -> Receipt:
        """One request."""
        url = self.account.settings.api_url
        answer = self.http.post(f"{url}/posts", json={"text": post.caption}, headers={"Authorization": "Bearer ours"})
        return Receipt(platform_post_id=answer.raise_for_status().json()["id"])


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
