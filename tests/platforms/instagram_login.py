"""Instagram Login at a fake's address: the publisher knows the real host only.  Installed like any plugin."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from processes import Processes

from autoposter import hookimpl
from autoposter.publishers import Publisher
from autoposter_instagram import models

models.INSTAGRAM_HOST = os.environ.get("INSTAGRAM_LOGIN_AT", models.INSTAGRAM_HOST)


@hookimpl
def autoposter_publishers() -> Iterable[type[Publisher]]:
    """None of its own."""
    return []


def install(folder: Path, processes: Processes, *, at: str) -> None:
    """Let processes that are started from now on take this address for Instagram Login's."""
    metadata = folder / "autoposter_instagram_login-0.1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: autoposter-instagram-login\nVersion: 0.1.0\n")
    (metadata / "entry_points.txt").write_text(f"[autoposter]\nlogin = {__name__}\n")
    modules = os.pathsep.join([str(folder), str(Path(__file__).parent.parent)])
    processes.tell(PYTHONPATH=modules, INSTAGRAM_LOGIN_AT=f"{at}/")
