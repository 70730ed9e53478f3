"""Redis loses everything, goes away, or refuses: a broker only carries hints, so all is posted, a little late."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable

import pytest
from faults.figures import Figures
from faults.machines import Machines, OwnServers, lateness, wait_for_moment
from processes import wait_until

from autoposter.testing.rules import slow

pytestmark = pytest.mark.measured

#: How long it takes from the end of an outage until all is posted, in seconds: consumers try again each second, the
#: scan comes each second, and what was dispatched in vain is dispatched again when it is two seconds overdue.
POSTED_WITHIN = 8.0

#: From SIGTERM to the end of a process whose calls take a second, in seconds: as with a Redis that answers.
ENDED_WITHIN = 8.0


def test_redis_is_flushed_with_posts_dispatched(machines: Machines, figures: Figures, long: bool) -> None:
    count = 200 if long else 40
    machines.workers(2)
    flushed: dict[str, list[int]] = {}

    for when, before in (("held for later", 1.5), ("being delivered", 0.2)):
        due = time.time() + 2.5
        flushed[when] = machines.schedule([due + number / 1000 for number in range(count)])
        wait_until(lambda ids=flushed[when]: are_dispatched(machines, ids), 5, machines.state)
        wait_for_moment(due - before)
        machines.servers.redis().flushall()
        machines.settle()

    note_lateness(machines, figures, {f"flushed while they are {when}": (ids, 0.0) for when, ids in flushed.items()})


def are_dispatched(machines: Machines, posts: list[int]) -> bool:
    waiting = "select count(*) from post_instance where id = any(%s) and dispatched_for is null"
    return machines.rows.query(waiting, (posts,)) == [(0,)]


def is_away(servers: OwnServers, seconds: float) -> None:
    servers.stop_valkey()
    time.sleep(seconds)
    servers.start_valkey()


def is_out_of_memory(servers: OwnServers, seconds: float) -> None:
    client = servers.redis()
    client.config_set("maxmemory-policy", "noeviction")
    client.config_set("maxmemory", "1mb")
    time.sleep(seconds)
    client.config_set("maxmemory", "0")


def is_read_only(servers: OwnServers, seconds: float) -> None:
    client = servers.redis()
    client.execute_command("replicaof", "127.0.0.1", "1")
    time.sleep(seconds)
    client.execute_command("replicaof", "no", "one")


def hangs(servers: OwnServers, seconds: float) -> None:
    servers.valkey.child.tell(signal.SIGSTOP)
    time.sleep(seconds)
    servers.valkey.child.tell(signal.SIGCONT)


def is_restarted_with_its_data(servers: OwnServers, seconds: float) -> None:
    servers.stop_valkey()
    time.sleep(seconds)
    servers.start_valkey()


Outage = Callable[[OwnServers, float], None]

OUTAGES: list[tuple[Outage, float]] = [
    (is_away, 60.0),
    (is_out_of_memory, 10.0),
    (is_read_only, 10.0),
    (hangs, 10.0),
    (is_restarted_with_its_data, 0.5),
]


def test_redis_is_away_or_refuses(machines: Machines, figures: Figures, long: bool) -> None:
    count = 200 if long else 20
    workers = machines.workers(2)
    struck: dict[str, tuple[list[int], float]] = {}

    for outage, seconds in OUTAGES:
        lasts = seconds if long else min(seconds, 1.5)
        due = time.time() + 0.5
        posts = machines.schedule([due + number * (lasts + 1) / count for number in range(count)])
        wait_for_moment(due + 0.5)
        outage(machines.servers, lasts)
        over_at = time.time()
        machines.settle()
        name = f"{outage.__name__.replace('_', ' ')} for {lasts:g} s"
        figures.at_most(f"{name}: all posted after its end, within", POSTED_WITHIN, time.time() - over_at, "s")
        struck[name] = posts, lasts

    note_lateness(machines, figures, struck)
    assert [worker.popen.poll() for worker in workers] == [None, None]


def test_a_worker_is_told_to_stop_while_redis_is_away(machines: Machines, figures: Figures) -> None:
    machines.platform.follow(slow(1000))
    leaving, _ = machines.workers(2)
    due = time.time() + 1
    machines.schedule([due + number / 20 for number in range(20)])
    wait_until(lambda: machines.platform.posts(), 10)

    machines.servers.stop_valkey()
    told_at = time.monotonic()
    leaving.popen.terminate()
    wait_until(lambda: leaving.popen.poll() is not None, 40, lambda: leaving.output[-2000:])
    took = time.monotonic() - told_at
    machines.servers.start_valkey()
    machines.settle()

    figures.at_most("SIGTERM to the end of the process", ENDED_WITHIN, took, "s")
    figures.at_most("attempts left to their lease", 0, machines.reconciled()["worker_lost"])
    machines.judge(figures)
    assert leaving.popen.returncode == 0
    assert not figures.broken()


def note_lateness(machines: Machines, figures: Figures, struck: dict[str, tuple[list[int], float]]) -> None:
    report = machines.judge(figures)
    for name, (posts, lasts) in struck.items():
        late = lateness(report, lambda post, posts=frozenset(posts): post.id in posts)
        figures.spread(f"{name}: lateness", late, at_most=lasts + POSTED_WITHIN)
    assert {post.status for post in report.posts} == {"Posted"}
    assert not figures.broken()
