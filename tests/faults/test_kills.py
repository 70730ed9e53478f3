"""Workers killed, frozen and told to stop under load: how soon everything is settled, and that nothing is out twice."""

from __future__ import annotations

import os
import random
import signal
import time
from collections import defaultdict
from typing import Any

import pytest
from faults.checker import PLATFORMS
from faults.figures import Figures
from faults.forge import Forge, Order
from faults.injection import Fault, Moment, Strike
from faults.machines import Machines, ago, lateness, wait_for_moment
from faults.odd_publishers import Patient
from faults.world import World
from processes import Running

from autoposter.testing.publishers import FakeFindable
from autoposter.testing.rules import Reply, accept_then, slow

pytestmark = pytest.mark.measured

#: From a SIGKILL to settled, in seconds: the lease, renewed at most 3 s ago, one look for expired ones, and the work.
SETTLED_WITHIN = 15.0

#: From SIGTERM to the end of a process whose calls take half a second, in seconds: claimed a second ahead, a
#: publish_timeout of 2 s, and Dramatiq's own threads.
ENDED_WITHIN = 8.0

#: From the freezing of a claim until another worker has published its post, in seconds: the database ends a transaction
#: that idles for as long as a lease lasts, and a claim waits for a lock for 5 s and is then made again.
LET_GO_WITHIN = 12.0


def test_sigkill_in_the_middle_of_calls(machines: Machines, figures: Figures, long: bool) -> None:
    rounds, platforms = (12, (*PLATFORMS, Patient.platform)) if long else (1, PLATFORMS)
    workers = machines.workers(2, threads=24)
    settled: dict[str, list[float]] = defaultdict(list)

    for left in reversed(range(rounds)):
        killed_at, cut_off, workers = kill_in_the_middle(machines, workers, platforms)
        if left:
            workers.append(machines.worker(threads=24))
        machines.settle(90)
        for job in cut_off:
            settled[job["what"]].append(ago(settled_at(machines, job), killed_at))

    for what, seconds in sorted(settled.items()):
        figures.spread(f"SIGKILL to settled: {what}", seconds, at_most=SETTLED_WITHIN + unsure_for(what))
    machines.judge(figures)
    assert len(settled) == 2 * len(platforms) + 1 or not long
    assert settled
    assert not figures.broken()


def kill_in_the_middle(
    machines: Machines, workers: list[Running], platforms: tuple[str, ...]
) -> tuple[float, list[dict[str, Any]], list[Running]]:
    """Kill the busier worker while some calls have gone through, some have not, and some posts wait for their moment.

    When it was killed, its jobs that were cut off, and the workers that are left.
    """
    machines.platform.follow(
        accept_then(Reply.SILENCE, text="through"), accept_then(Reply.SILENCE, text="silent", accepts=False)
    )
    due, into = time.time() + 2, random.uniform(0.8, 1.5)
    for what in ("through", "silent"):
        machines.schedule([due + number / 50 for number in range(4 * len(platforms))], what, platforms)
    machines.schedule([due + into + number / 50 for number in range(16)], "waiting", platforms)
    names = {machines.worker_id(worker): worker for worker in workers}

    wait_for_moment(due + into)
    busiest = machines.rows.query(
        "select worker from publish_job where status = 'running' group by 1 order by count(*) desc limit 1"
    )[0][0]
    names[busiest].kill_group()
    killed_at = time.time()
    machines.platform.follow()
    cut_off = machines.rows.query(
        "select j.id, j.post_instance_id, a.platform, split_part(j.content ->> 'caption', ' ', 3), j.intent_at"
        " from publish_job j join channel_account a on a.id = j.channel_account_id"
        " where j.status = 'running' and j.worker = %s",
        (busiest,),
    )
    jobs = [
        {"job": job, "post": post, "sent": intent_at is not None, "what": describe(platform, kind, intent_at)}
        for job, post, platform, kind, intent_at in cut_off
    ]
    return killed_at, jobs, [worker for name, worker in names.items() if name != busiest]


def describe(platform: str, kind: str, intent_at: object) -> str:
    if intent_at is None:
        return "nothing was sent"
    return f"{platform}, {'it went through' if kind == 'through' else 'it did not go through'}"


def unsure_for(what: str) -> float:
    """How much longer it takes until "not there" can be believed, in seconds."""
    for kind in (FakeFindable, Patient):
        if what == f"{kind.platform}, it did not go through":
            return (kind.publish_timeout + kind.find_after).total_seconds()
    return 0.0


def settled_at(machines: Machines, job: dict[str, Any]) -> Any:
    """When the cut off job was settled; one that sent nothing: when its post was out after all."""
    post = machines.rows.row("post_instance", job["post"])
    if not job["sent"]:
        return post["posted_at"]
    return machines.rows.row("publish_job", job["job"])["finished_at"] or post["updated_at"]


