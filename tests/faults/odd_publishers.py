"""Publishers that the fake platform's own three are too quick or too healthy for.  Installed like any plugin."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path
from typing import Any

from autoposter import hookimpl
from autoposter.publishers import NotReady, Post, Publisher, Receipt
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


class Preparing(FakeFindable):
    """Its platform works on each post's media for so many seconds as `ODD_PREPARING_SECONDS` says."""

    platform = "preparing"
    prepare_ahead = timedelta(hours=1)

    def prepare(self, post: Post, prepared: dict[str, Any]) -> dict[str, Any]:
        """Begin once per content, then wait for the platform."""
        if not prepared:
            _note_upload(post)
            raise NotReady({"text": post.caption, "begun_at": time.time()}, retry_after=timedelta(seconds=2))
        if time.time() < prepared["begun_at"] + float(os.environ["ODD_PREPARING_SECONDS"]):
            raise NotReady(prepared, retry_after=timedelta(seconds=2))
        return prepared

    def publish(self, post: Post, prepared: dict[str, Any]) -> Receipt:
        """Publish what was prepared, if it is of this post."""
        if prepared["text"] != post.caption:
            raise ValueError("prepared for another text")
        return super().publish(post, prepared)


def _note_upload(post: Post) -> None:
    with Path(os.environ["ODD_UPLOADS"]).open("a") as file:
        file.write(json.dumps([post.id, post.caption]) + "\n")


@hookimpl
def autoposter_publishers() -> Iterable[type[Publisher]]:
    """All of them."""
    return [Patient, Hanging, Preparing]


def install(folder: Path) -> None:
    """Lay a distribution that registers them into `folder`."""
    metadata = folder / "autoposter_odd-0.1.0.dist-info"
    metadata.mkdir(parents=True, exist_ok=True)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: autoposter-odd\nVersion: 0.1.0\n")
    (metadata / "entry_points.txt").write_text(f"[autoposter]\nodd = {__name__}\n")
