"""Does one account's crowd hold up the others?

    python benchmarks/fairness.py

One account has 2,000 posts that are overdue (*overdue*), or that fall due at one moment (*at once*); 19 others have 10
posts each, spread over the 10 s after that.  How late the others' are in their rows (`posted_at`), on a platform that
does nothing.
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
AHEAD, LASTS = 12.0, 10.0

OTHERS = 190


def main() -> None:
    """Measure, and print the table."""
    asked = arguments(__doc__, posts=2000, processes=2, threads=8, only=[], cases=["overdue", "at once"])
    report = Report("fairness", f"{OTHERS} posts beside {asked.posts:,} of one account")
    chosen = [one for one in CONTENDERS if not asked.only or any(part in one.name for part in asked.only)]
    report.notes = [f"{one.name}: {one.settings}" for one in chosen]
    with Servers.started() as servers:
        for _ in range(asked.rounds):
            for case in asked.cases:
                for contender in chosen:
                    with servers.scene(platform="bench_noop") as scene:
                        report.add(f"{contender.name}: {case}", **measure(scene, contender, case, asked))
    report.show()
    if asked.out:
        report.write(asked.out)
        charts.bars(report, "p99_ms", "99th percentile of the others, ms late", asked.out, log=True)


def measure(scene: Scene, contender: peers.Contender, case: str, asked: Namespace) -> dict[str, float]:
    """One round of one case."""
    contender.prepare(scene)
    contender.start(scene, asked.processes, asked.threads)
    others = scene.posts([AHEAD + random.uniform(0, LASTS) for _ in range(OTHERS)], accounts=slice(1, None))
    crowd = scene.posts([AHEAD if case == "at once" else -3600.0] * asked.posts, accounts=slice(0, 1))
    # The crowd of the past is told of last, when the others are already known.
    contender.schedule(scene, [(post.id, post.scheduled_for) for post in [*others, *crowd]])
    scene.wait_for_statuses(len(others) + len(crowd), timeout=AHEAD + LASTS + 120)
    late = scene.query(
        "select extract(epoch from posted_at - scheduled_for)::float from post_instance where id = any(%s)",
        ([post.id for post in others],),
    )
    return spread([seconds for (seconds,) in late])


if __name__ == "__main__":
    main()
