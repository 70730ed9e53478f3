"""What the Graph API answers instead of what was asked for, and what that proves.

A product brings its table of `Row`s; `GENERAL` holds the codes that all products share.  `refusal` turns an answer into
what the core acts upon.  Classified by code and subcode, never by the HTTP status; what no row knows proves nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

from autoposter.publishers import (
    AccountRejected,
    ContentRejected,
    OutcomeUnknown,
    PublishError,
    RateLimited,
    Transient,
)

HOUR = timedelta(hours=1)


class Stage(StrEnum):
    """What was asked for.  Before the irreversible call nothing can be published, whatever the answer says."""

    ASK = "ask"
    """A question: an answer that refuses it says something of the token, and nothing of any post."""
    PREPARE = "prepare"
    PUBLISH = "publish"


class GraphError(Exception):
    """The Graph API did not answer with the object that was asked for."""

    def __init__(
        self,
        message: str,
        *,
        status: int,
        code: int | None = None,
        subcode: int | None = None,
        is_transient: bool = False,
        trace: str | None = None,
        data: dict[str, object] | None = None,
        wait: timedelta | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.status = status
        self.code = code
        """None: the answer held no error that can be read."""
        self.subcode = subcode
        self.is_transient = is_transient
        self.trace = trace
        self.data = data or {}
        self.wait = wait
        """How long the answer asks us to wait."""

    @property
    def is_missing(self) -> bool:
        """Whether the object does not exist or is not visible; Meta has answered so for objects that did exist."""
        return (self.code, self.subcode) == (100, 33)

    def __str__(self) -> str:
        codes = "/".join(str(number) for number in (self.code, self.subcode) if number is not None)
        facts = [f"code {codes}" if codes else f"HTTP {self.status}"] + ([f"trace {self.trace}"] if self.trace else [])
        return f"{self.message.rstrip('.')} ({', '.join(facts)})."


@dataclass(frozen=True, slots=True)
class Row:
    """Which answers it is for, and what they prove in each stage."""

    says: str
    """What it means, in a sentence for a person that says what to do."""
    prepare: type[PublishError]
    publish: type[PublishError]
    code: int | range | None = None
    subcode: int | None = None
    text: str | None = None
    """Only where the platform's message contains this."""
    wait: timedelta | None = None
    """How long to wait where the answer does not say."""
    tries: int | None = None
    """In `prepare`: so many failures may be passing; after them it is the content's fault.  None: always passing."""

    def rank(self, error: GraphError) -> int:
        """How closely it fits; 0: not at all.  A subcode says most, then the text, then the code."""
        rank = 1
        for wanted, fits, weight in (
            (self.subcode, self.subcode == error.subcode, 4),
            (self.text, bool(self.text) and str(self.text).lower() in error.message.lower(), 2),
            (self.code, self._has_code(error.code), 1),
        ):
            if wanted is not None and not fits:
                return 0
            rank += weight if wanted is not None else 0
        return rank

    def _has_code(self, code: int | None) -> bool:
        return code is not None and (code in self.code if isinstance(self.code, range) else code == self.code)


Table = Sequence[Row]

PASSING = "The platform has trouble of its own."
TOO_MANY = "The platform asks for a pause: too many calls."
TOKEN = "The access token is no longer taken: reconnect the account with a new one."
PERMISSION = "The access token lacks a permission, or its owner a role."

#: What is the same for every product.
GENERAL: Table = (
    Row(PASSING, Transient, OutcomeUnknown, 1),
    Row(PASSING, Transient, OutcomeUnknown, 2),  # code 2 has been answered to posts that were published
    Row(TOO_MANY, RateLimited, RateLimited, 4, wait=HOUR),
    Row(TOO_MANY, RateLimited, RateLimited, 17, wait=HOUR),
    Row(TOO_MANY, RateLimited, RateLimited, 32, wait=HOUR),
    Row(TOO_MANY, RateLimited, RateLimited, 613, wait=timedelta(minutes=5)),
    Row(TOO_MANY, RateLimited, RateLimited, range(80000, 80100), wait=HOUR),
    Row(TOO_MANY, RateLimited, RateLimited, 341, wait=HOUR),
    Row("The platform has blocked this for a while as abusive.", RateLimited, RateLimited, 368, wait=HOUR),
    Row(TOKEN, AccountRejected, AccountRejected, 102),
    Row(TOKEN, AccountRejected, AccountRejected, 190),
    Row("The app was removed: reconnect the account.", AccountRejected, AccountRejected, 190, 458),
    Row("The person must log in to clear a checkpoint.", AccountRejected, AccountRejected, 190, 459),
    Row("The password was changed: reconnect the account.", AccountRejected, AccountRejected, 190, 460),
    Row("The access token has expired: reconnect the account.", AccountRejected, AccountRejected, 190, 463),
    Row("The person has not confirmed the account.", AccountRejected, AccountRejected, 190, 464),
    Row(TOKEN, AccountRejected, AccountRejected, 190, 467),
    Row("The person has not confirmed the account.", AccountRejected, AccountRejected, 190, 490),
    Row("The person has no role on the Page any more.", AccountRejected, AccountRejected, 190, 492),
    Row(PERMISSION, AccountRejected, AccountRejected, 3),
    Row(PERMISSION, AccountRejected, AccountRejected, 10),
    Row(PERMISSION, AccountRejected, AccountRejected, range(200, 300)),  # 283 among them
    Row("No access token arrived, or a wrong app secret's proof.", AccountRejected, AccountRejected, 104),
    Row("The address has no such path: look at the setting api_url.", AccountRejected, AccountRejected, 2500),
    Row("There is no account with this id: look at the settings.", AccountRejected, AccountRejected, 803),
    Row("The platform does not take a part of this post.", ContentRejected, ContentRejected, 100),
)


def look_up(error: GraphError, table: Table) -> Row | None:
    """The row that fits best; None: the table does not know this answer."""
    ranked = [(row.rank(error), row) for row in table]
    best = max(ranked, key=lambda pair: pair[0], default=(0, None))
    return best[1] if best[0] else None


def refusal(error: GraphError, table: Table, stage: Stage) -> PublishError:
    """What an answer means for the core.  In `publish` only a row can say that nothing was published."""
    row = look_up(error, table)
    if row:
        return _as(_by_row(row, stage), f"{row.says} {error}", error, row.wait)
    if error.status == 429:
        return _as(RateLimited, f"{TOO_MANY} {error}", error, HOUR)
    return _as(_unlisted(error, stage), f"The platform answered: {error}", error, None)


def _by_row(row: Row, stage: Stage) -> type[PublishError]:
    if stage is Stage.ASK and not issubclass(row.prepare, AccountRejected | RateLimited):
        return Transient
    return row.publish if stage is Stage.PUBLISH else row.prepare


def _unlisted(error: GraphError, stage: Stage) -> type[PublishError]:
    if stage is not Stage.PREPARE:
        return OutcomeUnknown if stage is Stage.PUBLISH else Transient
    passing = error.is_transient or error.code is None or error.status >= 500
    return Transient if passing else ContentRejected


def _as(kind: type[PublishError], message: str, error: GraphError, wait: timedelta | None) -> PublishError:
    if issubclass(kind, Transient | RateLimited):
        return kind(message, error.wait if error.wait is not None else wait)
    return kind(message)


@contextmanager
def refusals(table: Table, stage: Stage) -> Iterator[None]:
    """Turn each GraphError inside into what it means."""
    try:
        yield
    except GraphError as error:
        raise refusal(error, table, stage) from error
