"""Does the cost grow with the table?

    python benchmarks/scan.py                  # 10 thousand to 10 million posts; needs 15 GB of disk for a while

Posts that went out, each with its job, and among them a hundredth that falls due in the coming weeks; a database for
each size, and the sizes take turns within each round.  Measured are a scan that finds nothing, a scan that marks 100
posts, and a post's own statements (claim, intent, settle), each the median of 30, without a broker.  `blocks` is what
the scan reads.  `exponent` is that of cost = a x rows^b; 0: it does not grow.  The servers do not wait for the disk
here, so that filling them takes minutes and not hours.
"""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable
from contextlib import ExitStack
from datetime import timedelta
from typing import Any
from unittest import mock

import charts
from report import Report, arguments
from stage import Scene, Servers

from autoposter import database as pool
from autoposter.store import claims, dispatch, intents, jobs
from autoposter.store.jobs import Receipt

DAY = timedelta(days=1)
REPEATS = 30
OPTIONS = (
    "fsync=off",
    "synchronous_commit=off",
    "full_page_writes=off",
    "max_wal_size=8GB",
    "maintenance_work_mem=1GB",
)

_FILL = """
    with posts as (
        insert into post_instance (channel_account_id, content_item_id, scheduled_for, status, posted_at,
                                   platform_post_id)
        select %(account)s + n %% 20, %(content)s,
               case when n %% 100 = 0 then now() + interval '1 hour' + n %% 2000000 * interval '1 s'
                    else now() - interval '1 day' - n * interval '3 s' end,
               case when n %% 100 = 0 then 'Scheduled' else 'Posted' end,
               case when n %% 100 = 0 then null else now() end, 'p' || n
          from generate_series(%(first)s::bigint, %(last)s::bigint) n
        returning id, channel_account_id, scheduled_for, status
    )
    insert into publish_job (post_instance_id, channel_account_id, attempt, status, scheduled_for, content,
                             idempotency_key, intent_at, ended_at, finished_at, worker, lease_until)
    select id, channel_account_id, 1, 'completed', scheduled_for,
           '{"caption": "hello", "link": null, "media": [], "options": null, "content_item_id": 1}',
           md5(id::text), now(), now(), now(), 'bench', now()
      from posts where status = 'Posted'"""

#: Rows of one insert.
BATCH = 250_000


def main() -> None:
    """Measure, and print the table and the plan."""
    asked = arguments(__doc__, largest=10_000_000)
    sizes = [10**power for power in range(4, 8) if 10**power <= asked.largest]
    report = Report("scan", "Cost in ms over the number of posts, each with its job")
    with Servers.started(*OPTIONS) as servers, ExitStack() as stack:
        scenes = {size: stack.enter_context(servers.scene(platform="bench_noop")) for size in sizes}
        for size, scene in scenes.items():
            _fill(scene, size)
        for _ in range(asked.rounds):
            for size, scene in scenes.items():
                report.add(f"{size:,} posts", **measure(scene))
        plan = "\n".join(f"    {line}" for line in _plan(scenes[sizes[-1]]))
    names = list(report.rows[f"{sizes[0]:,} posts"])
    series = {name: [(size, report.median(f"{size:,} posts", name)) for size in sizes] for name in names}
    report.add("exponent", **{name: exponent(points) for name, points in series.items()})
    report.notes.append(f"the plan of the scan at {sizes[-1]:,} posts:\n{plan}")
    del series["blocks"]
    axes = ("posts", "ms")
    report.finish(asked.out, lambda folder: charts.lines(report.title, series, axes, folder / "scan.svg", log=True))


