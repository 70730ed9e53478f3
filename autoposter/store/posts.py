"""What people and applications do to posts: schedule, cancel, reschedule, retry, resolve.

Each move locks its posts in the order of their ids, so that two selections that overlap never wait for each other in
a circle.  `ids` of posts that do not exist, or stand in another status, are left out of what a move returns.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from autoposter.database import row, rows, transaction
from autoposter.lifecycle import Status


@dataclass(frozen=True, slots=True)
class NewContent:
    """A content item to be written, already checked."""

    caption: str
    link: str | None
    options: str
    """JSON, an object keyed by platform."""
    media: tuple[dict[str, str | None], ...]
    """`kind` (None: open still), `source` and `alt_text` of each, in order."""


# --- schedule --------------------------------------------------------------------------------------------------------

# One statement, so that whoever loses the race for a reference leaves no content behind.  The post is written first,
# with the id that its content will have; foreign keys are checked when the statement ends.
_INSERT = """
    with content as materialized (
        select nextval(pg_get_serial_sequence('content_item', 'id')) as id
    ), post as (
        insert into post_instance (channel_account_id, content_item_id, scheduled_for, reference)
        select wanted.account_id, content.id, %(at)s, %(reference)s
        from content, unnest(%(account_ids)s::bigint[]) as wanted (account_id)
        on conflict (reference) do nothing
        returning id, channel_account_id, content_item_id
    ), item as (
        insert into content_item (id, caption, link, options)
        select content.id, %(caption)s, %(link)s, %(options)s::jsonb
        from content where exists (select 1 from post)
    ), media as (
        insert into media_asset (content_item_id, position, kind, source, alt_text)
        select content.id, asset.position, asset.kind, asset.source, asset.alt_text
        from content, jsonb_to_recordset(%(media)s::jsonb)
             as asset (position integer, kind text, source text, alt_text text)
        where exists (select 1 from post)
    )
    select post.id from post order by array_position(%(account_ids)s::bigint[], post.channel_account_id)
