"""Prepares one video as a worker does, and says how its memory grew: `python -m platforms.video_child JSON`."""

from __future__ import annotations

import importlib
import json
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


def memory(what: str) -> int:
    """How many bytes of memory this process holds (`VmRSS`), or has held at most (`VmHWM`)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(what))


def forget_the_peak() -> None:
    """From now on `VmHWM` tells the most since now (proc(5), clear_refs)."""
    Path("/proc/self/clear_refs").write_text("5")


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
    forget_the_peak()
    idle = memory("VmRSS")
    lab.prepare(filmed(post, Path(order["large"])))
    print(json.dumps({"idle": idle, "grew": memory("VmHWM") - idle}))


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
