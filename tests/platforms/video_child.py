"""Prepares one video as a worker does, and says how its memory grew: `python -m platforms.video_child JSON`."""

from __future__ import annotations

import importlib
import json
import resource
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from autoposter.publishers import ContentRejected, Post
from autoposter.testing import Lab


@dataclass(frozen=True)
class Elsewhere:
    """A fake that runs in another process."""

    settings: dict[str, Any]
    credentials: dict[str, Any]


def peak_bytes() -> int:
    """The most memory that this process has ever held."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def nowhere() -> str:
    raise ContentRejected("It has no public address.")


def filmed(post: Post, file: Path) -> Post:
    """The same post with this film."""
    film = replace(
        post.media[0], size=file.stat().st_size, open=lambda: file.open("rb"), _public_url=nowhere, alt_text=""
    )
    return replace(post, media=(film,))


def main(order: dict[str, Any]) -> None:
    publisher = getattr(importlib.import_module(order["module"]), order["publisher"])
    post = importlib.import_module(order["examples"]).KINDS[order["kind"]]
    lab = Lab(publisher, Elsewhere(order["settings"], order["credentials"]), post)  # type: ignore[arg-type]
    lab.prepare(filmed(post, Path(order["small"])))
    idle = peak_bytes()
    lab.prepare(filmed(post, Path(order["large"])))
    print(json.dumps({"idle": idle, "grew": peak_bytes() - idle}))


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
