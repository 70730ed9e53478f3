"""After a long outage the backlog goes out, oldest first, and what falls due now does not wait for it."""

from __future__ import annotations

import bisect
import time

import pytest
from faults.checker import Report, arrival
from faults.figures import Figures
from faults.machines import Machines, lateness
from processes import wait_until

from autoposter.testing.rules import slow

pytestmark = pytest.mark.measured


@pytest.mark.parametrize("milliseconds", [100, pytest.param(1000, marks=pytest.mark.long)])
def test_a_backlog_and_posts_that_fall_due_now(
    machines: Machines, figures: Figures, long: bool, milliseconds: int
) -> None:
    count = 500_000 // milliseconds if long else 300
    machines.platform.follow(slow(milliseconds))
    an_hour_ago = time.time() - 3600
    overdue = machines.schedule([an_hour_ago + number / 2 for number in range(count)], "overdue")

    machines.workers(2)
    started_at = time.time()
    with machines.load(per_second=3):
        left = "select count(*) from post_instance where id = any(%s) and status = 'Scheduled'"
        wait_until(lambda: machines.rows.query(left, (overdue,))[0][0] == 0, count / 8 + 30, machines.state)
        took = time.time() - started_at
    machines.settle()

    report = machines.judge(figures)
    of_backlog = set(overdue)
    figures.numbers(f"a backlog of {count}, calls of {milliseconds} ms, 2 x 8 threads", s=took, per_second=count / took)
    figures.spread(
        "lateness of what fell due meanwhile", lateness(report, lambda post: post.id not in of_backlog), at_most=5
    )
    figures.numbers("overtaken by younger ones of the backlog, at most", posts=furthest_overtaken(report, of_backlog))
    assert not figures.broken()


def furthest_overtaken(report: Report, backlog: set[int]) -> int:
    """By how many younger posts one of the backlog was overtaken, at most."""
    posts = sorted((post for post in report.posts if post.id in backlog), key=lambda post: post.scheduled_for)
    younger: list[float] = []
    worst = 0
    for post in reversed(posts):
        out_at = arrival(post.effects[0]).timestamp()
        worst = max(worst, bisect.bisect_left(younger, out_at))
        bisect.insort(younger, out_at)
    return worst
