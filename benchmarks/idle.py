"""What does it cost to wait?

    python benchmarks/idle.py

Workers that have published once, and nothing to do.  Transactions of PostgreSQL and commands of Redis per second, and
the share of a core that workers and servers use, a minute of each.
"""

from __future__ import annotations

import time

import charts
import peers
from report import Report, arguments
from stage import Scene, Servers

CONTENDERS = [peers.Autoposter(), peers.Celery(), peers.DramatiqDelay(), peers.Procrastinate(), peers.ApScheduler()]

#: So long after the last post the counting begins, in seconds.
CALM = 5.0


def main() -> None:
    """Measure, and print the table."""
    asked = arguments(__doc__, seconds=60, processes=2, threads=8, only=[])
    report = Report("idle", f"Idle: {asked.processes} x {asked.threads} threads, {asked.seconds} s")
    chosen = peers.chosen(CONTENDERS, asked.only)
    report.notes = [f"{one.name}: {one.settings}" for one in chosen]
    with Servers.started() as servers:
        for _ in range(asked.rounds):
            for contender in chosen:
                with report.round_of(contender.name), servers.scene(platform="bench_noop") as scene:
                    found = measure(scene, contender, asked.processes, asked.threads, asked.seconds)
                    report.add(contender.name, **found)
    unit = "percent of a core, the workers"
    report.finish(asked.out, lambda folder: charts.bars(report, "workers_percent_of_a_core", unit, folder))


def measure(scene: Scene, contender: peers.Contender, processes: int, threads: int, seconds: float) -> dict[str, float]:
    """One round."""
    contender.prepare(scene)
    contender.start(scene, processes, threads)
    posts = scene.posts([0.0] * processes * threads)
    contender.schedule(scene, [(post.id, post.scheduled_for) for post in posts])
    scene.wait_for_statuses(len(posts))
    time.sleep(CALM)
    before, cpu, began = _counters(scene), scene.cpu_seconds(), time.monotonic()
    time.sleep(seconds)
    after, used, lasted = _counters(scene), scene.cpu_seconds() - cpu, time.monotonic() - began
    return {
        "sql_per_s": (after[0] - before[0] - 2) / lasted,  # the two questions for the counters are none of theirs
        "redis_commands_per_s": (after[1] - before[1] - 1) / lasted,
        "workers_percent_of_a_core": used.workers / lasted * 100,
        "postgresql_percent_of_a_core": used.postgresql / lasted * 100,
        "redis_percent_of_a_core": used.redis / lasted * 100,
    }


def _counters(scene: Scene) -> tuple[int, int]:
    """Transactions of this database and commands of Redis so far."""
    transactions = scene.query(
        "select pg_stat_force_next_flush(), (select xact_commit + xact_rollback from pg_stat_database"
        " where datname = current_database())"
    )[0][1]
    return int(transactions), int(scene.redis.info("stats")["total_commands_processed"])


if __name__ == "__main__":
    main()
