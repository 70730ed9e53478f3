"""What `prepare` has got ready ahead of the due time: a cache in the post's row, whose loss costs lateness only.

`prepare_at` says when to prepare or to ask again; null: nothing is to be done.  `prepared_key` names the content that
`prepared` was made for; triggers forget it when that content changes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from autoposter.database import row, rows, single_statement
from autoposter.store import DUE
from autoposter.store.snapshots import READ, Snapshot, snapshot_of

#: Preparations of one scan.
BATCH = 200

#: A preparation that was dispatched is not dispatched again for so long.
PAUSE = timedelta(seconds=30)


def begin(ahead: Mapping[str, timedelta], limit: int = 1000) -> int:
    """Let the posts that fall due within their platform's `prepare_ahead` be prepared; returns how many.

    Two at once: the second finds `prepare_at` set.
    """
    begun = 0
    for platform, window in ahead.items():
        with single_statement():
            begun += len(
                rows(
                    f"""
                    with soon as (
                        select p.id from post_instance p join channel_account a on a.id = p.channel_account_id
                         where {DUE} and p.due_at > now() and p.due_at <= now() + %(window)s
                           and p.prepared_key is null and p.prepare_at is null
                           and a.platform = %(platform)s and a.status = 'active'
                         order by p.due_at limit %(limit)s
                           for update of p skip locked
                    )
                    update post_instance p set prepare_at = now() from soon where p.id = soon.id returning p.id""",
                    {"platform": platform, "window": window, "limit": limit},
                )
            )
    return begun


def mark(limit: int = BATCH) -> list[int]:
    """The posts to prepare, or to ask the platform about, now; each is not found again for half a minute."""
    with single_statement():
        return [
            int(found["id"])
            for found in rows(
                """
                with due as (
                    select id from post_instance
                     where status = 'Scheduled' and prepare_at <= now()
                     order by prepare_at limit %(limit)s
                       for update skip locked
                )
                update post_instance p set prepare_at = now() + %(pause)s from due where p.id = due.id
                returning p.id""",
                {"limit": limit, "pause": PAUSE},
            )
        ]


def read(post_id: int) -> Snapshot | None:
    """The post as it stands now, to prepare it.  None: it is not to be prepared (any more)."""
    with single_statement():
        found = row(
            f"{READ} where p.id = %(post_id)s and {DUE} and p.prepare_at is not null and a.status = 'active'",
            {"post_id": post_id},
        )
    return snapshot_of(found) if found else None


def keep(post_id: int, key: str, prepared: dict[str, Any], *, ask_again_in: timedelta | None) -> bool:
    """Keep what was prepared for this very content; `ask_again_in` None: it is ready.  False: the post is gone on.

    Two at once (an attempt and the preparing): the last one stays; either is usable.
    """
    with single_statement():
        return bool(
            row(
                "update post_instance set prepared = %(prepared)s, prepared_key = %(key)s,"
                " prepare_at = now() + %(again)s::interval, dispatched_for = null"
                " where id = %(id)s and status = 'Scheduled' returning id",
                {"id": post_id, "key": key, "prepared": json.dumps(prepared), "again": ask_again_in},
            )
        )


def postpone(post_id: int, delay: timedelta) -> None:
    """Prepare later: there is no thread for it now, or the platform is in trouble."""
    with single_statement():
        row(
            "update post_instance set prepare_at = now() + %(delay)s where id = %(id)s and prepare_at is not null"
            " returning id",
            {"id": post_id, "delay": delay},
        )


def give_up(post_id: int, problem: str) -> None:
    """Prepare no more: the attempt at the due time says what becomes of it.  The problem is shown until then."""
    with single_statement():
        row(
            "update post_instance set prepare_at = null, last_error = %(problem)s, dispatched_for = null"
            " where id = %(id)s and status = 'Scheduled' returning id",
            {"id": post_id, "problem": problem},
        )
