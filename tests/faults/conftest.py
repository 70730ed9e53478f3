"""What the fault tests begin with."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from faults.forge import Forge, Order
from faults.world import World

from autoposter.testing import publishers
from autoposter.testing.platform import FakePlatform

_noticed = pytest.StashKey[list[tuple[str, str]]]()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_noticed] = []


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print which safeguards were missed when they were taken away, and by what."""
    if noticed := config.stash.get(_noticed, []):
        terminalreporter.section(f"{len(noticed)} safeguards taken away, and what noticed")
        for safeguard, what in noticed:
            terminalreporter.write_line(f"{safeguard}: {' '.join(what.split())[:120]}")


@pytest.fixture
def noticed(request: pytest.FixtureRequest) -> Callable[[str, str], None]:
    """`noticed(safeguard, what noticed its absence)`: a line of the table at the end of the run."""
    return lambda safeguard, what: request.config.stash[_noticed].append((safeguard, what))


@pytest.fixture(scope="session")
def running_platform() -> Iterator[FakePlatform]:
    with FakePlatform.started() as platform:
        yield platform


@pytest.fixture
def platform(running_platform: FakePlatform) -> FakePlatform:
    """A fake platform that holds nothing and behaves."""
    running_platform.reset()
    return running_platform


@pytest.fixture
def world(fresh_database_url: str, platform: FakePlatform, tmp_path: Path) -> World:
    """A database of this test's own, and the platform."""
    return World(fresh_database_url, platform, tmp_path)


@pytest.fixture(scope="session")
def running_forge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Forge]:
    folder = publishers.install(tmp_path_factory.mktemp("forge"))
    forge = Forge(folder)
    forge.run_all([Order("nothing")] * 6)
    yield forge
    forge.close()


@pytest.fixture
def forge(running_forge: Forge, world: World) -> Iterator[Forge]:
    """Processes on `world`, with faults."""
    running_forge.environment = world.environment
    yield running_forge
    running_forge.kill_frozen()
