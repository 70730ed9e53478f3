"""What still runs of a folder."""

from __future__ import annotations

import contextlib
from pathlib import Path

import psutil  # type: ignore[import-untyped]


def processes_of(folder: Path, name: str = "") -> list[psutil.Process]:
    """The processes that work in this folder or below it, of whatever user; `name` is a part of their command."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if Path(process.cwd()).is_relative_to(folder) and name in " ".join(process.cmdline()):
                found.append(process)
    return found


def kill_all_of(folder: Path) -> None:
    """Kill what still runs of a folder."""
    for process in processes_of(folder):
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
