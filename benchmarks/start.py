"""How long from starting a worker to the first post, and how much memory does it take?

    python benchmarks/start.py

A post is due.  The time from starting the command to the request's arrival at the fake platform; then, after 200 posts
more, the memory of the processes (proportional set size) for each number of threads.
"""

from __future__ import annotations

import time

import charts
import peers
from report import Report, arguments
from stage import Scene, Servers

CONTENDERS = [peers.Autoposter(), peers.Celery(), peers.DramatiqDelay(), peers.Procrastinate(), peers.ApScheduler()]

#: Posts before the memory is looked at.
POSTS = 200


def main() -> None:
    """Measure, and print the table."""
    asked = arguments(__doc__, only=[], threads=["8", "64"])
    report = Report("start", "From the command to the first post, and memory; one process")
    chosen = peers.chosen(CONTENDERS, asked.only)
    report.notes = [f"{one.name}: {one.settings}" for one in chosen]
    with Servers.started() as servers:
        for _ in range(asked.rounds):
            for threads in map(int, asked.threads):
                for contender in chosen:
                    row = f"{contender.name}, {threads} threads"
                    with report.round_of(row), servers.scene(platform="bench_http") as scene:
                        report.add(row, **measure(scene, contender, threads))
    report.finish(asked.out, lambda folder: charts.bars(report, "memory_mb", "memory after 200 posts, MB", folder))


def measure(scene: Scene, contender: peers.Contender, threads: int) -> dict[str, float]:
    """One round."""
    contender.prepare(scene)
    posts = scene.posts([0.0])
    contender.schedule(scene, [(post.id, post.scheduled_for) for post in posts])
    began = time.time()
    contender.start(scene, 1, threads)
    scene.wait_for_statuses(1)
    first = min(arrived[0] for arrived in scene.arrivals().values())
    more = scene.posts([0.0] * POSTS)
    contender.schedule(scene, [(post.id, post.scheduled_for) for post in more])
    scene.wait_for_statuses(1 + POSTS)
    return {"first_post_s": first - began, "memory_mb": scene.workers_mb()}


if __name__ == "__main__":
    main()
