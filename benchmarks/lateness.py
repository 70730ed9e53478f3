"""How late are posts at the platform?

    python benchmarks/lateness.py

*spread*: posts at random moments of 20 s.  *instant*: 500 posts at one moment, on a platform that answers after 200 ms;
`of_limit` is when the last one arrived, in terms of the least that the threads allow (posts x answer / threads).
*both*: the spread posts, with 100 more at one moment in their midst.  The loop that looks once a minute is measured in
the first round of *spread*, over a whole minute.
Late is the arrival of a request's first byte at the platform, less the due time.
"""

from __future__ import annotations

import random
import time
from collections.abc import Sequence

import charts
import peers
from report import Report, arguments, spread
from stage import Scene, Servers

from autoposter.testing.rules import slow

CONTENDERS = [peers.Autoposter(), peers.Celery(), peers.DramatiqDelay(), peers.Procrastinate(), peers.ApScheduler()]

#: Posts are scheduled so long before the first falls due, in seconds: time enough to tell every contender.
AHEAD = 10.0

#: How long the spread lasts, and the loop's: it looks once a minute, and where its minute begins must not matter.
SPREAD, MINUTE = 20.0, 60.0

#: How long the platform takes to answer in *instant*, in milliseconds.
ANSWER_MS = 200


def main() -> None:
    """Measure, and print the table."""
    asked = arguments(__doc__, posts=400, processes=2, threads=32, only=[], cases=["spread", "instant", "both"])
    report = Report("lateness", f"Lateness at the platform, {asked.processes} x {asked.threads} threads")
    chosen = peers.chosen(CONTENDERS, asked.only)
    loops = peers.chosen([peers.MinuteLoop()], asked.only) if "spread" in asked.cases else []
    report.notes = [f"{one.name}: {one.settings}" for one in [*chosen, *loops]]
    workers = (asked.processes, asked.threads)
    with Servers.started() as servers:
        for number in range(asked.rounds):
            for case in asked.cases:
                for contender in chosen:
                    row = f"{contender.name}: {case}"
                    with report.round_of(row), servers.scene(platform="bench_http") as scene:
                        report.add(row, **measure(scene, contender, case, asked.posts, workers))
            for loop in loops if number == 0 else []:
                row = f"{loop.name}: spread"
                with report.round_of(row), servers.scene(platform="bench_http") as scene:
                    report.add(row, **measure(scene, loop, "minute", asked.posts, workers))
    report.finish(asked.out, lambda folder: charts.bars(report, "p99_ms", "ms late, 99th percentile", folder, log=True))


def moments(case: str, count: int) -> list[float]:
    """The due times of a case, in seconds from its beginning."""
    if case == "instant":
        return [0.0] * 500
    length = MINUTE if case == "minute" else SPREAD
    spread_out = sorted(random.uniform(0, length) for _ in range(count))
    return spread_out + [SPREAD / 2] * 100 if case == "both" else spread_out


def measure(
    scene: Scene, contender: peers.Contender, case: str, count: int, workers: tuple[int, int]
) -> dict[str, float]:
    """One round of one case."""
    contender.prepare(scene)
    contender.start(scene, *workers)
    if case != "minute":
        _warm_up(scene, contender, workers[0] * workers[1])
    if case == "instant":
        scene.servers.platform.follow(slow(ANSWER_MS))
    late = publish(scene, contender, moments(case, count))
    found = spread(late)
    if case == "instant":
        found["of_limit"] = max(late) / (len(late) * ANSWER_MS / 1000 / (workers[0] * workers[1]))
    return found


def _warm_up(scene: Scene, contender: peers.Contender, count: int) -> None:
    """Until every process has published: connections are open, modules loaded."""
    posts = scene.posts([0.0] * count)
    contender.schedule(scene, [(post.id, post.scheduled_for) for post in posts])
    scene.wait_for_statuses(count)
    scene.servers.platform.reset()


def publish(scene: Scene, contender: peers.Contender, due_in: Sequence[float]) -> list[float]:
    """Schedule posts, let them be published, and return how late each arrived, in seconds."""
    before = scene.count("Posted")
    posts = scene.posts([AHEAD + seconds for seconds in due_in])
    contender.schedule(scene, [(post.id, post.scheduled_for) for post in posts])
    left = min(post.scheduled_for for post in posts).timestamp() - time.time()
    if left < AHEAD / 3:
        print(f"  {contender.name} was told of its last post only {left:.1f} s before the first fell due")
    scene.wait_for_statuses(before + len(posts), timeout=AHEAD + max(due_in) + 90)
    arrivals = scene.arrivals()
    assert all(len(arrivals.get(post.content_id, [])) == 1 for post in posts), "a post is missing, or out twice"
    return [arrivals[post.content_id][0] - post.scheduled_for.timestamp() for post in posts]


if __name__ == "__main__":
    main()
