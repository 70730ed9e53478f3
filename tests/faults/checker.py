"""The one judge of every fault test: what the platform holds against what the books say, after the storm.

It knows nothing of how the machine works, only what was promised.  A post is told by its text, `post <reference>`.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import psycopg2
import psycopg2.extras

from autoposter.testing.publishers import FakeBlind, FakeFindable, FakeKeyed
from autoposter.testing.server import AcceptedPost

#: Platforms whose outcomes nobody can find out.
BLIND = {FakeBlind.platform}
PLATFORMS = (FakeKeyed.platform, FakeFindable.platform, FakeBlind.platform)

OPEN_JOBS = ("running", "unknown")


@dataclass(frozen=True)
class Job:
    """One line of the ledger."""

    id: int
    status: str
    intent_at: datetime | None
    platform_post_id: str | None
    error_kind: str | None


@dataclass(frozen=True)
class Post:
    """What the books and the platform say about one post."""

    id: int
    reference: str
    platform: str
    status: str
    scheduled_for: datetime
    is_due: bool
    posted_at: datetime | None
    platform_post_id: str | None
    last_error: str | None
    jobs: list[Job] = field(default_factory=list)
    effects: list[AcceptedPost] = field(default_factory=list)

    def __str__(self) -> str:
        ledger = ", ".join(f"{job.status}{'' if job.intent_at else ' without intent'}" for job in self.jobs)
        return f"post {self.id} ({self.reference}, {self.platform}, {self.status}; jobs: {ledger or 'none'})"


@dataclass(frozen=True)
class Report:
    """The table and the verdict."""

    posts: list[Post]
    violations: list[str]

    def table(self) -> str:
        """Figures per platform, then every violation."""
        lines = [f"{'':14} {'posts':>6} {'effects':>7} {'twice':>5} {'lost':>5} {'open':>5} statuses"]
        for platform in sorted({post.platform for post in self.posts}):
            mine = [post for post in self.posts if post.platform == platform]
            statuses = Counter(post.status for post in mine)
            lines.append(
                f"{platform:14} {len(mine):6} {sum(len(post.effects) for post in mine):7}"
                f" {sum(len(post.effects) > 1 for post in mine):5}"
                f" {sum(post.status == 'Posted' and not post.effects for post in mine):5}"
                f" {sum(is_open(post) for post in mine):5}"
                f" {', '.join(f'{status} {count}' for status, count in sorted(statuses.items()))}"
            )
        late = sorted(lateness for post in self.posts for lateness in _lateness(post))
        if late:
            lines.append(
                f"late: p50 {late[len(late) // 2]:.3f} s, p99 {late[len(late) * 99 // 100]:.3f} s, max {late[-1]:.3f} s"
            )
        return "\n".join([*lines, *(f"VIOLATION: {violation}" for violation in self.violations)])


def check(database_url: str, effects: Sequence[AcceptedPost], *, taken_back: Collection[int] = ()) -> Report:
    """Hold the platform's record against the books.  `taken_back`: posts whose owners withdrew them in time."""
    posts, strangers = read_books(database_url, effects)
    violations = [f"the platform holds {effect.text!r}, which no post asked for" for effect in strangers]
    violations += [f"{post} {complaint}" for post in posts for rule in RULES for complaint in rule(post)]
    violations += double_ids(posts)
    violations += [
        f"{post} is out, and its owner had taken it back" for post in posts if post.effects and post.id in taken_back
    ]
    return Report(posts, violations)


def read_books(database_url: str, effects: Sequence[AcceptedPost]) -> tuple[list[Post], list[AcceptedPost]]:
    """Every post with its jobs and effects; and the effects that belong to none."""
    posts: dict[str, Post] = {}
    with (
        psycopg2.connect(database_url) as connection,
        connection.cursor(cursor_factory=psycopg2.extras.DictCursor) as cursor,
    ):
        cursor.execute(
            """
            select p.id, coalesce(p.reference, p.id::text) as reference, a.platform, p.status, p.scheduled_for,
                   p.posted_at, p.platform_post_id, p.last_error,
                   p.status = 'Scheduled' and p.autopost_enabled and p.content_item_id is not null
                       and a.status <> 'disabled' and coalesce(a.paused_until, '-infinity') < now()
                       and p.due_at < now() as is_due
            from post_instance p join channel_account a on a.id = p.channel_account_id order by p.id
            """
        )
        posts = {row["reference"]: Post(**row) for row in cursor.fetchall()}
        by_id = {post.id: post for post in posts.values()}
        cursor.execute(
            "select post_instance_id, id, status, intent_at, platform_post_id, error_kind"
            " from publish_job order by attempt"
        )
        for post_id, *job in cursor.fetchall():
            by_id[post_id].jobs.append(Job(*job))
    connection.close()
    strangers = []
    for effect in effects:
        named = re.match(r"post (\S+)", effect.text)
        if named and named[1] in posts:
            posts[named[1]].effects.append(effect)
        else:
            strangers.append(effect)
    return list(posts.values()), strangers