"""


def insert(content: NewContent, account_ids: Sequence[int], *, at: datetime, reference: str | None) -> list[int]:
    """Schedule one content item on several accounts; the posts' ids in the order of the accounts.

    Empty: a post with this reference exists (only one account may be given with a reference), and nothing was written.
    Of two at once the second waits for the first: if that commits, the second writes nothing; if not, it writes.
    """
    media = [{"position": position, **asset} for position, asset in enumerate(content.media)]
    values = {
        "account_ids": list(account_ids),
        "at": at,
        "reference": reference,
        "caption": content.caption,
        "link": content.link,
        "options": content.options,
        "media": json.dumps(media),
    }
    with transaction():
        return [int(found["id"]) for found in rows(_INSERT, values)]


def id_of(reference: str) -> int | None:
    """The post that the owner knows by this reference."""
    with transaction():
        found = row("select id from post_instance where reference = %(reference)s", {"reference": reference})
    return int(found["id"]) if found else None


# --- cancel, reschedule, retry ----------------------------------------------------------------------------------------

# Locked by an inner select in the order of ids; the outer `where` looks at each row again as it stands then.
_LOCKED = "p.id in (select id from post_instance where id = any(%(ids)s::bigint[]) order by id for update)"


def cancel(ids: Collection[int]) -> dict[int, Status]:
    """Keep posts from being published; the status each has now: `Cancelled`, or `Publishing` where it is too late.

    Before an intent: the intent matches nothing, and its job ends `cancelled`.  After it: the post is switched off
    instead, so that it is not tried again; a receipt still makes it `Posted`.
    """
    return _move(
        "status = case when p.status = 'Publishing' then p.status else 'Cancelled' end,"
        " autopost_enabled = p.autopost_enabled and p.status <> 'Publishing'",
        "p.status in ('Draft', 'Scheduled', 'Publishing')",
        {"ids": list(ids)},
    )


def reschedule(ids: Collection[int], at: datetime) -> dict[int, Status]:
    """Move posts to another time, with a new budget of attempts; the status of each that was moved.

    Before an intent: the intent finds another due time, and its job ends `cancelled`.  After it: matches nothing.
    """
    return _move(
        "scheduled_for = %(at)s, retry_at = null, dispatched_for = null, dispatched_at = null, last_error = null",
        "p.status in ('Draft', 'Scheduled')",
        {"ids": list(ids), "at": at},
    )


def retry(ids: Collection[int], at: datetime | None) -> dict[int, Status]:
    """Schedule ended posts anew, for now or for `at`, with a new budget of attempts; the status of each that was moved.

    Switches them on again.  Two at once: the second finds the post `Scheduled` and matches nothing.  A late receipt
    that comes first makes the post `Posted`, and this matches nothing; one that comes second makes it `Posted` too,
    and the claim that follows this finds the completed job.
    """
    return _move(
        "status = 'Scheduled', scheduled_for = coalesce(%(at)s, now()), autopost_enabled = true,"
        " retry_at = null, dispatched_for = null, dispatched_at = null, last_error = null",
        "p.status in ('Failed', 'Missed', 'Cancelled')",
        {"ids": list(ids), "at": at},
    )


def _move(what: str, guard: str, values: dict[str, Any]) -> dict[int, Status]:
    with transaction():
        moved = rows(
            f"update post_instance as p set {what} where {_LOCKED} and {guard} returning p.id, p.status", values
        )
    return {post["id"]: Status(post["status"]) for post in moved}


# --- resolve ---------------------------------------------------------------------------------------------------------


class Resolution(StrEnum):
    """What a person found out about an `Unconfirmed` post."""

    POSTED = "posted"
    NOT_POSTED = "not posted"
    RETRY = "not posted, send again"


class _LostError(Exception):
    """Undoes the transaction: the job was ours to move, but its post is not `Unconfirmed`."""


_JOB_POSTED = "status = 'completed', platform_post_id = coalesce(%(platform_post_id)s, platform_post_id)"

_JOB_NOT_POSTED = "status = 'failed', error_kind = 'unknown'"

_POST = {
    # The call ended, or at least began, when the post went out; a person's word comes later.
    Resolution.POSTED: "status = 'Posted', posted_at = coalesce(%(ended_at)s, %(intent_at)s),"
    " platform_post_id = %(platform_post_id)s, permalink = %(permalink)s, last_error = null, retry_at = null",
    Resolution.NOT_POSTED: "status = 'Failed', retry_at = null, dispatched_for = null,"
    " last_error = coalesce(last_error, 'It was not published, as a person found.')",
    Resolution.RETRY: "status = 'Scheduled', scheduled_for = now(), autopost_enabled = true,"
    " retry_at = null, dispatched_for = null, dispatched_at = null, last_error = null",
}


def resolve(post_id: int, resolution: Resolution, *, by: str, platform_post_id: str | None = None) -> bool:
    """Write what a person found out.  False: the post is not `Unconfirmed` (any more), and nothing was written.

    The job moves first, by a guard on the job.  A late receipt that comes first completes it, and this matches
    nothing; one that comes second finds it completed (and changes nothing), or failed (and `audit` reports it).
    """
    job = _JOB_POSTED if resolution is Resolution.POSTED else _JOB_NOT_POSTED
    evidence = json.dumps({"resolved_by": by, "resolution": resolution})
    values = {"id": post_id, "platform_post_id": platform_post_id, "evidence": evidence}
    try:
        with transaction():
            moved = row(
                f"update publish_job set {job}, finished_at = now(), lease_until = null, look_at = null,"
                " evidence = coalesce(evidence, '{}') || %(evidence)s::jsonb"
                " || jsonb_build_object('resolved_at', now())"
                " where post_instance_id = %(id)s and status = 'unknown'"
                " returning platform_post_id, permalink, ended_at, intent_at",
                values,
            )
            if moved is None:
                return False
            _follow(post_id, resolution, moved)
    except _LostError:
        return False
    return True


def _follow(post_id: int, resolution: Resolution, job: dict[str, Any]) -> None:
    if not row(
        f"update post_instance set {_POST[resolution]} where id = %(id)s and status = 'Unconfirmed' returning id",
        {"id": post_id, **job},
    ):
        raise _LostError
