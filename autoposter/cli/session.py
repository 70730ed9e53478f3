"""Where a command finds its settings and its database."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pydantic import SecretStr

from autoposter.database import connect_to, out_of_reach_in_one_sentence
from autoposter.errors import WrongUsage
from autoposter.local import secret_key_of, urls_of
from autoposter.media import MediaShelf
from autoposter.migrations import require_current_schema
from autoposter.settings import Settings, load_settings


def settings() -> Settings:
    """The settings, completed by the `autoposter up` that runs in this folder."""
    return _completed(load_settings(), Path.cwd())


@contextmanager
def database(*, migrated: bool = True) -> Iterator[Settings]:
    """Connect to the database of the settings, or of the `autoposter up` that runs in this folder.

    `migrated`: refuse a schema that is not this version's.
    """
    found = settings()
    if found.database_url is None:
        raise WrongUsage("No database: set AUTOPOSTER_DATABASE_URL, or start `autoposter up` in this folder.")
    connect_to(found.database_url.get_secret_value())
    with out_of_reach_in_one_sentence():
        if migrated:
            require_current_schema()
        yield found


def shelf(settings: Settings) -> MediaShelf:
    """Where the media of these settings lie."""
    return MediaShelf(settings.media_root, settings.media_base_url, settings.media_allow)


def _completed(settings: Settings, folder: Path) -> Settings:
    """What the environment leaves open, as the `up` that runs in this folder has it."""
    running = urls_of(folder)
    if running is None:
        return settings
    found = {}
    if settings.database_url is None and running.database_url:
        found["database_url"] = SecretStr(running.database_url)
    if settings.redis_url is None and running.redis_url:
        found["redis_url"] = SecretStr(running.redis_url)
    if not settings.secret_keys and (key := secret_key_of(folder)):
        return settings.model_copy(update=found | {"secret_keys": (SecretStr(key),)})
    return settings.model_copy(update=found)
