"""The plugin of the measured scenarios: their fixtures, one table at the end of the run, JSON with `--figures FILE`.

pytest tests/faults -m measured                                  the short version, as CI runs it
pytest tests/faults -m measured --long --figures figures.json    the figures of docs/reliability.md
"""

from __future__ import annotations

import json
import os
import platform as system
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

import pytest
from faults.figures import Figure, Figures
from faults.machines import FAST, Machines, OwnServers
from faults.world import World

from autoposter.local import LocalServers, temporary_folder
from autoposter.testing.platform import FakePlatform

_all = pytest.StashKey[list[Figure]]()
_load = pytest.StashKey[str]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--figures FILE`."""
    group = parser.getgroup("autoposter")
    group.addoption("--figures", type=Path, metavar="FILE", help="append the measured figures to this JSON file")


def pytest_configure(config: pytest.Config) -> None:
    """Begin."""
    config.addinivalue_line("markers", "measured: a scenario that prints figures at the end of the run")
    config.stash[_all] = []
    config.stash[_load] = _machine()


@pytest.fixture
def figures(request: pytest.FixtureRequest) -> Iterator[Figures]:
    """Notes what the scenario measures."""
    noted = Figures(request.node.name.removeprefix("test_").replace("_", " "))
    yield noted
    request.config.stash[_all] += noted.noted


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print the table."""
    figures = config.stash[_all]
    if not figures:
        return
    terminalreporter.section("figures")
    terminalreporter.write_line(f"at the start: {config.stash[_load]}; at the end: {_machine()}")
    for scenario in dict.fromkeys(figure.scenario for figure in figures):
        terminalreporter.write_line(f"\n{scenario}")
        for figure in figures:
            if figure.scenario == scenario:
                terminalreporter.write_line(f"    {figure}")
    if file := config.getoption("--figures"):
        _append(file, figures, "long" if config.getoption("--long") else "short")


def _append(file: Path, figures: Sequence[Figure], version: str) -> None:
    before = json.loads(file.read_text(encoding="utf-8")) if file.exists() else []
    run = {"at": datetime.now(UTC).isoformat(timespec="seconds"), "version": version, "machine": _machine()}
    written = [*before, *({**asdict(figure), **run} for figure in figures)]
    file.write_text(json.dumps(written, indent=1) + "\n", encoding="utf-8")


def _machine() -> str:
    load = " ".join(f"{number:.1f}" for number in os.getloadavg())
    return f"{os.cpu_count()} cores, load {load}, Python {system.python_version()}"


# --- What a scenario begins with --------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def own_servers() -> Iterator[OwnServers]:
    """Servers that only the scenarios use."""
    with temporary_folder() as folder, LocalServers(folder, postgres_options=FAST) as local:
        yield OwnServers(local)


@pytest.fixture
def machines(own_servers: OwnServers, platform: FakePlatform, tmp_path: Path) -> Iterator[Machines]:
    """Everything of one scenario, with a scheduler and no worker."""
    own_servers.start_postgres()
    own_servers.start_valkey()
    own_servers.redis().flushall()
    made = Machines(own_servers, World(own_servers.new_database(), platform, tmp_path))
    yield made
    made.processes.end_all()
    print(made.processes.report())  # pytest shows it only when the test fails
