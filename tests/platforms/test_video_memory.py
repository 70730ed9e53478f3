"""A video is as large as it likes, and a worker's memory stays within 64 MB of what it is without one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from autoposter.testing import FakeServer
from fake_facebook import FakeFacebook
from fake_instagram import FakeInstagram

MOST_BYTES = 64 * 1024 * 1024
MEGABYTES = 200

WAYS: dict[str, tuple[Callable[[], FakeServer], str, str, str]] = {
    "instagram": (FakeInstagram, "autoposter_instagram.publisher:Instagram", "instagram_examples", "reel from a file"),
    "facebook, a video in pieces": (
        FakeFacebook,
        "autoposter_facebook.publisher:Facebook",
        "facebook_examples",
        "video",
    ),
    "facebook, a reel": (FakeFacebook, "autoposter_facebook.publisher:Facebook", "facebook_examples", "reel"),
    "facebook, a story": (FakeFacebook, "autoposter_facebook.publisher:Facebook", "facebook_examples", "video story"),
}


def film(folder: Path, megabytes: int) -> Path:
    """A file of zeros that takes no room."""
    file = folder / f"{megabytes}.mp4"
    with file.open("wb") as stream:
        stream.truncate(megabytes * 1_000_000)
    return file


@pytest.mark.parametrize("way", WAYS)
def test_a_large_video_is_sent_piece_by_piece(way: str, tmp_path: Path) -> None:
    fake, where, examples, kind = WAYS[way]
    module, _, publisher = where.partition(":")
    with fake() as platform:
        order = {
            "module": module,
            "publisher": publisher,
            "examples": examples,
            "kind": kind,
            "settings": dict(platform.settings),
            "credentials": dict(platform.credentials),
            "small": str(film(tmp_path, 1)),
            "large": str(film(tmp_path, MEGABYTES)),
        }
        ran = subprocess.run(
            [sys.executable, "-m", "platforms.video_child", json.dumps(order)],
            env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            capture_output=True,
            text=True,
            timeout=300,
        )
        arrived = platform.received_bytes
        assert platform.troubles == []

    assert ran.returncode == 0, ran.stderr
    told = json.loads(ran.stdout)
    print(f"{way}: {MEGABYTES} MB sent, {told['grew'] / 1e6:.1f} MB above the {told['idle'] / 1e6:.0f} MB of idling")
    assert arrived > MEGABYTES * 1_000_000
    assert told["grew"] < MOST_BYTES