# --- What was promised, one rule each ------------------------------------------------------------------------------


def sent_once(post: Post) -> Iterator[str]:
    if len(post.effects) > 1:
        times = ", ".join(f"{effect.accepted_at:.3f}" for effect in post.effects)
        yield f"is out {len(post.effects)} times, at {times}"


def posted_means_out(post: Post) -> Iterator[str]:
    if post.status == "Posted" and not post.effects:
        yield "is called Posted, and the platform has nothing"


def out_means_posted(post: Post) -> Iterator[str]:
    if post.effects and post.status not in {"Posted", "Unconfirmed"}:
        yield "is out, and the books do not say so"


def unconfirmed_only_where_nobody_can_tell(post: Post) -> Iterator[str]:
    if post.status == "Unconfirmed" and post.platform not in BLIND:
        yield "was left to a person although its platform can tell"


def unconfirmed_had_an_intent(post: Post) -> Iterator[str]:
    if post.status == "Unconfirmed" and not any(job.status == "unknown" and job.intent_at for job in post.jobs):
        yield "is Unconfirmed without an unknown job"


def never_early(post: Post) -> Iterator[str]:
    # PostgreSQL, the platform and the tests share one machine, hence one clock: not a millisecond is forgiven.
    for effect in post.effects:
        early = post.scheduled_for - arrival(effect)
        if early > timedelta(0):
            yield f"was sent {early.total_seconds() * 1000:.3f} ms early"


def promised_first(post: Post) -> Iterator[str]:
    for effect in post.effects:
        if not any(job.intent_at and job.intent_at <= arrival(effect) for job in post.jobs):
            yield "was sent before any intent was in the books"


def nothing_open(post: Post) -> Iterator[str]:
    if is_open(post):
        yield "is still open"
    if post.is_due:
        yield f"is due and nobody publishes it (scheduled for {post.scheduled_for}, {post.last_error})"


def posted_has_its_receipt(post: Post) -> Iterator[str]:
    if post.status != "Posted":
        return
    completed = [job for job in post.jobs if job.status == "completed"]
    if len(completed) != 1:
        yield f"is Posted by {len(completed)} completed jobs"
    if post.posted_at is None:
        yield "is Posted without posted_at"
    for effect in post.effects:
        if effect.id != post.platform_post_id or [effect.id] != [job.platform_post_id for job in completed]:
            yield f"is {effect.id} on the platform and {post.platform_post_id} in the books"


def completed_means_posted(post: Post) -> Iterator[str]:
    if post.status != "Posted" and any(job.status == "completed" for job in post.jobs):
        yield "has a completed job and is not Posted"


def failed_says_why(post: Post) -> Iterator[str]:
    if post.status == "Failed" and post.last_error is None:
        yield "is Failed and does not say why"


RULES: tuple[Callable[[Post], Iterator[str]], ...] = (
    sent_once,
    posted_means_out,
    out_means_posted,
    unconfirmed_only_where_nobody_can_tell,
    unconfirmed_had_an_intent,
    never_early,
    promised_first,
    nothing_open,
    posted_has_its_receipt,
    completed_means_posted,
    failed_says_why,
)


def double_ids(posts: Sequence[Post]) -> list[str]:
    """Two posts that claim one and the same effect."""
    owners: dict[str, list[Post]] = defaultdict(list)
    for post in posts:
        if post.platform_post_id:
            owners[post.platform_post_id].append(post)
    return [f"{', '.join(map(str, several))} share one id" for several in owners.values() if len(several) > 1]


def is_open(post: Post) -> bool:
    """Whether somebody still has to do something about it.  An Unconfirmed post waits for a person, not for us."""
    running = [job for job in post.jobs if job.status in OPEN_JOBS]
    return post.status == "Publishing" or (bool(running) and post.status != "Unconfirmed")


def arrival(effect: AcceptedPost) -> datetime:
    """When the first byte of its request arrived."""
    return datetime.fromtimestamp(effect.arrived_at, UTC)


def _lateness(post: Post) -> list[float]:
    return [(arrival(effect) - post.scheduled_for).total_seconds() for effect in post.effects]