def _fill(scene: Scene, size: int) -> None:
    """Without the foreign keys' checks, and with the indexes made at the end: a tenth of the time."""
    account = scene.query("select min(id) from channel_account")[0][0]
    content = scene.query("insert into content_item (caption) values ('hello') returning id")[0][0]
    indexes = scene.query(
        "select indexname, indexdef from pg_indexes where tablename in ('post_instance', 'publish_job')"
        " and indexname not in (select conname from pg_constraint)"
    )
    fast = "set session_replication_role = replica; "
    scene.query("; ".join(f"drop index {name}" for name, _ in indexes))
    for first in range(1, size + 1, BATCH):
        last = min(size, first + BATCH - 1)
        scene.query(fast + _FILL, {"account": account, "content": content, "first": first, "last": last})
    for _, definition in indexes:
        scene.query(definition)
    scene.query("vacuum analyze")
    scene.query("checkpoint")


def measure(scene: Scene) -> dict[str, float]:
    """One round at one size."""
    pool.connect_to(scene.database_url)
    try:
        return {
            "blocks": _blocks(scene),
            "scan_finds_nothing": _median_ms(_scan),
            "scan_marks_100": _marks_100(scene),
            "claim": (posts := _attempts(scene))[0],
            "intent": posts[1],
            "settle": posts[2],
        }
    finally:
        pool.database.close_all()


def _scan() -> None:
    dispatch.mark_on_time(max_lateness=DAY)
    dispatch.mark_overdue(max_lateness=DAY, limit=20)


def _marks_100(scene: Scene) -> float:
    times = []
    for _ in range(REPEATS):
        posts = [post.id for post in scene.posts([2.0] * 100)]
        times.append(_ms(lambda: dispatch.mark_on_time(max_lateness=DAY)))
        scene.query("delete from post_instance where id = any(%s)", (posts,))
    return statistics.median(times)


def _attempts(scene: Scene) -> tuple[float, float, float]:
    """The statements of 30 posts, which are removed again."""
    posts = [post.id for post in scene.posts([0.0] * REPEATS)]
    times = [_attempt(post_id) for post_id in posts]
    scene.query("delete from post_instance where id = any(%s)", (posts,))
    claim, intent, settle = (statistics.median(column) for column in zip(*times, strict=True))
    return claim, intent, settle


def _attempt(post_id: int) -> tuple[float, float, float]:
    began = time.perf_counter()
    attempt = claims.claim(post_id, worker="bench", max_lateness=DAY)
    claimed = time.perf_counter()
    assert attempt is not None
    assert intents.intend(attempt, {})
    intended = time.perf_counter()
    assert jobs.settle_receipt(Receipt(attempt.job_id, f"noop-{post_id}", None, attempt.due_at, {}))
    settled = time.perf_counter()
    return (claimed - began) * 1000, (intended - claimed) * 1000, (settled - intended) * 1000


def _ms(run: Callable[[], Any]) -> float:
    began = time.perf_counter()
    run()
    return (time.perf_counter() - began) * 1000


def _median_ms(run: Callable[[], Any]) -> float:
    return statistics.median(_ms(run) for _ in range(REPEATS))


def exponent(points: list[tuple[float, float]]) -> float:
    """The slope of the straight line through the logarithms, by least squares."""
    xs, ys = [math.log(x) for x, _ in points], [math.log(y) for _, y in points]
    return statistics.linear_regression(xs, ys).slope


def _blocks(scene: Scene) -> float:
    """How many blocks the scan's statement reads, its planning left out."""
    lines = [line.strip() for line in _plan(scene)]
    return float(next(line for line in lines if line.startswith("Buffers:")).partition("hit=")[2].split()[0])


def _plan(scene: Scene) -> list[str]:
    """`explain` of the scan's own statement, as the store sends it."""
    sent: list[str] = []
    pool.connect_to(scene.database_url)
    execute: Callable[..., Any] = pool.database.execute_sql

    def noting(sql: str, parameters: Any = None, *rest: Any) -> Any:
        cursor = execute(sql, parameters, *rest)
        sent.append(cursor.query.decode())
        return cursor

    with mock.patch.object(pool.database, "execute_sql", noting):
        dispatch.mark_on_time(max_lateness=DAY)
    found = scene.query(f"explain (analyze, buffers, costs off, timing off) {sent[0]}")
    return [line for (line,) in found]


if __name__ == "__main__":
    main()
