"""Another program writes posts by plain SQL while they are published: its word counts until the intent, ours after."""

from __future__ import annotations

import itertools
import random
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import psycopg2
import psycopg2.extras
import pytest
from faults.checker import Post
from faults.figures import Figures
from faults.machines import Machines, lateness, wait_for_moment
from psycopg2.extras import Json

from autoposter import database as pool
from autoposter.scanning import mend_stray_posts

pytestmark = pytest.mark.measured

#: What an owner does to a post that is still his, and how he learns that it was: a row comes back.
DEEDS = {
    "cancelled": "update post_instance set status = 'Cancelled' where id = %s and status = 'Scheduled' returning id",
    "moved": "update post_instance set scheduled_for = scheduled_for + interval '1.5 s'"
    " where id = %s and status = 'Scheduled' returning id",
    "switched off": "update post_instance set autopost_enabled = false where id = %s and status = 'Scheduled'"
    " returning id",
    # No guard, as most programs write it; harmless after the intent.
    "switched off blindly": "update post_instance set autopost_enabled = false where id = %s"
    " returning case when status = 'Scheduled' then id end",
}


@dataclass(frozen=True)
class Deed:
    """What an owner does, and when."""

    post: int
    what: str
    at: float
    thinks_for: float
    """How long his transaction stays open after it, in seconds."""

    def do(self, connection: Any) -> tuple[Deed, bool]:
        """Do it at its moment; whether it came in time."""
        wait_for_moment(self.at)
        with connection, connection.cursor() as cursor:
            cursor.execute(DEEDS[self.what], (self.post,))
            found = cursor.fetchone()
            time.sleep(self.thinks_for)
        return self, bool(found and found[0])


def test_an_owner_races_the_workers(machines: Machines, figures: Figures, long: bool) -> None:
    count, lasts = (1000, 60.0) if long else (60, 3.0)
    machines.workers(2, threads=16)
    start = time.time() + 2.5
    due = sorted(start + random.uniform(0, lasts) for _ in range(count))
    posts = machines.schedule(due)
    deeds = [
        Deed(post, what, moment + random.uniform(-1, 1), random.choice([0.0, 0.0, 0.0, random.uniform(0, 0.4)]))
        for post, moment, what in zip(sorted(posts), due, itertools.cycle(DEEDS), strict=False)
    ]

    done = in_threads(machines, sorted(deeds, key=lambda deed: deed.at), Deed.do)
    machines.settle()

    report = machines.judge(figures)
    by_id = {post.id: post for post in report.posts}
    counted = Counter(f"{deed.what} {'in time' if won else 'too late'}" for deed, won in done)
    wrong = [
        f"{deed.what}, {won}: {by_id[deed.post]}" for deed, won in done if not as_it_stood(by_id[deed.post], deed, won)
    ]
    wrong += unlike_their_intent(machines)
    figures.numbers("deeds", **dict(sorted(counted.items())))
    figures.at_most("posts that did not go out as their row stood at the intent", 0, len(wrong))
    figures.spread("lateness of what went out", lateness(report, lambda post: post.status == "Posted"))
    assert wrong == []
    assert len(counted) == 2 * len(DEEDS) or not long


def as_it_stood(post: Post, deed: Deed, won: bool) -> bool:
    """Whether the platform has what the row said when the intent, or its refusal, was written."""
    promised = any(job.intent_at for job in post.jobs)
    if won and deed.what == "cancelled":
        return not post.effects and not promised and post.status == "Cancelled"
    if won and deed.what.startswith("switched off"):
        return not post.effects and not promised and post.status == "Scheduled"
    return len(post.effects) == 1 and post.status == "Posted"


def unlike_their_intent(machines: Machines) -> list[str]:
    """Posts that were sent for another due time than the one they have: it was changed after the intent, or before."""
    return [
        f"post {post} was sent for {sent_for} and stands at {stands}"
        for post, sent_for, stands in machines.rows.query(
            "select p.id, j.scheduled_for, p.scheduled_for from publish_job j join post_instance p"
            " on p.id = j.post_instance_id where j.intent_at is not null and j.scheduled_for <> p.scheduled_for"
        )
    ]


@dataclass(frozen=True)
class StaleSave:
    """A program that reads a row, thinks, and saves all of it."""

    post: int
    due: float
    reads_at: float
    at: float

    def do(self, connection: Any) -> str:
        """Read it, and save it back at its moment; the status that was saved."""
        wait_for_moment(self.reads_at)
        with connection, connection.cursor(cursor_factory=psycopg2.extras.RealDictCursor) as cursor:
            cursor.execute("select * from post_instance where id = %s", (self.post,))
            row = dict(cursor.fetchone())
        wait_for_moment(self.at)
        names = [name for name in row if name not in ("id", "due_at")]
        values = [Json(row[name]) if isinstance(row[name], dict) else row[name] for name in names]
        with connection, connection.cursor() as cursor:
            cursor.execute(
                f"update post_instance set {', '.join(f'{name} = %s' for name in names)} where id = %s",  # noqa: S608
                [*values, self.post],
            )
        return str(row["status"])


def test_a_program_saves_old_rows_in_full(machines: Machines, figures: Figures, long: bool) -> None:
    count, lasts = (200, 30.0) if long else (40, 2.0)
    machines.workers(2, threads=16)
    start = time.time() + 3.5
    due = sorted(start + random.uniform(0, lasts) for _ in range(count))
    saves = []
    for post, moment in zip(sorted(machines.schedule(due)), due, strict=True):
        at = moment + random.uniform(-1, 3)
        saves.append(StaleSave(post, moment, min(at, moment + random.uniform(-3, 1)), at))

    saved = in_threads(machines, sorted(saves, key=lambda save: save.reads_at), StaleSave.do, threads=count)
    last_save = time.time()
    mended = 0 if long else mend(machines)
    machines.settle(90)
    after = time.time() - last_save

    report = machines.judge(figures)
    figures.numbers("rows saved back as", **dict(sorted(Counter(saved).items())))
    figures.numbers("all as the ledger says, after the last save", s=after, mended_by_the_test=mended)
    figures.at_most("receipts lost", 0, sum(post.status != "Posted" for post in report.posts))
    assert not figures.broken()


def mend(machines: Machines) -> int:
    """What each worker does once a minute, for which the short version does not wait."""
    pool.connect_to(machines.world.database_url)
    try:
        return mend_stray_posts(8)
    finally:
        pool.database.close_all()


def in_threads(machines: Machines, deeds: Sequence[Any], do: Callable[[Any, Any], Any], threads: int = 24) -> list[Any]:
    """Have owners with a connection each do all of it, each at its moment."""
    connections: list[Any] = [psycopg2.connect(machines.world.database_url) for _ in range(min(threads, 100))]

    def one(deed: Any) -> Any:
        connection = connections.pop()
        try:
            return do(deed, connection)
        finally:
            connections.append(connection)

    with ThreadPoolExecutor(len(connections)) as owners:
        done = list(owners.map(one, deeds))
    for connection in connections:
        with closing(connection):
            pass
    return done
