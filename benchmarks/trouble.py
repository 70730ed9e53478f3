"""How late are posts when something breaks in the middle of them, or when they are told of late?

    python benchmarks/trouble.py

500 posts over 20 s, 2 x 8 threads, and after 10 s: *kill* (SIGKILL of one of the two workers), *restart* (Redis
restarted with its data), *flush* (FLUSHALL).  *5 s ahead*, *1.5 s ahead*: 100 rows, each inserted by plain SQL so long
before its due time.  Late is the arrival at the fake platform.
"""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable

import charts
import peers
import psutil  # type: ignore[import-untyped] # it ships no types
from report import Report, arguments, spread
from stage import PostRow, Scene, Servers

CONTENDERS = [peers.Autoposter(), peers.Celery(), peers.DramatiqDelay(), peers.Procrastinate()]

#: Posts are scheduled so long before the first falls due, and fall due for so long; the trouble comes in the midst.
AHEAD, LASTS = 8.0, 20.0

POSTS = 500

#: So long after the last post was due, in seconds, what is not at the platform counts as lost.  A post whose worker is
#: killed between its intent and its call waits for the lease (10 s) and a first backoff (up to 30 s).
PATIENCE = 45.0


def kill(scene: Scene) -> None:
    """SIGKILL one of the two commands with its processes."""
    root = psutil.Process(scene.processes.all[0].pid)
    for process in [root, *root.children(recursive=True)]:
        os.kill(process.pid, signal.SIGKILL)


def restart(scene: Scene) -> None:
    """Stop Redis and start it again: a second or less."""
    valkey = scene.servers.valkey
    valkey.child.stop(15)
    valkey.start()
    valkey.wait_until_ready()


def flush(scene: Scene) -> None:
    """Forget all that Redis holds."""
    scene.redis.flushall()


TROUBLES: dict[str, Callable[[Scene], None]] = {"kill": kill, "restart": restart, "flush": flush}


def main() -> None:
    """Measure, and print the table."""
    asked = arguments(__doc__, only=[], cases=[*TROUBLES, "5 s ahead", "1.5 s ahead"])
    report = Report("trouble", f"Lateness of {POSTS} posts with trouble in their midst, or told of late, 2 x 8 threads")
    chosen = peers.chosen(CONTENDERS, asked.only)
    report.notes = [f"{one.name}: {one.settings}" for one in chosen]
    report.notes.append(f"lost: not at the platform {PATIENCE:g} s after the last was due, and in no other column")
    with Servers.started() as servers:
        for _ in range(asked.rounds):
            for case in asked.cases:
                for contender in chosen:
                    row = f"{contender.name}: {case}"
                    with report.round_of(row), servers.scene(platform="bench_http") as scene:
                        report.add(row, **measure(scene, contender, case))
    report.finish(asked.out, lambda folder: charts.bars(report, "max_ms", "ms late, the latest", folder, log=True))


def measure(scene: Scene, contender: peers.Contender, case: str) -> dict[str, float]:
    """One round of one case."""
    contender.prepare(scene)
    contender.start(scene, 2, 8)
    warm = scene.posts([0.0] * 32)
    contender.schedule(scene, [(post.id, post.scheduled_for) for post in warm])
    scene.wait_for_statuses(len(warm))
    scene.servers.platform.reset()
    if case.endswith("ahead"):
        posts = _one_by_one(scene, contender, float(case.split()[0]))
    else:
        posts = scene.posts([AHEAD + random.uniform(0, LASTS) for _ in range(POSTS)])
        contender.schedule(scene, [(post.id, post.scheduled_for) for post in posts])
        time.sleep(AHEAD + LASTS / 2)
        TROUBLES[case](scene)
    return _arrived(scene, posts)


def _one_by_one(scene: Scene, contender: peers.Contender, ahead: float) -> list[PostRow]:
    posts = []
    for _ in range(100):
        (post,) = scene.posts([ahead])
        contender.schedule(scene, [(post.id, post.scheduled_for)])
        posts.append(post)
        time.sleep(0.1)
    return posts


def _arrived(scene: Scene, posts: list[PostRow]) -> dict[str, float]:
    until = max(post.scheduled_for for post in posts).timestamp() + PATIENCE
    while len(arrivals := scene.arrivals()) < len(posts) and time.time() < until:
        time.sleep(0.5)
    late = [
        arrivals[post.content_id][0] - post.scheduled_for.timestamp() for post in posts if post.content_id in arrivals
    ]
    twice = sum(len(each) > 1 for each in arrivals.values())
    return {**spread(late), "lost": len(posts) - len(late), "twice": twice}


if __name__ == "__main__":
    main()
