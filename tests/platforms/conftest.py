"""What the tests of our plugins beside processes begin with."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from faults.forge import Forge, Order
from faults.machines import OwnServers
from platforms import quick_publishers
from platforms.beside_a_fake import PlatformMachines, PlatformWorld
from platforms.stages import Stage

from autoposter.testing import FakeServer


@pytest.fixture
def stage(request: pytest.FixtureRequest) -> Stage:
    """Which platform a test is about: say it by an indirect parameter."""
    found: Stage = request.param
    return found


@pytest.fixture
def fake(stage: Stage) -> Iterator[FakeServer]:
    """The platform's fake, running."""
    with stage.fake() as fake:
        yield fake
        assert fake.troubles == []


@pytest.fixture
def machines(own_servers: OwnServers, stage: Stage, fake: FakeServer, tmp_path: Path) -> Iterator[PlatformMachines]:
    """Everything but workers."""
    own_servers.start_postgres()
    own_servers.start_valkey()
    own_servers.redis().flushall()
    made = PlatformMachines(own_servers, PlatformWorld(own_servers.new_database(), stage, fake, tmp_path))
    yield made
    made.processes.end_all()
    print(made.processes.report())  # pytest shows it only when the test fails


@pytest.fixture
def world(fresh_database_url: str, stage: Stage, fake: FakeServer, tmp_path: Path) -> PlatformWorld:
    """A database of this test's own, and the platform."""
    return PlatformWorld(fresh_database_url, stage, fake, tmp_path)


@pytest.fixture(scope="session")
def running_forge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Forge]:
    folder = tmp_path_factory.mktemp("forge")
    quick_publishers.install(folder)
    forge = Forge(folder)
    forge.run_all([Order("nothing")] * 6)
    yield forge
    forge.close()


@pytest.fixture
def forge(running_forge: Forge, world: PlatformWorld) -> Iterator[Forge]:
    """Processes on `world`, with faults."""
    running_forge.environment = world.environment
    yield running_forge
    running_forge.kill_frozen()
