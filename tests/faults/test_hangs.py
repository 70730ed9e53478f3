"""Publishers that hang for good, and a scheduler that is gone."""

from __future__ import annotations

import time

import pytest
from faults.figures import Figures
from faults.machines import Machines, lateness
from faults.odd_publishers import Hanging
from processes import wait_until

from autoposter.worker import EXIT_UNFIT

pytestmark = pytest.mark.measured

#: From the call to the end of a process with too many hung publishers, in seconds: its publish_timeout of 2 s, 3 s from
#: the claim to the call, 30 s of grace (in the short version 1 s), and a look of the watchdog.
UNFIT_WITHIN = {True: 40.0, False: 11.0}


def test_publishers_hang_in_more_than_a_quarter_of_the_threads(
    machines: Machines, figures: Figures, long: bool
) -> None:
    hung, threads, module = (9, 32, "autoposter.actors") if long else (3, 8, "faults.hasty")
    worker = machines.worker(threads=threads, module=module)
    hang_at = time.time() + 1
    machines.schedule([hang_at] * hung, "hang", [Hanging.platform])
    machines.schedule([hang_at + number / 5 for number in range(int(5 * UNFIT_WITHIN[long]))])

    wait_until(lambda: worker.popen.poll() is not None, UNFIT_WITHIN[long] + 20)
    took = time.time() - hang_at
    machines.worker(threads=threads, module=module)
    machines.settle()

    report = machines.judge(figures)
    figures.at_most("the process ends itself, after the call", UNFIT_WITHIN[long], took, "s")
    figures.numbers("its exit code", code=worker.popen.returncode)
    others = lateness(report, lambda post: post.platform != Hanging.platform)
    figures.spread("lateness of the others, over its restart", others, at_most=10)
    figures.spread("lateness of those that hung", lateness(report, lambda post: post.platform == Hanging.platform))
    assert worker.popen.returncode == EXIT_UNFIT
    assert {post.status for post in report.posts} == {"Posted"}
    assert not figures.broken()


@pytest.mark.long
def test_the_scheduler_is_gone(machines: Machines, figures: Figures) -> None:
    machines.scheduler.kill_group()
    worker = machines.worker()

    with machines.load(per_second=2):
        # Three minutes without a minute scan, and at most one more until the next chores.
        wait_until(lambda: "no minute scan for" in worker.output, 260)
    machines.settle()

    late = lateness(machines.judge(figures))
    figures.spread("lateness, until the worker says that the scheduler is gone", late, at_most=2)
    assert not figures.broken()
