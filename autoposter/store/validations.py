"""Which posts are to be validated ahead of their time, and what is noted of those that would be refused."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from autoposter.database import execute, row, rows, single_statement
from autoposter.store import DUE

#: What `last_error` begins with where a validation wrote it: only that is taken back when the post is mended.
FLAG = "It would be refused: "

#: Rows that a slow transaction commits late are looked at again for so long.
OVERLAP = timedelta(minutes=5)

#: Posts of one minute.
BATCH = 2000


@dataclass(frozen=True, slots=True)
class Changed:
    """Posts to validate, and when they were asked for."""

    post_ids: list[int]
    asked_at: datetime


def changed(*, since: datetime | None, ahead: timedelta) -> Changed:
    """The posts due within `ahead` that are new, changed, or have come into it since then (None: all of them)."""
    with single_statement():
        asked_at: datetime = execute("select now()").fetchone()[0]
        found = rows(
            f"""
            select p.id
              from post_instance p join content_item c on c.id = p.content_item_id
             where {DUE} and p.due_at > now() and p.due_at <= now() + %(ahead)s
               and (%(since)s::timestamptz is null
                    or greatest(p.updated_at, c.updated_at) > %(since)s::timestamptz
                    or p.due_at > %(since)s::timestamptz + %(ahead)s)
             order by p.due_at limit %(limit)s""",
            {"since": since - OVERLAP if since else None, "ahead": ahead, "limit": BATCH},
        )
    return Changed([int(each["id"]) for each in found], asked_at)


def platforms_of_options(post_id: int) -> list[str]:
    """The platforms that the options of a post's content are for."""
    with single_statement():
        found = row(
            "select array(select jsonb_object_keys(c.options)) as names from post_instance p"
            " join content_item c on c.id = p.content_item_id where p.id = %(id)s",
            {"id": post_id},
        )
    return sorted(found["names"]) if found else []


def flag(post_id: int, problem: str) -> bool:
    """Note why a scheduled post would be refused.  False: it is noted already, held by somebody, or has gone on."""
    with single_statement():
        return bool(
            row(
                """
                with free as (
                    select id from post_instance
                     where id = %(id)s and status = 'Scheduled' and last_error is distinct from %(problem)s
                       for update skip locked
                )
                update post_instance p set last_error = %(problem)s from free where p.id = free.id returning p.id""",
                {"id": post_id, "problem": FLAG + problem},
            )
        )


def unflag(post_id: int) -> None:
    """Take back what a validation noted: the post is mended.  One that another program holds keeps it for now."""
    with single_statement():
        execute(
            """
            with free as (
                select id from post_instance
                 where id = %(id)s and status = 'Scheduled' and starts_with(last_error, %(flag)s)
                   for update skip locked
            )
            update post_instance p set last_error = null from free where p.id = free.id""",
            {"id": post_id, "flag": FLAG},
        )
