"""What a publisher is handed, and what it hands back.  All times are timezone-aware UTC."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, BinaryIO, Literal

from pydantic import BaseModel


@dataclass(frozen=True, slots=True)
class Account:
    """One connected account on the platform."""

    id: int
    name: str
    external_id: str | None
    """The account's id on the platform, where known."""
    settings: BaseModel
    """An instance of the publisher's `Settings`."""
    credentials: BaseModel = field(repr=False)
    """An instance of the publisher's `Credentials`."""


@dataclass(frozen=True, slots=True)
class Media:
    """One picture or video.  What could not be found out is None."""

    kind: Literal["image", "video"]
    alt_text: str
    mime_type: str | None
    """By its content.  Before that was looked at, what the post's owner said, or None."""
    size: int | None
    """Bytes."""
    width: int | None
    """Pixels."""
    height: int | None
    """Pixels."""
    duration: timedelta | None
    open: Callable[[], AbstractContextManager[BinaryIO]] = field(repr=False, compare=False)
    """`with media.open() as stream:` reads the bytes from their source, piece by piece."""
    _public_url: Callable[[], str] = field(repr=False, compare=False)

    @property
    def public_url(self) -> str:
        """Where the platform can fetch it by itself.

        Raises ContentRejected where there is no such address.
        """
        return self._public_url()


@dataclass(frozen=True, slots=True)
class Post:
    """What to publish: the snapshot taken when the attempt began."""

    id: int
    caption: str
    link: str | None
    media: tuple[Media, ...]
    options: BaseModel
    """An instance of the publisher's `Options`, from `content_item.options[platform]`."""
    scheduled_for: datetime
    attempted_at: datetime | None
    """When the first attempt promised its call; None before.  `find` need not look further back."""
    idempotency_key: str
    """Equal content of the same post has an equal key, whoever tries again."""


@dataclass(frozen=True, slots=True)
class Receipt:
    """What the platform answered to a published post."""

    platform_post_id: str
    permalink: str | None = None


@dataclass(frozen=True, slots=True)
class AccountCheck:
    """Whose token it is, and whether it works."""

    ok: bool
    external_id: str | None = None
    name: str | None = None
    expires_at: datetime | None = None
    problem: str | None = None
    """What is wrong, in one sentence for a person."""


@dataclass(frozen=True, slots=True)
class Refreshed:
    """New credentials, and when they expire (None: not known, or never)."""

    credentials: BaseModel = field(repr=False)
    expires_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Choice:
    """One of the accounts that the credentials a person gave lead to."""

    name: str
    """What the platform calls it."""
    settings: Mapping[str, Any]
    """The `Settings` that tell it from the others: `{"page_id": "123"}`."""
    credentials: BaseModel = field(repr=False)
    """An instance of `Credentials`: those of this very account."""
