"""How much longer a process takes to know its platforms with 30 installed plugins than with none.

    python benchmarks/plugins.py

Each round starts a fresh Python for each, in turn, and times the whole process from outside, so that the ratio is of
one run on one machine.  The plugins are what `autoposter new-plugin` writes, each a distribution of its own.

What favours us: the files are in the system's cache, and real plugins may import heavier libraries than httpx2 and
pydantic, which autoposter needs itself.
"""

from __future__ import annotations

import argparse
import io
import os
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import redirect_stdout
from pathlib import Path

from autoposter import cli

PROGRAM = "from autoposter.plugins import Host; print(len(Host().platforms()))"


def install(count: int, site: Path) -> None:
    """Lay so many plugins into a folder, as an installer does."""
    site.mkdir()
    with tempfile.TemporaryDirectory() as folder:
        for number in range(count):
            name = f"board_{number}"
            with redirect_stdout(io.StringIO()):
                cli.main(["new-plugin", name, "--into", folder])
            module = Path(folder) / f"autoposter-board-{number}" / f"autoposter_{name}.py"
            (site / module.name).write_bytes(module.read_bytes())
            info = site / f"autoposter_{name}-1.0.dist-info"
            info.mkdir()
            (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: autoposter-board-{number}\nVersion: 1.0\n")
            (info / "entry_points.txt").write_text(f"[autoposter]\n{name} = {module.stem}\n")


def start(site: Path) -> tuple[float, int]:
    """The seconds that a process takes, and how many platforms it knows then."""
    began = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env={**os.environ, "PYTHONPATH": str(site)},
        capture_output=True,
        text=True,
        check=True,
    )
    return time.perf_counter() - began, int(done.stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description="Start-up with plugins, against none.")
    parser.add_argument("--plugins", type=int, default=30)
    parser.add_argument("--rounds", type=int, default=10)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        sites = {count: Path(folder) / str(count) for count in (0, given.plugins)}
        for count, site in sites.items():
            install(count, site)
            start(site)  # compiles
        took: dict[int, list[float]] = {count: [] for count in sites}
        for _ in range(given.rounds):
            for count, site in sites.items():
                seconds, platforms = start(site)
                assert platforms >= count
                took[count].append(seconds)
    for count, rounds in took.items():
        print(f"{count:3} plugins: {statistics.median(rounds) * 1000:5.0f} ms (least {min(rounds) * 1000:.0f})")
    medians, least = [statistics.median(each) for each in took.values()], [min(each) for each in took.values()]
    for name, (few, many) in {"median": medians, "least": least}.items():
        print(f"by the {name}: ratio {many / few:.2f}, {(many - few) / given.plugins * 1000:.1f} ms a plugin")


if __name__ == "__main__":
    main()
