"""What does a long backlog do to memory, and to what falls due meanwhile?

    python benchmarks/backlog.py

100,000 overdue posts on a platform that does nothing, and while they drain 100 posts that fall due one after the other:
late is the moment in their rows (`posted_at`), less the due time.  Each second the memory of the workers (proportional
set size) and of Redis is noted; `slope` is the growth of the workers' memory after the first third.
"""

from __future__ import annotations

import statistics
import time
from argparse import Namespace

import charts
import peers
from report import Report, arguments, spread
from stage import Scene, Servers

CONTENDERS = [peers.Autoposter(), peers.Celery(), peers.DramatiqDelay(), peers.Procrastinate()]

#: How long the backlog is overdue, in seconds.
OVERDUE = 3600.0

#: Posts that fall due meanwhile.
ON_TIME = 100


def main() -> None:
    """Measure, and print the table."""
    asked = arguments(__doc__, posts=100_000, seconds=60, processes=2, threads=8, only=[])
    report = Report("backlog", f"{asked.posts:,} overdue posts, {asked.processes} x {asked.threads} threads")
    chosen = [one for one in CONTENDERS if not asked.only or any(part in one.name for part in asked.only)]
    report.notes = [f"{one.name}: {one.settings}" for one in chosen]
    report.notes.append("posts that had not gone out when the time was over count as late as they were then")
    memory: dict[str, list[tuple[float, float]]] = {}
    with Servers.started() as servers:
        for _ in range(asked.rounds):
            for contender in chosen:
                with servers.scene(platform="bench_noop") as scene:
                    found, memory[contender.name] = measure(scene, contender, asked)
                    report.add(contender.name, **found)
    report.show()
    if asked.out:
        report.write(asked.out)
        title = "Memory of the workers while the backlog drains"
        charts.lines(title, memory, ("seconds", "MB"), asked.out / "backlog.svg")


def measure(
    scene: Scene, contender: peers.Contender, asked: Namespace
) -> tuple[dict[str, float], list[tuple[float, float]]]:
    """One round: its figures, and the memory over time."""
    contender.prepare(scene)
    overdue = scene.posts([-OVERDUE] * asked.posts)
    contender.schedule(scene, [(post.id, post.scheduled_for) for post in overdue])
    scene.query("vacuum analyze")
    contender.start(scene, asked.processes, asked.threads)
    scene.wait_for_statuses(200)
    on_time = scene.posts([5 + number * (asked.seconds - 10) / ON_TIME for number in range(ON_TIME)])
    contender.schedule(scene, [(post.id, post.scheduled_for) for post in on_time])
    began, before = time.monotonic(), scene.count("Posted")
    seen: list[tuple[float, float]] = []
    redis = 0.0
    while (now := time.monotonic() - began) < asked.seconds:
        seen.append((now, scene.workers_mb()))
        redis = max(redis, scene.redis.info("memory")["used_memory"] / 1e6)
        time.sleep(1)
    lasted = time.monotonic() - began
    ids = [post.id for post in on_time]
    late = scene.query(
        "select extract(epoch from coalesce(posted_at, now()) - scheduled_for)::float from post_instance"
        " where id = any(%s)",
        (ids,),
    )
    settled = seen[len(seen) // 3 :]
    slope = statistics.linear_regression([x for x, _ in settled], [y for _, y in settled]).slope
    return {
        "posts_per_s": (scene.count("Posted") - before) / lasted,
        **spread([seconds for (seconds,) in late]),
        "workers_mb": max(mb for _, mb in seen),
        "slope_mb_per_min": slope * 60,
        "redis_mb": redis,
    }, seen


if __name__ == "__main__":
    main()
