"""What does a long backlog do to memory, and to what falls due meanwhile?

    python benchmarks/backlog.py

Posts that are an hour overdue (100,000; of the alternatives 10,000, so that they, too, take minutes), on a platform
that does nothing and with full books.  While they drain 100 others fall due, one after the other: late is the moment in
their rows (`posted_at`), less the due time.  Every 2 s the memory of the workers (proportional set size) and of Redis
is noted; the slopes are what they grow by, by least squares over the whole drain.
"""

from __future__ import annotations

import time
from argparse import Namespace

import charts
import peers
from report import Report, arguments, slope_per_minute, spread
from stage import Scene, Servers

CONTENDERS = [peers.Autoposter(), peers.Celery(), peers.DramatiqDelay(), peers.Procrastinate()]

#: How long the backlog is overdue, in seconds.
OVERDUE = 3600.0

#: Posts that fall due meanwhile, and for how long, in seconds for each post of the backlog: the drain takes longer.
ON_TIME, SECONDS_PER_POST = 100, 1 / 1000

#: Between two looks at the memory, in seconds.
EVERY = 2.0

#: The least that a drain must make, in posts a second: what is left of a slower one is not waited for.
SLOWEST = 50


def main() -> None:
    """Measure, and print the table."""
    asked = arguments(__doc__, posts=100_000, others_posts=10_000, processes=2, threads=8, only=[])
    report = Report("backlog", f"Overdue posts drain, {asked.processes} x {asked.threads} threads")
    chosen = peers.chosen(CONTENDERS, asked.only)
    report.notes = [f"{one.name}: {one.settings}" for one in chosen]
    report.notes.append("left: still not out when the drain was given up; they count as late as they were then")
    with Servers.started() as servers:
        for _ in range(asked.rounds):
            for contender in chosen:
                count = asked.posts if isinstance(contender, peers.Autoposter) else asked.others_posts
                row = f"{contender.name}, {count:,}"
                with report.round_of(row), servers.scene(platform="bench_noop", books="full") as scene:
                    report.add(row, **measure(scene, contender, count, asked, report))
    title = "Memory while a backlog drains"
    axes = ("seconds", "MB")
    report.finish(asked.out, lambda folder: charts.lines(title, report.series, axes, folder / "backlog.svg"))


def measure(scene: Scene, contender: peers.Contender, count: int, asked: Namespace, report: Report) -> dict[str, float]:
    """One round; the memory over time goes into the report's series."""
    contender.prepare(scene)
    overdue = scene.posts([-OVERDUE] * count)
    contender.schedule(scene, [(post.id, post.scheduled_for) for post in overdue])
    scene.query("vacuum analyze")
    contender.start(scene, asked.processes, asked.threads)
    scene.wait_for_statuses(count // 100)
    on_time = scene.posts([2 + number * count * SECONDS_PER_POST / ON_TIME for number in range(ON_TIME)])
    contender.schedule(scene, [(post.id, post.scheduled_for) for post in on_time])
    began, before = time.monotonic(), scene.left()
    workers, redis = _memory(scene, until=began + count / SLOWEST)
    lasted, left = time.monotonic() - began, scene.left()
    late = scene.query(
        "select extract(epoch from coalesce(posted_at, now()) - scheduled_for)::float from post_instance"
        " where id = any(%s)",
        ([post.id for post in on_time],),
    )
    report.series |= {f"{contender.name}, workers": workers, f"{contender.name}, Redis": redis}
    return {
        **{"drain_s": lasted, "posts_per_s": (before - left) / lasted, "left": left},
        **spread([seconds for (seconds,) in late]),
        **{"workers_mb": max(mb for _, mb in workers), "workers_mb_per_min": slope_per_minute(workers)},
        **{"redis_mb": max(mb for _, mb in redis), "redis_mb_per_min": slope_per_minute(redis)},
    }


def _memory(scene: Scene, until: float) -> tuple[list[tuple[float, float]], list[tuple[float, float]]]:
    """The MB of workers and Redis, from now until everything is out or the time is over."""
    workers: list[tuple[float, float]] = []
    redis: list[tuple[float, float]] = []
    began = time.monotonic()
    while len(workers) < 2 or (scene.left() and time.monotonic() < until):
        now = time.monotonic() - began
        workers.append((now, scene.workers_mb()))
        redis.append((now, scene.redis.info("memory")["used_memory"] / 1e6))
        time.sleep(EVERY)
    return workers, redis


if __name__ == "__main__":
    main()
