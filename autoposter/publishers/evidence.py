"""What is kept of an attempt's calls, for the person who must find out later what happened.  No secret is in it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any

import httpx2

from autoposter.clock import Stopwatch
from autoposter.redaction import Mask

#: How many calls are kept: the last ones, and always the irreversible one.
KEPT_CALLS = 50

#: Longer texts are cut, in characters.
LONGEST_TEXT = 300

#: Where platforms write the name by which their support finds a call.  The first that is there is kept.
REQUEST_ID_HEADERS = (
    "x-request-id",
    "x-fb-request-id",
    "x-fb-trace-id",
    "x-li-uuid",
    "x-tt-logid",
    "x-transaction-id",
    "x-amzn-requestid",
    "x-correlation-id",
    "x-guploader-uploadid",
    "cf-ray",
)


@dataclass(slots=True)
class Call:
    """One request.  What is not known (yet) is None."""

    method: str
    host: str
    path: str
    """Without the query, which often bears a token."""
    status: int | None = None
    ms: int | None = None
    """From the beginning to the end of the answer, in milliseconds."""
    request_id: str | None = None
    error: str | None = None
    _watch: Stopwatch = field(default_factory=Stopwatch, repr=False)

    def ended(self) -> None:
        """The answer is complete, or given up."""
        self.ms = round(self._watch.elapsed.total_seconds() * 1000)


class Calls:
    """The calls of one attempt, in their order."""

    def __init__(self, mask: Mask) -> None:
        self._mask = mask
        self._calls: list[Call] = []
        self._kept: Call | None = None

    def begin(self, request: httpx2.Request) -> Call:
        """Note that a request is begun."""
        url = request.url
        call = Call(_legible(request.method), _legible(self._mask.text(url.host)), _legible(self._mask.path(url.path)))
        self._calls.append(call)
        if len(self._calls) > KEPT_CALLS:
            del self._calls[1 if self._calls[0] is self._kept else 0]
        return call

    def keep(self, call: Call) -> None:
        """This is the irreversible one."""
        self._kept = call

    def answered(self, call: Call, status: int, headers: httpx2.Headers) -> None:
        """Note the beginning of an answer."""
        call.status = status
        found = (headers[name] for name in REQUEST_ID_HEADERS if name in headers)
        call.request_id = next((_legible(self._mask.text(value)) for value in found), None)

    @contextmanager
    def watching(self, call: Call) -> Iterator[None]:
        """Note what ends a call in there, if anything does."""
        try:
            yield
        except GeneratorExit:  # nobody wanted the rest of the answer
            raise
        except BaseException as error:
            call.ended()
            call.error = _legible(self._told(error))
            raise

    def _told(self, error: BaseException) -> str:
        """The error's name, and what it says where that cannot be a header or a body that we wrote ourselves."""
        harmless = isinstance(error, httpx2.TransportError) and not isinstance(error, httpx2.LocalProtocolError)
        message = self._mask.text(str(error)) if harmless else ""
        return f"{type(error).__name__}: {message}" if message else type(error).__name__

    def as_json(self) -> dict[str, Any]:
        """`{"calls": [...]}`, ready for a `jsonb` column."""
        return {"calls": [_fields(call) for call in self._calls]}


def _fields(call: Call) -> dict[str, Any]:
    return {name: value for name, value in asdict(call).items() if not name.startswith("_")}


def _legible(text: str) -> str:
    """Cut, and as PostgreSQL's jsonb takes it: without NUL and halves of characters."""
    return text.replace("\x00", "")[:LONGEST_TEXT].encode("utf-8", "replace").decode("utf-8")
