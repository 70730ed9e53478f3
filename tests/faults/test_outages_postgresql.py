"""PostgreSQL goes away: what was answered meanwhile is settled when it is back, and what fell due goes out then."""

from __future__ import annotations

import time

import pytest
from faults.figures import Figures
from faults.machines import Machines, ago, lateness, wait_for_moment
from faults.odd_publishers import Patient
from processes import wait_until

from autoposter.testing.rules import slow

pytestmark = pytest.mark.measured


def test_answers_that_arrive_while_postgresql_is_away(machines: Machines, figures: Figures, long: bool) -> None:
    count, away_for, workers = (200, 20.0, 4) if long else (24, 3.0, 2)
    machines.platform.follow(slow(5000 if long else 3000))
    # As many threads as one worker fetches messages ahead: it may get that many of these.
    machines.workers(workers, threads=min(64, count))
    due = time.time() + 2.5
    machines.schedule([due + number / count for number in range(count)], platforms=[Patient.platform])
    wait_until(lambda: len(machines.platform.posts()) == count, 12, machines.state)

    answered = machines.rows.query("select count(*) from publish_job where status = 'completed'")[0][0]
    machines.servers.stop_postgres()
    time.sleep(away_for)
    machines.servers.start_postgres()
    back_at = time.time()
    machines.settle()

    finished = machines.rows.query("select finished_at from publish_job")
    figures.numbers(f"away for {away_for:g} s", answered_before=answered, answered_meanwhile=count - answered)
    figures.spread("settled after its return", [ago(at, back_at) for (at,) in finished], at_most=10)
    note_reconciling(machines, figures, count)
    machines.judge(figures)
    assert not figures.broken()


def test_posts_fall_due_while_postgresql_is_away(machines: Machines, figures: Figures, long: bool) -> None:
    count, away_for = (300, 60.0) if long else (30, 3.0)
    machines.platform.follow(slow(100))
    machines.workers(2, threads=8)
    due = time.time() + 1
    machines.schedule([due + number * (away_for + 1) / count for number in range(count)])

    wait_for_moment(due + 1)
    machines.servers.stop_postgres()
    time.sleep(away_for)
    machines.servers.start_postgres()
    back_at = time.time()
    machines.settle()

    finished = machines.rows.query("select max(finished_at) from publish_job")[0][0]
    figures.numbers(f"away for {away_for:g} s: the last one was out after its return", s=ago(finished, back_at))
    note_reconciling(machines, figures, count)
    report = machines.judge(figures)
    figures.spread("lateness of all", lateness(report), at_most=away_for + 15)
    assert {post.status for post in report.posts} <= {"Posted", "Unconfirmed"}
    assert not figures.broken()


def note_reconciling(machines: Machines, figures: Figures, count: int) -> None:
    """Nobody died, so there is next to nothing to look for: calls cut off at most, and no lease may run out."""
    reconciled = machines.reconciled()
    figures.at_most("looked for: jobs", max(1, count // 100), reconciled["unknown"])
    figures.at_most("looks at them", max(3, count // 50), reconciled["looks"])
    figures.at_most("questions to the platform", max(3, count // 50), reconciled["finds"])
    figures.at_most("leases that ran out", 0, reconciled["worker_lost"])
