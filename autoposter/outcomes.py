"""What a publisher said or raised, as the core's outcomes.  Texts are made safe here: no secret, no endless answer."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Collection
from datetime import timedelta

import httpx2

from autoposter.lifecycle import Confirmed, ErrorKind, Refused, Unknown
from autoposter.publishers import (
    AccountRejected,
    ContentRejected,
    OutcomeUnknown,
    PublishError,
    RateLimited,
    Receipt,
    Transient,
)
from autoposter.publishers.texts import clean, without_queries

log = logging.getLogger(__name__)


def confirmed(answer: object, secrets: Collection[str]) -> Confirmed:
    """The receipt that `publish` or `find` returned.  Raises TypeError for anything that is none."""
    if not isinstance(answer, Receipt):
        raise TypeError(f"a Receipt was expected, and it returned {type(answer).__name__}")
    given: object = answer.platform_post_id
    if given is not None and not isinstance(given, str):
        raise TypeError(f"the platform_post_id of its Receipt is {type(given).__name__}, and must be str")
    platform_post_id = clean(given or "", secrets, limit=500).strip()
    if not platform_post_id:
        raise TypeError("its Receipt has no platform_post_id")
    permalink = answer.permalink
    return Confirmed(platform_post_id, clean(permalink, secrets) if isinstance(permalink, str) and permalink else None)


def declared(error: PublishError, secrets: Collection[str]) -> Refused | Unknown:
    """What a publisher declared by raising one of the contract's errors."""
    message = words_of(error, secrets)
    match error:
        case Transient():
            return Refused(ErrorKind.TRANSIENT, message, _retry_after(error))
        case RateLimited():
            return Refused(ErrorKind.RATE_LIMITED, message, _retry_after(error))
        case AccountRejected():
            return Refused(ErrorKind.ACCOUNT, message)
        case ContentRejected():
            return Refused(ErrorKind.CONTENT, message)
        case OutcomeUnknown():
            return Unknown(message)
    return Unknown(f"{type(error).__name__}: {message}")


def words_of(error: PublishError, secrets: Collection[str]) -> str:
    """What a declared error says."""
    return clean(_said_of(error, "message", otherwise=error), secrets)


def _retry_after(error: PublishError) -> timedelta | None:
    retry_after = _said_of(error, "retry_after", otherwise=None)
    return retry_after if isinstance(retry_after, timedelta) else None


def _said_of(error: PublishError, name: str, *, otherwise: object) -> object:
    """A subclass may have forgotten to call the contract's constructor, or fail when it is asked."""
    try:
        return getattr(error, name, otherwise)
    except Exception:
        return otherwise


def before_the_call(error: BaseException, secrets: Collection[str]) -> Refused:
    """What an error means where nothing can have been published: in `validate`, `prepare`, or `find` before sending."""
    if isinstance(error, PublishError):
        said = declared(error, secrets)
        return said if isinstance(said, Refused) else Refused(ErrorKind.TRANSIENT, said.message)
    if isinstance(error, httpx2.TransportError) or (
        isinstance(error, httpx2.HTTPStatusError) and error.response.status_code >= 500
    ):
        return Refused(ErrorKind.TRANSIENT, trouble(error, secrets))
    return Refused(ErrorKind.BUG, trouble(error, secrets))


def trouble(error: BaseException, secrets: Collection[str]) -> str:
    """An undeclared error in one line."""
    said = without_queries(clean(error, secrets))
    return f"{type(error).__name__}: {said}" if said else type(error).__name__


def log_trace(error: BaseException, secrets: Collection[str], message: str, *arguments: object) -> None:
    """Log an error with its whole stack trace, secrets masked.

    Of a lost answer or an HTTP error, which publishers let rise, one line says all: its trace is for DEBUG.
    """
    trace = without_queries(clean("".join(traceback.format_exception(error)), secrets, limit=20_000))
    if isinstance(error, httpx2.TransportError | httpx2.HTTPStatusError):
        log.warning(message + ": %s", *arguments, trouble(error, secrets))
        log.debug("%s", trace.rstrip())
    else:
        log.error(message + "\n%s", *arguments, trace.rstrip())
