"""autoposter publishes scheduled social-media posts when they are due.

For applications: `schedule`, `cancel`, `reschedule` and `status`.  For plugins: `hookimpl`.  Importing this is cheap;
what the functions need is imported at their first call.

Without a `connection` the functions use the database of AUTOPOSTER_DATABASE_URL, each call in a transaction of its own.
With one (psycopg2's) everything happens in that connection's transaction, which is neither committed nor rolled back:
a post is scheduled when the caller commits, together with the caller's own rows.  What goes wrong is raised as an
`autoposter.errors.AutoposterError` with one sentence for a person.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache, partial
from typing import TYPE_CHECKING, Any

from autoposter.hookspecs import hookimpl

if TYPE_CHECKING:
    from datetime import datetime

    from psycopg2.extensions import connection as Connection

    from autoposter.plugins import Host
    from autoposter.settings import Settings
    from autoposter.store.reports import PostInfo

__all__ = ["cancel", "hookimpl", "reschedule", "schedule", "status"]


def schedule(
    caption: str,
    *,
    account: int | str,
    at: datetime,
    link: str | None = None,
    media: Iterable[str | tuple[str, str | None]] = (),
    options: Mapping[str, Mapping[str, Any]] | None = None,
    reference: str | None = None,
    connection: Connection | None = None,
) -> int:
    """Schedule a post; its id.

    `account`: its id, its name, or `platform:name` where two platforms have the name.  `at`: with a time zone; a time
    that has passed means now, and one longer past than AUTOPOSTER_MAX_LATENESS is never published.  `media`: paths
    below the media root or https addresses, each alone or with its description (alt text).  `options`: by platform.
    `reference`: your own key for the post.  If a post has it already, that post's id is returned and nothing is
    written or changed, whatever else is asked for; so a repeated call schedules nothing twice.  What the platform
    would refuse is refused here, as far as its plugin is installed here and can know it.
    """
    from autoposter import accounts, scheduling
    from autoposter.media import MediaShelf
    from autoposter.validating import refuse_media, refuse_problems

    with _database(connection) as settings:
        shelf = MediaShelf(settings.media_root, settings.media_base_url, settings.media_allow)
        content = scheduling.content_of(
            caption, link=link, media=media, options=options, media_root=settings.media_root
        )
        on = accounts.show(account)
        check = partial(refuse_problems, host=_host(settings.plugins), shelf=shelf)
        check_media = partial(refuse_media, shelf=shelf)
        return scheduling.schedule(
            content, [on.id], at=at, reference=reference, check_media=check_media, check=check
        ).post_ids[0]


def cancel(post: int | str, *, connection: Connection | None = None) -> bool:
    """Keep a post (its id, or its reference) from being published.  False: it is not `Scheduled` or `Draft` any more.

    One that is being published right now is switched off, so that it is not tried again if this attempt fails.
    """
    from autoposter import scheduling

    with _database(connection):
        [verdict] = scheduling.cancel([scheduling.post_of(post)])
        if verdict.status is None:
            raise scheduling.no_such_post(verdict.post_id)
        return verdict.moved


def reschedule(post: int | str, *, at: datetime, connection: Connection | None = None) -> bool:
    """Move a post (its id, or its reference) to another time.  False: it is not `Scheduled` or `Draft` any more."""
    from autoposter import scheduling

    with _database(connection):
        [verdict] = scheduling.reschedule([scheduling.post_of(post)], at)
        if verdict.status is None:
            raise scheduling.no_such_post(verdict.post_id)
        return verdict.moved


def status(post: int | str, *, connection: Connection | None = None) -> PostInfo:
    """A post (its id, or its reference) as it stands: `status`, `posted_at`, `permalink`, `last_error` and more."""
    from autoposter import scheduling

    with _database(connection):
        return scheduling.status(scheduling.post_of(post))


@cache
def _host(allow: tuple[str, ...] | None) -> Host:
    """The plugins of this process, imported once."""
    from autoposter.plugins import Host

    return Host(allow)


@contextmanager
def _database(connection: Connection | None) -> Iterator[Settings]:
    """The caller's connection, or the database of the settings."""
    from autoposter.database import connect_once, database, out_of_reach_in_one_sentence
    from autoposter.errors import WrongUsage
    from autoposter.migrations import require_current_schema
    from autoposter.settings import load_settings

    settings = load_settings()
    if connection is not None:
        with database.borrow(connection):
            yield settings
        return
    if settings.database_url is None:
        raise WrongUsage("No database: set AUTOPOSTER_DATABASE_URL, or hand over a psycopg2 connection.")
    with out_of_reach_in_one_sentence():
        if connect_once(settings.database_url.get_secret_value()):
            require_current_schema()
        yield settings
