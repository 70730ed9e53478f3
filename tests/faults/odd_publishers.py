"""Publishers that the fake platform's own three are too quick or too healthy for.  Installed like any plugin."""

from __future__ import annotations

import time
from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path
from typing import Any

from autoposter import hookimpl
from autoposter.publishers import Post, Publisher, Receipt
from autoposter.testing.publishers import FakeFindable


class Patient(FakeFindable):
    """Waits long for its answer, and looks long for a post that may still appear."""

    platform = "patient"
    publish_timeout = timedelta(seconds=10)
    find_after = timedelta(seconds=10)


class Hanging(FakeFindable):
    """Hangs for good in the first attempt at each post whose text says so, whatever its deadline."""

    platform = "hanging"

    def publish(self, post: Post, prepared: dict[str, Any]) -> Receipt:
        """Hang, or publish."""
        while "hang" in post.caption and post.attempted_at is None:
            time.sleep(3600)
        return super().publish(post, prepared)


@hookimpl
def autoposter_publishers() -> Iterable[type[Publisher]]:
    """Both."""
    return [Patient, Hanging]


def install(folder: Path) -> None:
    """Lay a distribution that registers them into `folder`."""
    metadata = folder / "autoposter_odd-0.1.0.dist-info"
    metadata.mkdir(parents=True, exist_ok=True)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: autoposter-odd\nVersion: 0.1.0\n")
    (metadata / "entry_points.txt").write_text(f"[autoposter]\nodd = {__name__}\n")
