"""How fast does a backlog drain, with full books, when the platform costs nothing?

    python benchmarks/drain.py

Posts that are an hour overdue, on a platform that does nothing.  Every contender keeps the same books: autoposter's
own statements (claim, intent, settle).  The rate is that of the posts between the first and the last tenth; `of_bare`
and `of_no_op` are its ratios to the two ceilings of the same round.
"""

from __future__ import annotations

import time

import charts
import peers
from report import Report, arguments
from stage import Scene, Servers

CEILINGS = {"of_bare": peers.BareStatements(), "of_no_op": peers.RawDramatiq()}
CONTENDERS = [
    peers.Autoposter(),
    peers.Celery(),
    peers.DramatiqDelay(),
    peers.Procrastinate(),
    peers.ApScheduler(),
    *CEILINGS.values(),
]

#: So many times as many messages for the actor that does nothing: they vanish before they can be counted.
NO_OP_TIMES = 10

#: How long the posts are overdue, in seconds.
OVERDUE = 3600.0


def main() -> None:
    """Measure, and print the table."""
    asked = arguments(__doc__, posts=4000, processes=2, threads=8, only=[])
    report = Report("drain", f"{asked.posts} overdue posts, {asked.processes} x {asked.threads} threads, full books")
    chosen = peers.chosen(CONTENDERS, asked.only)
    report.notes = [f"{one.name}: {one.settings}" for one in chosen]
    with Servers.started() as servers:
        for _ in range(asked.rounds):
            rates: dict[str, float] = {}
            for contender in chosen:
                row = contender.name
                with report.round_of(row), servers.scene(platform="bench_noop", books="full") as scene:
                    found = measure(scene, contender, asked.posts, asked.processes, asked.threads)
                    rates[row] = found["posts_per_s"]
                    report.add(row, **found)
            for column, ceiling in CEILINGS.items():
                for row in rates if ceiling.name in rates else []:
                    report.add(row, **{column: rates[row] / rates[ceiling.name]})
    report.finish(asked.out, lambda folder: charts.bars(report, "posts_per_s", "posts per second", folder, log=True))


def measure(scene: Scene, contender: peers.Contender, count: int, processes: int, threads: int) -> dict[str, float]:
    """One round."""
    scene.processes.set("BENCH_PROCESSES", str(processes))
    contender.prepare(scene)
    posts = scene.posts([-OVERDUE] * count)
    no_op = isinstance(contender, peers.RawDramatiq)
    contender.schedule(scene, [(post.id, post.scheduled_for) for post in posts] * (NO_OP_TIMES if no_op else 1))
    scene.query("vacuum analyze")
    before = scene.cpu_seconds()
    contender.start(scene, processes, threads)
    if no_op:
        return {"posts_per_s": _rate_on_the_broker(scene, count * NO_OP_TIMES)}
    scene.wait_for_statuses(count + 1, timeout=60 + count / 20)  # one was published to record the statements
    used = scene.cpu_seconds() - before
    return {
        "posts_per_s": _rate_in_the_books(scene),
        "worker_cpu_ms_per_post": used.workers / count * 1000,
        "postgresql_cpu_ms_per_post": used.postgresql / count * 1000,
        "redis_cpu_ms_per_post": used.redis / count * 1000,
    }


def _rate_in_the_books(scene: Scene) -> float:
    """Of the jobs between the first and the last tenth."""
    return float(
        scene.query(
            "with ranked as (select finished_at, ntile(10) over (order by finished_at) as tenth from publish_job)"
            " select count(*) / extract(epoch from max(finished_at) - min(finished_at))"
            "   from ranked where tenth between 2 and 9"
        )[0][0]
    )


def _rate_on_the_broker(scene: Scene, count: int) -> float:
    """Of the messages between the first and the last tenth; they vanish from the broker when they are done."""
    seen: list[tuple[float, int]] = []
    until = time.monotonic() + 120
    while not seen or seen[-1][1]:
        assert time.monotonic() < until, f"{seen[-1][1]} messages are left"
        seen.append((time.monotonic(), int(scene.redis.hlen("dramatiq:default.msgs"))))
        time.sleep(0.005)
    middle = [each for each in seen if count * 0.1 <= each[1] <= count * 0.9]
    (begin, most), (end, least) = middle[0], middle[-1]
    return (most - least) / (end - begin)


if __name__ == "__main__":
    main()