@pytest.mark.long
def test_posts_around_a_sigkill_of_one_of_two_workers(machines: Machines, figures: Figures) -> None:
    around, per_second = 30.0, 20
    machines.worker()
    for _ in range(3):
        victim = machines.worker()
        killed_at = time.time() + 2 + around
        count = int(2 * around * per_second)
        machines.schedule([killed_at - around + number / per_second for number in range(count)])

        wait_for_moment(killed_at)
        victim.kill_group()
        machines.settle(around + 30)

    report = machines.judge(figures)
    figures.spread(
        f"lateness of the posts due {around:g} s before and after",
        lateness(report),
        p99_below=5,
        at_most=SETTLED_WITHIN,
    )
    assert not figures.broken()


def test_a_worker_frozen_in_the_middle_of_its_posts(machines: Machines, figures: Figures, long: bool) -> None:
    # Frozen for longer than any of its calls may take, it must not take itself for hung when it wakes up.
    rounds, frozen_for, module = (3, 60.0, "autoposter.actors") if long else (1, 12.0, "faults.hasty")
    machines.platform.follow(slow(200))
    machines.worker(threads=16)
    victim = machines.worker(threads=16, module=module)
    victim_id = machines.worker_id(victim)
    held: list[tuple[int, ...]] = []

    for _ in range(rounds):
        due = time.time() + 2
        machines.schedule([due + number / 50 for number in range(100)])
        wait_for_moment(due + random.uniform(0.3, 1.6))
        os.killpg(victim.pid, signal.SIGSTOP)
        held += machines.rows.query(
            "select j.id from publish_job j where j.status = 'running' and j.worker = %s", (victim_id,)
        )
        time.sleep(frozen_for)
        os.killpg(victim.pid, signal.SIGCONT)
        time.sleep(2)  # what it held ends, and must change nothing
        machines.settle()

    report = machines.judge(figures)
    ends = machines.rows.query(
        "select status || case when intent_at is null then ' without intent' else '' end, count(*)"
        " from publish_job where id = any(%s) group by 1 order by 1",
        ([job for (job,) in held],),
    )
    figures.numbers(f"what it held when it was frozen, for {frozen_for:g} s, ended", **dict(ends))
    figures.spread("lateness of all", lateness(report))
    assert held
    assert machines.worker_id(victim) == victim_id
    assert not figures.broken()


def test_sigterm_under_load(machines: Machines, figures: Figures, long: bool) -> None:
    rounds, at_once = (50, 4) if long else (2, 5)
    machines.platform.follow(slow(500))
    workers = machines.workers(at_once + 1, threads=16)
    took: list[float] = []
    codes: list[int] = []

    with machines.load(per_second=20):
        time.sleep(2)
        for left in reversed(range(rounds)):
            leaving, workers = workers[:at_once], workers[at_once:]
            told_at = {}
            for worker in leaving:
                time.sleep(random.uniform(0, 0.3))
                told_at[worker] = time.monotonic()
                worker.popen.terminate()
            while told_at:
                for worker in [worker for worker in told_at if worker.popen.poll() is not None]:
                    took.append(time.monotonic() - told_at.pop(worker))
                    codes.append(worker.popen.wait())
                assert not told_at or time.monotonic() < min(told_at.values()) + 30
                time.sleep(0.01)
            workers += machines.workers(at_once if left else 0, threads=16)
    machines.settle()

    figures.spread("SIGTERM to the end of the process", took, at_most=ENDED_WITHIN)
    figures.at_most("exit codes that were not 0", 0, sum(code != 0 for code in codes))
    figures.at_most("attempts left unknown", 0, machines.reconciled()["unknown"])
    figures.at_most("attempts left to their lease", 0, machines.reconciled()["worker_lost"])
    figures.spread("lateness meanwhile", lateness(machines.judge(figures)))
    assert not figures.broken()


def test_what_a_frozen_claim_has_locked_is_let_go(world: World, forge: Forge, figures: Figures) -> None:
    account = world.account("fake_findable")
    steps = forge.run(Order("publish", world.post(account), Strike(Fault.FREEZE, Moment.AFTER, 10_000))).steps
    locked = next(number for number, step in enumerate(steps, start=1) if step.startswith("sql set local"))
    post = world.post(account)
    frozen = forge.run(Order("publish", post, Strike(Fault.FREEZE, Moment.AFTER, locked)))
    frozen_at = time.monotonic()

    others = 0
    while world.rows.row("post_instance", post)["status"] != "Posted" and time.monotonic() < frozen_at + 30:
        forge.run(Order("publish", post))
        others += 1
    took = time.monotonic() - frozen_at
    forge.thaw(frozen)

    figures.at_most("another worker publishes the post, after", LET_GO_WITHIN, took, "s")
    assert frozen.ended is None
    assert others
    assert world.check().violations == []
    assert not figures.broken()
