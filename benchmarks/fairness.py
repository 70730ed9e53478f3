"""Does one account's crowd hold up the others?

    python benchmarks/fairness.py

One account has 10,000 posts that are overdue (*overdue*), or 300 that fall due at one moment (*at once*); 19 others
have 10 posts each, spread over the 10 s from that moment on.  How late the others' are in their rows (`posted_at`), on
a platform that does nothing.  `crowd_s`: when the last of the crowd was out, from that moment on.
"""

from __future__ import annotations

import random
from argparse import Namespace

import charts
import peers
from report import Report, arguments, spread
from stage import Scene, Servers

CONTENDERS = [peers.Autoposter(), peers.Celery(), peers.DramatiqDelay(), peers.Procrastinate()]

#: The others' posts fall due from so many seconds after the beginning, for so long.
AHEAD, LASTS = 6.0, 10.0

OTHERS = 190

#: The crowd at one moment.
AT_ONCE = 300


def main() -> None:
    """Measure, and print the table."""
    asked = arguments(__doc__, posts=10_000, processes=2, threads=8, only=[], cases=["overdue", "at once"])
    crowds = {"overdue": asked.posts, "at once": AT_ONCE}
    title = f"{OTHERS} posts beside {asked.posts:,} overdue ones of one account, or beside {AT_ONCE} at once"
    report = Report("fairness", title)
    chosen = peers.chosen(CONTENDERS, asked.only)
    report.notes = [f"{one.name}: {one.settings}" for one in chosen]
    with Servers.started() as servers:
        for _ in range(asked.rounds):
            for case in asked.cases:
                for contender in chosen:
                    row = f"{contender.name}: {case}"
                    with report.round_of(row), servers.scene(platform="bench_noop", books="full") as scene:
                        report.add(row, **measure(scene, contender, case, crowds[case], asked))
    unit = "ms late, 99th percentile of the others"
    report.finish(asked.out, lambda folder: charts.bars(report, "p99_ms", unit, folder, log=True))


def measure(scene: Scene, contender: peers.Contender, case: str, count: int, asked: Namespace) -> dict[str, float]:
    """One round of one case."""
    contender.prepare(scene)
    contender.start(scene, asked.processes, asked.threads)
    others = scene.posts([AHEAD + random.uniform(0, LASTS) for _ in range(OTHERS)], accounts=slice(1, None))
    crowd = scene.posts([AHEAD if case == "at once" else -3600.0] * count, accounts=slice(0, 1))
    # The crowd of the past is told of last, when the others are already known.
    contender.schedule(scene, [(post.id, post.scheduled_for) for post in [*others, *crowd]])
    scene.wait_for_all(timeout=AHEAD + LASTS + 60 + count / 40)
    late = scene.query(
        "select extract(epoch from posted_at - scheduled_for)::float from post_instance where id = any(%s)",
        ([post.id for post in others],),
    )
    first_due = min(post.scheduled_for for post in others)
    crowd_s = scene.query(
        "select extract(epoch from max(posted_at) - %s)::float from post_instance where id = any(%s)",
        (first_due, [post.id for post in crowd]),
    )
    return {**spread([seconds for (seconds,) in late]), "crowd_s": crowd_s[0][0]}


if __name__ == "__main__":
    main()
