"""What a publisher class must say of itself, and what is wrong with one that does not."""

from __future__ import annotations

import inspect
import re
import reprlib
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from typing import TypeGuard

from pydantic import BaseModel

from autoposter.publishers.base import Delivery, Publisher, overrides
from autoposter.publishers.pictures import PictureLimits

#: Longer times are a mistake.  `scheduled_for` ends with the year 9998, so that adding one of these never overflows.
LONGEST = timedelta(days=365)

#: Times that must be longer than nothing.
POSITIVE = ("publish_timeout", "prepare_timeout", "key_lasts")
#: Times that may be nothing.
NOT_NEGATIVE = ("find_after", "prepare_ahead")

MODELS = ("Credentials", "Settings", "Options")
METHODS = ("validate", "prepare", "publish", "find", "pause", "choices", "check", "refresh")


def faults(publisher: object) -> Iterator[str]:
    """Everything that is wrong with a publisher's declaration, one phrase each; none: it can be used."""
    if not (isinstance(publisher, type) and issubclass(publisher, Publisher)):
        yield f"{reprlib.repr(publisher)} is no subclass of autoposter.publishers.Publisher"
        return
    for fault in _faults(publisher):
        yield f"{publisher.__qualname__}: {fault}"


def _faults(publisher: type[Publisher]) -> Iterator[str]:
    if not is_platform(getattr(publisher, "platform", None)):
        yield "`platform` must be a name in lower_snake_case, such as 'facebook'"
    yield from _wrong_delivery(publisher)
    for name in MODELS:
        model = getattr(publisher, name)
        if not (isinstance(model, type) and issubclass(model, BaseModel)):
            yield f"`{name}` must be a subclass of pydantic.BaseModel"
    if not isinstance(publisher.setup, str):
        yield "`setup` must be a text"
    if not isinstance(publisher.api_ends, date | None) or isinstance(publisher.api_ends, datetime):
        yield "`api_ends` must be a date"
    for name in POSITIVE + NOT_NEGATIVE:
        yield from _wrong_time(name, getattr(publisher, name))
    yield from _wrong_pictures(publisher.pictures)
    yield from _wrong_methods(publisher)


def is_platform(name: object) -> TypeGuard[str]:
    """Whether it can be the name of a platform: lower_snake_case."""
    return isinstance(name, str) and re.fullmatch(r"[a-z][a-z0-9]*(_[a-z0-9]+)*", name) is not None


def _wrong_delivery(publisher: type[Publisher]) -> Iterator[str]:
    delivery = getattr(publisher, "delivery", None)
    if not isinstance(delivery, Delivery):
        yield "`delivery` must be Delivery.KEYED, Delivery.FINDABLE or Delivery.BLIND"
    elif delivery is Delivery.FINDABLE and not overrides(publisher, "find"):
        yield "it is FINDABLE, so it needs a `find` of its own"


def _wrong_time(name: str, value: object) -> Iterator[str]:
    if value is None and name == "key_lasts":
        return  # for ever
    if not isinstance(value, timedelta):
        yield f"`{name}` must be a timedelta"
    elif value < timedelta(0) or (value == timedelta(0) and name in POSITIVE):
        yield f"`{name}` must be {'longer than' if name in POSITIVE else 'at least'} timedelta(0)"
    elif value > LONGEST:
        yield f"`{name}` must be at most {LONGEST.days} days"


def _wrong_pictures(limits: object) -> Iterator[str]:
    if limits is None:
        return
    if not isinstance(limits, PictureLimits):
        yield "`pictures` must be a PictureLimits"
    elif not (isinstance(limits.formats, tuple) and limits.formats and all("/" in str(one) for one in limits.formats)):
        yield "`pictures.formats` must be a tuple of MIME types, such as ('image/jpeg',)"


def _wrong_methods(publisher: type[Publisher]) -> Iterator[str]:
    for name in sorted(publisher.__abstractmethods__):
        yield f"`{name}` is not implemented"
    for name in METHODS:
        method = getattr(publisher, name)
        if not callable(method) or inspect.iscoroutinefunction(method):
            yield f"`{name}` must be a plain method, not async"
