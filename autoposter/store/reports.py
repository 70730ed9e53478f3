"""What people ask about posts: lists, and the story of one."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from autoposter.database import row, rows, transaction
from autoposter.lifecycle import ErrorKind, JobStatus, Status


@dataclass(frozen=True, slots=True)
class PostInfo:
    """A post as people see it.  All times UTC."""

    id: int
    status: Status
    scheduled_for: datetime
    platform: str
    account: str
    caption: str | None
    """None: a planned slot without content."""
    autopost_enabled: bool
    reference: str | None
    retry_at: datetime | None
    posted_at: datetime | None
    platform_post_id: str | None
    permalink: str | None
    last_error: str | None
    attempts: int


@dataclass(frozen=True, slots=True)
class MediaInfo:
    """One picture or video of a post."""

    kind: str
    source: str
    alt_text: str | None


@dataclass(frozen=True, slots=True)
class JobInfo:
    """One attempt as people see it.  All times UTC."""

    id: int
    attempt: int
    status: JobStatus
    worker: str | None
    scheduled_for: datetime
    started_at: datetime
    intent_at: datetime | None
    ended_at: datetime | None
    finished_at: datetime | None
    look_at: datetime | None
    looks: int
    platform_post_id: str | None
    permalink: str | None
    error_kind: str | None
    error: str | None
    evidence: dict[str, Any] | None
    idempotency_key: str


@dataclass(frozen=True, slots=True)
class Story:
    """One post with all its attempts."""

    post: PostInfo
    link: str | None
    media: tuple[MediaInfo, ...]
    jobs: tuple[JobInfo, ...]


@dataclass(frozen=True, slots=True)
class Selection:
    """Which posts are meant, by what they have in common.  What is None does not count."""

    ids: Collection[int] | None = None
    account_id: int | None = None
    because: str | None = None
    """The kind of the last attempt's error (`rate_limited`), or a part of the post's last error in any case."""
    since: datetime | None = None
    """Scheduled for this moment or later."""
    statuses: Collection[Status] | None = None
    problems: bool = False
    """Only what needs a person or is late: failed, missed, unconfirmed, being retried, a minute overdue."""


_POST = """
    select p.id, p.status, p.scheduled_for, a.platform, a.name as account, coalesce(p.caption, c.caption) as caption,
           p.autopost_enabled, p.reference, p.retry_at, p.posted_at, p.platform_post_id, p.permalink, p.last_error,
           (select count(*) from publish_job j where j.post_instance_id = p.id) as attempts
    from post_instance p
    join channel_account a on a.id = p.channel_account_id
    left join content_item c on c.id = p.content_item_id
"""

_LAST_ERROR_KIND = """
    (select j.error_kind from publish_job j where j.post_instance_id = p.id order by j.attempt desc limit 1)
"""

_PROBLEM = """
    (p.status in ('Failed', 'Missed', 'Unconfirmed')
     or p.status in ('Scheduled', 'Publishing') and p.last_error is not null
     or p.status in ('Scheduled', 'Publishing') and p.autopost_enabled and p.content_item_id is not null
        and p.scheduled_for < now() - interval '1 minute')
"""


def listed(selection: Selection, *, limit: int) -> list[PostInfo]:
    """The posts selected, the last made first, `limit` at most."""
    where, values = _where(selection)
    with transaction():
        found = rows(f"{_POST} where {where} order by p.id desc limit %(limit)s", values | {"limit": limit})
    return [_post(post) for post in found]


def selected(selection: Selection) -> list[int]:
    """The ids of the posts selected, the first made first."""
    where, values = _where(selection)
    with transaction():
        return [
            int(post["id"]) for post in rows(f"select p.id from post_instance p where {where} order by p.id", values)
        ]


def story(post_id: int) -> Story | None:
    """One post with its content and its attempts."""
    values = {"id": post_id}
    with transaction():
        post = row(f"{_POST} where p.id = %(id)s", values)
        if post is None:
            return None
        link = row(
            "select c.link from content_item c join post_instance p on p.content_item_id = c.id where p.id = %(id)s",
            values,
        )
        media = rows(
            "select m.kind, m.source, m.alt_text from media_asset m"
            " join post_instance p on p.content_item_id = m.content_item_id where p.id = %(id)s"
            " order by m.position, m.id",
            values,
        )
        jobs = rows(
            "select id, attempt, status, worker, scheduled_for, started_at, intent_at, ended_at, finished_at, look_at,"
            " looks, platform_post_id, permalink, error_kind, error, evidence, idempotency_key"
            " from publish_job where post_instance_id = %(id)s order by attempt",
            values,
        )
    return Story(
        post=_post(post),
        link=link["link"] if link else None,
        media=tuple(MediaInfo(**asset) for asset in media),
        jobs=tuple(JobInfo(**job | {"status": JobStatus(job["status"])}) for job in jobs),
    )


def post(post_id: int) -> PostInfo | None:
    """One post."""
    with transaction():
        found = row(f"{_POST} where p.id = %(id)s", {"id": post_id})
    return _post(found) if found else None


def statuses(ids: Collection[int]) -> dict[int, Status]:
    """The status of each of these posts that exists."""
    with transaction():
        found = rows("select id, status from post_instance where id = any(%(ids)s::bigint[])", {"ids": list(ids)})
    return {post["id"]: Status(post["status"]) for post in found}


def _post(found: dict[str, Any]) -> PostInfo:
    return PostInfo(**found | {"status": Status(found["status"])})


def _where(selection: Selection) -> tuple[str, dict[str, Any]]:
    parts = ["true"]
    values: dict[str, Any] = {}
    if selection.ids is not None:
        parts.append("p.id = any(%(ids)s::bigint[])")
        values["ids"] = [id for id in selection.ids if 0 < id < 2**63]
    if selection.statuses is not None:
        parts.append("p.status = any(%(statuses)s)")
        values["statuses"] = [str(status) for status in selection.statuses]
    if selection.account_id is not None:
        parts.append("p.channel_account_id = %(account_id)s")
        values["account_id"] = selection.account_id
    if selection.since is not None:
        parts.append("p.scheduled_for >= %(since)s")
        values["since"] = selection.since
    if selection.because is not None:
        is_kind = selection.because in set(ErrorKind)
        text = "position(lower(%(because)s) in lower(p.last_error)) > 0"
        parts.append(f"{_LAST_ERROR_KIND} = %(because)s" if is_kind else text)
        values["because"] = selection.because
    if selection.problems:
        parts.append(_PROBLEM)
    return " and ".join(parts), values
