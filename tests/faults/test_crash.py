"""PostgreSQL crashes with a confirmed intent, where somebody has told it to confirm before it writes."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from faults.checker import Report
from faults.forge import Forge, Order
from faults.machines import OwnServers
from faults.world import World
from processes import wait_until

from autoposter.store import DURABLE
from autoposter.testing import rules
from autoposter.testing.platform import FakePlatform

BACKGROUND_WRITERS = """
    select pid from pg_stat_activity
     where backend_type in ('walwriter', 'background writer', 'checkpointer', 'autovacuum launcher')"""


@pytest.fixture
def own_world(own_servers: OwnServers, platform: FakePlatform, tmp_path: Path, running_forge: Forge) -> World:
    """A database on a server that may crash."""
    own_servers.start_postgres()
    world = World(own_servers.new_database(), platform, tmp_path)
    running_forge.environment = world.environment
    return world


def crash_with_a_call_under_way(world: World, servers: OwnServers, forge: Forge, remove: dict[str, str]) -> Report:
    post = world.post(world.account("fake_blind"))
    name = world.rows.query("select current_database()")[0][0]
    world.rows.query("checkpoint")
    world.rows.query(f"alter database {name} set synchronous_commit = off")
    # What would write in the background, at the latest after 0.6 s, does not come to it: the log's own writer, and
    # those that write a page only after the log that speaks of it.
    writers = [pid for (pid,) in world.rows.query(BACKGROUND_WRITERS)]
    assert len(writers) >= 3
    for writer in writers:
        os.kill(writer, signal.SIGSTOP)
    world.platform.follow(rules.slow(5000))
    before = len(world.platform.posts())
    attempt = forge.start(Order("publish", post, remove=remove))
    wait_until(lambda: len(world.platform.posts()) > before)
    worker = world.rows.query("select worker from publish_job order by id desc limit 1")[0][0]
    servers.postgres.child.tell(signal.SIGQUIT)
    for writer in writers:
        os.kill(writer, signal.SIGCONT)
    os.kill(int(worker.removeprefix("forge-")), signal.SIGKILL)
    assert set(attempt.result().removed) == set(remove)
    wait_until(lambda: not servers.postgres.child.is_running)
    servers.start_postgres()

    world.platform.follow()
    world.expire_leases()
    world.recover(forge)
    report = world.check()
    print(report.table())
    return report


def test_a_crash_forgets_no_intent(own_world: World, own_servers: OwnServers, running_forge: Forge) -> None:
    report = crash_with_a_call_under_way(own_world, own_servers, running_forge, remove={})

    assert report.violations == []


def test_the_judge_notices_an_intent_that_was_forgotten(
    own_world: World, own_servers: OwnServers, running_forge: Forge
) -> None:
    """Another session of the server may have written the log meanwhile, and with it the intent: then once more."""
    assert any(
        crash_with_a_call_under_way(own_world, own_servers, running_forge, remove={DURABLE: ""}).violations
        for _ in range(4)
    )
