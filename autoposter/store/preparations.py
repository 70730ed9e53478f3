"""What `prepare` has got ready ahead of the due time: a cache in the post's row, whose loss costs lateness only.

`prepare_at` says when to prepare or to ask again; null: nothing is to be done.  `prepared_key` names the content that
`prepared` is made for, from the moment when that begins; triggers forget it when that content changes, and nothing that
was made for other content is written afterwards.

A post whose preparing has not begun when it is dispatched is prepared by its attempt: either `start` finds it
dispatched, or the scan finds it begun.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from datetime import timedelta
from typing import Any

from autoposter.database import execute, row, rows, single_statement, transaction
from autoposter.store import ALL, BRIEFLY, DUE, NOT_DISPATCHED, ONE_OF_THEM, Which
from autoposter.store.snapshots import READ, Snapshot, snapshot_of

#: A preparation that was dispatched, or of which its process last gave a sign of life, is not dispatched again for so
#: long.
PAUSE = timedelta(seconds=30)

#: So long it waits for another program that holds the post's row.
LOCK_TIMEOUT = "2s"

#: A post is asked after at the latest so long before it is due, whatever its platform said: it may be ready by then ...
EARLY = timedelta(seconds=10)

#: ... and, where its platform is still at work, so long before: a scan has to find it, and another one to dispatch it.
#: Once it is due it is asked after again when it is late by a quarter more, and not sooner than after this: what gets
#: ready late goes out soon after, and what stays unready for long is asked after seldom (26 times in half an hour).
SOON = timedelta(seconds=3)

#: SQL: when to ask again about a post (`p`) that its platform is at work on.
ASK_AGAIN = """least(now() + %(delay)s, case
                    when p.due_at > now() + %(early)s then p.due_at - %(early)s
                    when p.due_at > now() + %(soon)s then p.due_at - %(soon)s
                    else now() + greatest(%(soon)s, (now() - p.due_at) / 4) end)"""


_TO_BEGIN = f"""
                select p.id from post_instance p join channel_account a on a.id = p.channel_account_id
                 where {DUE} and p.due_at > now() and p.due_at <= now() + %(window)s
                   and {ONE_OF_THEM}
                   and p.prepared_key is null and p.prepare_at is null and {NOT_DISPATCHED}
                   and a.platform = %(platform)s and a.status = 'active'
                 order by p.due_at limit %(limit)s
                   for update of p skip locked"""


def begin(which: Which = ALL, *, ahead: Mapping[str, timedelta], limit: int = 1000) -> list[int]:
    """Let the posts that fall due within their platform's `prepare_ahead` be prepared; returns which.

    Two at once: the second finds `prepare_at` set.
    """
    return _of_each_platform(
        f"""
        with soon as ({_TO_BEGIN})
        update post_instance p set prepare_at = now() from soon where p.id = soon.id returning p.id""",
        which,
        ahead,
        limit,
    )


def find_to_begin(which: Which, *, ahead: Mapping[str, timedelta], limit: int = 1000) -> list[int]:
    """The posts that `begin` would let be prepared."""
    return _of_each_platform(_TO_BEGIN, which, ahead, limit)


def _of_each_platform(sql: str, which: Which, ahead: Mapping[str, timedelta], limit: int) -> list[int]:
    found: list[int] = []
    for platform, window in ahead.items():
        with single_statement():
            values = {**which.parameters, "platform": platform, "window": window, "limit": limit}
            found += [int(each["id"]) for each in rows(sql, values)]
    return found


# Not joined: without fresh statistics all posts of the accounts were read, to find those to prepare.
_TO_PREPARE = f"""
                select p.id from post_instance p
                 where p.prepare_at <= now() and {DUE} and {NOT_DISPATCHED}
                   and {ONE_OF_THEM}
                   and (select a.status from channel_account a where a.id = p.channel_account_id) = 'active'
                 order by case when p.due_at <= now() + %(early)s then 1 when p.prepared_key is null then 2 else 3 end,
                          p.due_at limit %(limit)s
                   for update of p skip locked"""


def mark(which: Which = ALL, *, limit: int) -> list[int]:
    """Some posts to prepare, or to ask the platform about, now; each is not found again for half a minute.

    What is due, or nearly, goes first; then what has not begun, for its platform may have to work on it for long; then
    what it works on already; among each of them what falls due first.  Two at once: the second skips what the first has
    locked.
    """
    with single_statement():
        found = rows(
            f"""
            with due as ({_TO_PREPARE})
            update post_instance p set prepare_at = now() + %(pause)s from due where p.id = due.id returning p.id""",
            {**which.parameters, "limit": limit, "pause": PAUSE, "early": EARLY},
        )
    return [int(each["id"]) for each in found]


def find(which: Which, *, limit: int) -> list[int]:
    """The posts that `mark` would mark."""
    with single_statement():
        found = rows(_TO_PREPARE, {**which.parameters, "limit": limit, "early": EARLY})
    return [int(each["id"]) for each in found]


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


def start(post_id: int) -> Snapshot | None:
    """The post as it stands now, to prepare it, and noted as begun.  None: it is not to be prepared here (any more).

    Against the scan that dispatches it: whichever locks the row first; the other finds it begun, or dispatched.
    """
    with transaction():
        found = row(
            f"""
            set local lock_timeout = '{LOCK_TIMEOUT}';
            select from post_instance where id = %(post_id)s for update;
            {READ} where p.id = %(post_id)s and {DUE} and {NOT_DISPATCHED}
                     and p.prepare_at is not null and a.status = 'active'""",
            {"post_id": post_id},
        )
        if found is None:
            return None
        snapshot = snapshot_of(found)
        if found["prepared_key"] is None:
            execute(
                "update post_instance set prepared_key = %(key)s where id = %(id)s",
                {"id": post_id, "key": snapshot.idempotency_key},
            )
    return snapshot


def keep(snapshot: Snapshot, prepared: dict[str, Any], *, ask_again_in: timedelta | None) -> bool:
    """Keep what was prepared for this very content; `ask_again_in` None: it is ready.  False: it is for nothing.

    Two at once (an attempt and the preparing): the last one stays; either is usable.  An edit meanwhile: before, this
    finds other content, and its preparing begins anew; afterwards, a trigger forgets what is kept here.
    """
    with transaction():
        return _still_says(snapshot) and bool(
            row(
                "update post_instance p set prepared = %(prepared)s, prepared_key = %(key)s, dispatched_for = null,"
                f" prepare_at = case when %(delay)s::interval is not null then {ASK_AGAIN} end"
                " where id = %(id)s and status = 'Scheduled' returning id",
                {
                    "id": snapshot.post_id,
                    "key": snapshot.idempotency_key,
                    "prepared": json.dumps(prepared),
                    "delay": ask_again_in,
                    "early": EARLY,
                    "soon": SOON,
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
    """Prepare later: the platform is in trouble, and is asked once more before the post is due."""
    with single_statement():
        row(
            f"{BRIEFLY} update post_instance p set prepare_at ="
            " least(now() + %(delay)s, case when p.due_at > now() + %(early)s then p.due_at - %(early)s end)"
            " where id = %(id)s and prepare_at is not null returning id",
            {"id": post_id, "delay": delay, "early": EARLY},
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
            f"{BRIEFLY} update post_instance set prepare_at = null, last_error = %(problem)s, dispatched_for = null,"
            " prepared_key = case when prepared is not null then prepared_key end"
            " where id = %(id)s and status = 'Scheduled'",
            {"id": post_id, "problem": problem},
        )
