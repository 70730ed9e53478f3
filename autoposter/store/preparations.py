"""What `prepare` has got ready ahead of the due time: a cache in the post's row, whose loss costs lateness only.

`prepare_at` says when to prepare or to ask again; null: nothing is to be done.  `prepared_key` names the content that
`prepared` was made for; triggers forget it when that content changes, and nothing that was made for other content is
written afterwards.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from datetime import timedelta
from typing import Any

from autoposter.database import execute, row, rows, single_statement, transaction
from autoposter.store import BRIEFLY, DUE
from autoposter.store.snapshots import READ, Snapshot, snapshot_of

#: Preparations of one scan.
BATCH = 200

#: A preparation that was dispatched, or of which its process last gave a sign of life, is not dispatched again for so
#: long.
PAUSE = timedelta(seconds=30)

#: So long what was prepared waits for another program that holds the post's row.
LOCK_TIMEOUT = "2s"

#: A post is asked after at the latest so long before it is due, whatever its platform said: it may be ready by then.
LAST_QUESTION = timedelta(seconds=10)

#: When to ask again about a post (`p`): null for no delay.
ASK_AGAIN = """case when %(delay)s::interval is not null then
                least(now() + %(delay)s,
                      case when p.due_at > now() + %(last_question)s then p.due_at - %(last_question)s end) end"""


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
                f"""
                with due as (
                    select p.id from post_instance p join channel_account a on a.id = p.channel_account_id
                     where p.prepare_at <= now() and {DUE} and a.status = 'active'
                     order by p.prepare_at limit %(limit)s
                       for update of p skip locked
                )
                update post_instance p set prepare_at = now() + %(pause)s from due where p.id = due.id
                returning p.id""",
                {"limit": limit, "pause": PAUSE},
            )
        ]


def renew(post_ids: Collection[int]) -> None:
    """Keep others from preparing these posts too: they are still at it here.

    The scan makes this move, and waits for nobody: a row that another program holds is renewed the next time.
    """
    with single_statement():
        execute(
            """
            with ours as (
                select id from post_instance
                 where id = any(%(ids)s) and prepare_at < now() + %(pause)s * 2 / 3
                   for update skip locked
            )
            update post_instance p set prepare_at = now() + %(pause)s from ours where p.id = ours.id""",
            {"ids": list(post_ids), "pause": PAUSE},
        )


def read(post_id: int) -> Snapshot | None:
    """The post as it stands now, to prepare it.  None: it is not to be prepared (any more)."""
    with single_statement():
        found = row(
            f"{READ} where p.id = %(post_id)s and {DUE} and p.prepare_at is not null and a.status = 'active'",
            {"post_id": post_id},
        )
    return snapshot_of(found) if found else None


def keep(snapshot: Snapshot, prepared: dict[str, Any], *, ask_again_in: timedelta | None) -> bool:
    """Keep what was prepared for this very content; `ask_again_in` None: it is ready.  False: it is for nothing.

    Two at once (an attempt and the preparing): the last one stays; either is usable.  An edit meanwhile: before, this
    finds other content, and its preparing begins anew; afterwards, a trigger forgets what is kept here.
    """
    with transaction():
        return _still_says(snapshot) and bool(
            row(
                f"update post_instance p set prepared = %(prepared)s, prepared_key = %(key)s, prepare_at = {ASK_AGAIN},"
                " dispatched_for = null where id = %(id)s and status = 'Scheduled' returning id",
                {
                    "id": snapshot.post_id,
                    "key": snapshot.idempotency_key,
                    "prepared": json.dumps(prepared),
                    "delay": ask_again_in,
                    "last_question": LAST_QUESTION,
                },
            )
        )


def _still_says(snapshot: Snapshot) -> bool:
    """Lock the post, and look whether it still says the same, on the same account."""
    post = {"id": snapshot.post_id}
    lock = f"set local lock_timeout = '{LOCK_TIMEOUT}'; select id from post_instance where id = %(id)s for update"
    if row(lock, post) is None:
        return False
    found = row(f"{READ} where p.id = %(id)s", post)  # a statement of its own, to see what the lock had to wait for
    if found is None:
        return False
    now = snapshot_of(found)
    return (now.idempotency_key, now.account.id) == (snapshot.idempotency_key, snapshot.account.id)


def postpone(post_id: int, delay: timedelta) -> None:
    """Prepare later: the platform is in trouble."""
    with single_statement():
        row(
            f"{BRIEFLY} update post_instance p set prepare_at = {ASK_AGAIN}"
            " where id = %(id)s and prepare_at is not null returning id",
            {"id": post_id, "delay": delay, "last_question": LAST_QUESTION},
        )


def give_up(snapshot: Snapshot, problem: str) -> None:
    """Prepare this content no more: the attempt at the due time says what becomes of it.  Until then it is shown."""
    with transaction():
        if _still_says(snapshot):
            execute(
                "update post_instance set prepare_at = null, prepared_key = %(key)s, last_error = %(problem)s,"
                " dispatched_for = null where id = %(id)s and status = 'Scheduled'",
                {"id": snapshot.post_id, "key": snapshot.idempotency_key, "problem": problem},
            )


def set_aside(post_id: int, problem: str) -> None:
    """Not now: what stands in its rows is in the way.  The minute scan begins anew, in case it is mended by then."""
    with single_statement():
        execute(
            f"{BRIEFLY} update post_instance set prepare_at = null, last_error = %(problem)s, dispatched_for = null"
            " where id = %(id)s and status = 'Scheduled'",
            {"id": post_id, "problem": problem},
        )
