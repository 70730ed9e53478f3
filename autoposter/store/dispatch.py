"""What the scan finds and marks: posts that are about to be due, unknown outcomes to look at, posts that came too late.

Any number of scans may run at once: `for update skip locked` gives each row to one of them.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from autoposter.database import execute, row, rows, single_statement
from autoposter.store import ALL, DUE, NOT_CLAIMED, NOT_DISPATCHED, NOT_TOO_LATE, ONE_OF_THEM, Which

#: Posts are dispatched at most this long before they are due.  Short, because messages that a broker holds for later
#: are lost with it: after a kill, p99 lateness was 42 s with a horizon of 65 s, 2.8 s with 5 s.
HORIZON = timedelta(seconds=5)

#: A dispatched post that is overdue by this much is dispatched again ...
OVERDUE = timedelta(seconds=2)

#: ... waiting as long as it already waited, this at most: a backlog does not multiply on the broker.
LONGEST_WAIT = timedelta(minutes=5)

#: A post whose preparing has begun is not dispatched before it is ready, unless nobody has asked after it for so long.
PREPARING_GIVEN_UP = timedelta(minutes=1)

#: Posts of one scan, of those due now and of those that came too late, each.
BATCH = 1000

#: Looks of one scan.
LOOKS = 200

#: A look that was dispatched is not dispatched again for so long.
LOOK_PAUSE = timedelta(seconds=5)


@dataclass(frozen=True, slots=True)
class Dispatched:
    """A post that was marked, to be put on the broker."""

    post_id: int
    account_id: int
    due_at: datetime


@dataclass(frozen=True, slots=True)
class TooLate:
    """A post that was ended because it came too late."""

    post_id: int
    job_id: int | None
    """The last attempt that promised a call: the post is `Failed`.  None: there was none, and the post is `Missed`."""


_ON_TIME = f"p.due_at > now() - %(overdue)s and p.due_at <= now() + %(horizon)s and {NOT_DISPATCHED}"

_OVERDUE = f"""p.due_at <= now() - %(overdue)s
           and ({NOT_DISPATCHED}
                or p.dispatched_at < now() - greatest(
                       %(overdue)s, least(p.dispatched_at - p.due_at, %(longest_wait)s)))"""


def mark_on_time(which: Which = ALL, *, max_lateness: timedelta | None, limit: int = BATCH) -> list[Dispatched]:
    """Mark posts that are about to be due, or have just become so, as dispatched; the oldest first.

    Two scans: the second skips the rows that the first has locked, and finds them marked afterwards.
    """
    return _mark(_ON_TIME, which, max_lateness, limit)


def find_on_time(which: Which, *, max_lateness: timedelta | None, limit: int = BATCH) -> list[int]:
    """The posts that `mark_on_time` would mark."""
    return _find(_ON_TIME, which, max_lateness, limit)


def mark_overdue(which: Which = ALL, *, max_lateness: timedelta | None, limit: int) -> list[Dispatched]:
    """Mark posts that are overdue as dispatched, again if need be; the oldest first.  Two scans: as above."""
    return _mark(_OVERDUE, which, max_lateness, limit)


def find_overdue(which: Which, *, max_lateness: timedelta | None, limit: int) -> list[int]:
    """The posts that `mark_overdue` would mark."""
    return _find(_OVERDUE, which, max_lateness, limit)


@dataclass(frozen=True, slots=True)
class Waiting:
    """What there may be for a scan to do."""

    posts: bool
    """Posts that are due or about to be, dispatched or not."""
    near: bool
    """One of them falls due within the horizon, or has just done so."""
    looks: bool
    """Unknown outcomes whose time to look has come."""
    preparations: bool
    """Posts that are to be prepared, or whose platform is to be asked again."""


def what_waits() -> Waiting:
    """Whether there is anything to do, by the first entry of each index: an idle scan is this one statement."""
    with single_statement():
        found = row(
            f"""
            select coalesce(due.first <= now() + %(horizon)s, false) as posts,
                   coalesce(near.first <= now() + %(horizon)s, false) as near,
                   looks.first is not null as looks,
                   preparations.first is not null as preparations
              from (select min(p.due_at) as first from post_instance p where {DUE}) due,
                   (select min(p.due_at) as first from post_instance p
                     where {DUE} and p.due_at > now() - %(overdue)s) near,
                   (select min(look_at) as first from publish_job where status = 'unknown' and look_at <= now()) looks,
                   (select min(p.prepare_at) as first from post_instance p
                     where {DUE} and p.prepare_at <= now()) preparations""",
            {"overdue": OVERDUE, "horizon": HORIZON},
        )
    assert found
    return Waiting(**found)


def _mark(when: str, which: Which, max_lateness: timedelta | None, limit: int) -> list[Dispatched]:
    with single_statement():
        found = rows(
            f"""
            with due as (
                {_found(when)}
            )
            update post_instance p set dispatched_for = p.due_at, dispatched_at = now()
              from due where p.id = due.id
            returning p.id as post_id, p.channel_account_id as account_id, p.due_at""",
            _asked(which, max_lateness, limit),
        )
    return sorted((Dispatched(**each) for each in found), key=lambda each: each.due_at)


def _find(when: str, which: Which, max_lateness: timedelta | None, limit: int) -> list[int]:
    with single_statement():
        return [int(each["id"]) for each in rows(_found(when), _asked(which, max_lateness, limit))]


def _found(when: str) -> str:
    return f"""
                select p.id
                  from post_instance p
                  join channel_account a on a.id = p.channel_account_id
                 where {DUE} and {NOT_TOO_LATE} and {when}
                   and {ONE_OF_THEM}
                   and a.status <> 'disabled'
                   and (p.prepare_at is null or p.prepared_key is null or p.prepare_at < now() - %(given_up)s)
                   and {NOT_CLAIMED}
                 order by p.due_at
                 limit %(limit)s
                   for update of p skip locked"""


def _asked(which: Which, max_lateness: timedelta | None, limit: int) -> dict[str, Any]:
    return {
        **which.parameters,
        "max_lateness": max_lateness,
        "horizon": HORIZON,
        "overdue": OVERDUE,
        "longest_wait": LONGEST_WAIT,
        "given_up": PREPARING_GIVEN_UP,
        "limit": limit,
    }


def take_back(post_ids: Collection[int]) -> None:
    """Forget that these posts were dispatched: their messages did not reach the broker.

    What another program holds is dispatched again when it is overdue: the scan waits for nobody.
    """
    with single_statement():
        execute(
            """
            with free as (
                select id from post_instance where id = any(%(ids)s) and status = 'Scheduled' for update skip locked
            )
            update post_instance p set dispatched_for = null from free where p.id = free.id""",
            {"ids": list(post_ids)},
        )


def forget_hints() -> int:
    """Forget that what is near was dispatched, because its messages are lost; returns how many posts.

    A message that was not lost after all comes twice, and changes nothing.  What is claimed needs none.
    """
    with single_statement():
        return len(
            rows(
                f"""
                with near as (
                    select p.id from post_instance p
                     where {DUE} and p.due_at > now() - %(overdue)s and p.due_at <= now() + %(horizon)s
                       and p.dispatched_for = p.due_at
                       and {NOT_CLAIMED}
                       for update of p skip locked
                )
                update post_instance p set dispatched_for = null from near where p.id = near.id returning p.id""",
                {"overdue": OVERDUE, "horizon": HORIZON},
            )
        )


def mark_looks(limit: int = LOOKS) -> list[int]:
    """The jobs with an unknown outcome whose time to look has come; each is not found again for some seconds."""
    with single_statement():
        return [
            int(found["id"])
            for found in rows(
                """
                with due as (
                    select id from publish_job
                     where status = 'unknown' and look_at <= now() and (lease_until is null or lease_until < now())
                     order by look_at limit %(limit)s
                       for update skip locked
                )
                update publish_job j set look_at = now() + %(pause)s from due where j.id = due.id
                returning j.id""",
                {"limit": limit, "pause": LOOK_PAUSE},
            )
        ]


# Not `max(j.id)`: without statistics PostgreSQL would read all jobs by their ids, from the last one on.
_LATE = f"""
                    select p.id, (select j.id from publish_job j
                                   where j.post_instance_id = p.id and j.intent_at is not null
                                   order by j.attempt desc limit 1) as job_id
                      from post_instance p
                      join channel_account a on a.id = p.channel_account_id
                     where {DUE}
                       and {ONE_OF_THEM}
                       and p.due_at <= now()
                       and p.scheduled_for <= now() - %(max_lateness)s
                       and a.status <> 'disabled'
                       and not exists (select from publish_job j where j.post_instance_id = p.id
                                          and j.status in ('running', 'unknown', 'completed'))
                     order by p.due_at limit %(limit)s
                       for update of p skip locked"""


def end_missed(which: Which = ALL, *, max_lateness: timedelta, limit: int = BATCH) -> list[TooLate]:
    """End posts that are later than `max_lateness`: `Missed`, or `Failed` if an attempt ever promised a call.

    Planned slots, switched-off posts and those of disabled accounts are left alone, and what is being attempted.
    """
    with single_statement():
        return [
            TooLate(**found)
            for found in rows(
                f"""
                with late as (
                    {_LATE}
                )
                update post_instance p
                   set status = case when late.job_id is null then 'Missed' else 'Failed' end,
                       last_error = coalesce(p.last_error, 'It was not published within AUTOPOSTER_MAX_LATENESS.'),
                       retry_at = null
                  from late where p.id = late.id and p.status = 'Scheduled'
                returning p.id as post_id, late.job_id""",
                {**which.parameters, "max_lateness": max_lateness, "limit": limit},
            )
        ]


def find_missed(which: Which, *, max_lateness: timedelta, limit: int = BATCH) -> list[int]:
    """The posts that `end_missed` would end."""
    with single_statement():
        found = rows(_LATE, {**which.parameters, "max_lateness": max_lateness, "limit": limit})
    return [int(each["id"]) for each in found]
