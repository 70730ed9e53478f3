"""The contract between autoposter and the code that talks to one platform."""

from __future__ import annotations

import reprlib
from abc import ABC, abstractmethod
from collections.abc import Iterable
from datetime import date, timedelta
from typing import Any, ClassVar

import httpx2
from pydantic import BaseModel, ConfigDict

from autoposter.lifecycle import Delivery
from autoposter.publishers.pictures import PictureLimits
from autoposter.publishers.values import Account, AccountCheck, Choice, Post, Receipt, Refreshed
from autoposter.redaction import MASK

__all__ = ["Delivery", "Nothing", "Publisher", "overrides", "reasons"]


class Nothing(BaseModel):
    """No fields at all; anything given is refused by name."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Publisher(ABC):
    """Publishes on one platform.  One instance serves one attempt, in one thread."""

    platform: ClassVar[str]
    """The platform's name in lower_snake_case: `facebook`.  Required."""
    delivery: ClassVar[Delivery]
    """Required."""
    Credentials: ClassVar[type[BaseModel]] = Nothing
    """What must stay secret, each field a `SecretStr`.  Drives `accounts add`."""
    Settings: ClassVar[type[BaseModel]] = Nothing
    """What is not secret: page id, API address."""
    Options: ClassVar[type[BaseModel]] = Nothing
    """The type of `content_item.options[platform]`."""
    setup: ClassVar[str] = ""
    """What a person does at the platform first, for example where a token is made; `accounts add` prints it.

    What one field takes is said by its `Field(description=...)`, which is shown where it is asked for.
    """
    pictures: ClassVar[PictureLimits | None] = None
    """Which pictures the platform takes; the core names those that it does not.  None: `validate` says all."""
    api_ends: ClassVar[date | None] = None
    """When the platform ends the version of its API that is used by default; `doctor` warns of it.  None: not known."""
    publish_timeout: ClassVar[timedelta] = timedelta(seconds=30)
    """The whole deadline of the irreversible request."""
    find_after: ClassVar[timedelta] = timedelta(seconds=60)
    """How long after the call `find`'s "not there" can be trusted."""
    key_lasts: ClassVar[timedelta | None] = None
    """KEYED: how long the platform remembers a key; None: for ever."""
    prepare_ahead: ClassVar[timedelta] = timedelta(0)
    """How long before the due time `prepare` may start."""
    prepare_timeout: ClassVar[timedelta] = timedelta(minutes=30)

    def __init_subclass__(cls, **arguments: Any) -> None:
        super().__init_subclass__(**arguments)
        if isinstance(cls.Credentials, type) and issubclass(cls.Credentials, BaseModel):
            # A plain `str` among the credentials must not show either, wherever somebody prints them.
            setattr(cls.Credentials, "__repr_args__", _names_only)  # noqa: B010

    def __init__(self, account: Account, http: httpx2.Client) -> None:
        self.account = account
        self.http = http

    def validate(self, post: Post) -> Iterable[str]:
        """Every reason the platform would refuse this post, one sentence each.  Pure: no I/O.

        Asked without credentials too, when a post is scheduled: `self.account.credentials` has no fields then.
        """
        return ()

    def prepare(self, post: Post, prepared: dict[str, Any]) -> dict[str, Any]:
        """Upload what can be uploaded ahead.  Publishes nothing, and may be repeated.

        `prepared` is what it returned or stored last time, `{}` at first.  What it returns is JSON without secrets.
        Raises NotReady while the platform still works on it.
        """
        return prepared

    @abstractmethod
    def publish(self, post: Post, prepared: dict[str, Any]) -> Receipt:
        """Make the one irreversible call.  Raises one of `autoposter.publishers`' errors for a refusal it knows."""

    def find(self, post: Post, prepared: dict[str, Any]) -> Receipt | None:
        """The receipt of an attempt whose answer was lost, or None if nothing went out.  Required if FINDABLE.

        Raises OutcomeUnknown where two posts fit, and ContentRejected where it was taken and then refused.
        """
        raise NotImplementedError(f"{type(self).__name__} cannot look for posts.")

    def pause(self) -> timedelta | None:
        """How long to leave the platform alone because its limits are nearly used up; None: go on.

        Asked when this instance has done its work, and answered from what it has heard by then (headers that tell the
        usage), without a request.  The account's posts wait meanwhile, an hour at most, although nothing was refused.
        """
        return None

    def choices(self) -> Iterable[Choice]:
        """The accounts that the credentials given lead to, for a person to choose from: the pages of a user's token.

        Asked when an account is connected, before `check`.  `self.account.settings` holds what was given so far: a
        required setting that a choice brings is not there yet.  None: these are one account's own credentials.
        Raises as `check` does.
        """
        return ()

    def check(self) -> AccountCheck:
        """Whose token this is, and whether it works."""
        raise NotImplementedError(f"{type(self).__name__} cannot check its account.")

    def refresh(self) -> Refreshed | None:
        """New credentials before the old ones expire; None where the platform has no such thing.

        Called by one worker at a time; what it returns is stored before it is used.  A field that the platform leaves
        out, or leaves empty, keeps its stored value.
        """
        return None


def _names_only(credentials: BaseModel) -> list[tuple[str, str]]:
    return [(name, MASK) for name in type(credentials).model_fields]


def overrides(publisher: type[Publisher], method: str) -> bool:
    """Whether a publisher brings an optional method (`find`, `check`, ...) of its own."""
    return getattr(publisher, method) is not getattr(Publisher, method)


def reasons(publisher: Publisher, post: Post) -> Iterable[str]:
    """Every reason to refuse a post: the pictures that its platform does not take, and what `validate` says.

    Raises what that raises, and TypeError where it cannot be sentences: the letters of one text are none.
    """
    if publisher.pictures:
        yield from publisher.pictures.problems(post.media)
    said: object = publisher.validate(post)
    if isinstance(said, str | bytes) or not isinstance(said, Iterable):
        what = "one text" if isinstance(said, str | bytes) else reprlib.repr(said)
        raise TypeError(f"validate() must return sentences, and returned {what}")
    yield from said
