"""What Google answers when it refuses, as a table: the first row that fits says what it means.

Only answers in Google's own envelope are refusals, `{"error": {"code": 400, "status": "INVALID_ARGUMENT", ...}}` with
the HTTP status as `code`.  What comes from anybody in between (HTML, another JSON) proves nothing; nor do 408, 409, 499
and 5xx: the post may have been created.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import httpx2

from autoposter.publishers import (
    AccountRejected,
    ContentRejected,
    PublishError,
    RateLimited,
    Transient,
    json_object,
    retry_after,
)

#: So long an account pauses where Google does not say how long: its quotas count by the minute.
PAUSE = timedelta(seconds=60)


@dataclass(frozen=True, slots=True)
class Complaint:
    """What an answer says is wrong."""

    http: int
    status: str
    """`INVALID_ARGUMENT`, ...; empty in the old format."""
    message: str
    """What to tell a person."""
    whole: str
    """All that it says, for words that may stand anywhere in it."""
    reasons: frozenset[str]
    """Of `ErrorInfo`, or of the old format."""
    codes: frozenset[int]
    """Of the API's own details: 1-199 common, 1000-1099 the photo, 1300-1399 the location's condition."""
    quota: str | None
    """How many calls the project may make, where that is what it complains about."""
    retry_after: timedelta | None
    api: str
    """Which of Google's APIs says so."""


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table: for which complaints (what is left out fits all), and what they mean."""

    http: int | range
    raises: type[PublishError]
    sentence: str
    """`{said}` are Google's words, `{api}` is who says it, `{photo}` the photo's address."""
    statuses: tuple[str, ...] = ()
    reasons: tuple[str, ...] = ()
    codes: range | None = None
    says: str = ""
    """A pattern anywhere in it."""
    quota: str | None = None

    def fits(self, complaint: Complaint) -> bool:
        """Whether the row is about this."""
        return (
            (complaint.http == self.http if isinstance(self.http, int) else complaint.http in self.http)
            and (not self.statuses or complaint.status in self.statuses)
            and (not self.reasons or not complaint.reasons.isdisjoint(self.reasons))
            and (self.codes is None or any(code in self.codes for code in complaint.codes))
            and re.search(self.says, complaint.whole) is not None
            and (self.quota is None or complaint.quota == self.quota)
        )


RATE_REASONS = ("RATE_LIMIT_EXCEEDED", "rateLimitExceeded", "quotaExceeded")
MAY_NOT_POST = "LOCATION_DISABLED_FOR_LOCAL_POST_API|OPERATION_UNSUPPORTED_UNDER_ACCOUNT_CONDITION"
NOT_ALLOWED = "This location or account may not post by the API (a chain, suspended, not verified?): {said}"
BUSY = "Google asks for a pause: {said}"

REFUSALS: tuple[Row, ...] = (
    Row(
        400,
        Transient,
        "Google could not fetch the photo {photo}: it must be there for everybody, without a login. {said}",
        codes=range(1000, 1100),
    ),
    Row(400, AccountRejected, NOT_ALLOWED, codes=range(1300, 1400)),
    Row(400, AccountRejected, NOT_ALLOWED, says=MAY_NOT_POST),
    Row(400, AccountRejected, NOT_ALLOWED, statuses=("FAILED_PRECONDITION",)),
    Row(400, ContentRejected, "Google refused the post: {said}"),
    Row(401, AccountRejected, "Google no longer takes the access token: {said}"),
    Row(403, AccountRejected, "Enable the API {api} in the Cloud project: {said}", reasons=("SERVICE_DISABLED",)),
    Row(
        403,
        AccountRejected,
        "The token lacks the permission business.manage: make a new one with it. {said}",
        reasons=("ACCESS_TOKEN_SCOPE_INSUFFICIENT",),
    ),
    Row(403, RateLimited, BUSY, reasons=RATE_REASONS),
    Row(403, AccountRejected, "The token's owner does not manage this location (any more): {said}"),
    Row(404, AccountRejected, "Google has no such location, or the token's owner may not see it: {said}"),
    Row(
        429,
        AccountRejected,
        "Google has not approved the Cloud project: its quota is 0, and waiting does not help. {said}",
        quota="0",
    ),
    Row(429, RateLimited, BUSY),
    Row(range(400, 408), ContentRejected, "Google refused the post: {said}"),
    Row(range(410, 499), ContentRejected, "Google refused the post: {said}"),
)

#: Of the token endpoint, which publishes nothing: by its word for what is wrong.
_WRONG_CLIENT = "Google does not take the client id or the client secret ({said}): correct them, and reconnect."
_WRONG_GRANT = "Google gives no access token ({said}): make a new refresh token, and reconnect the account."
TOKEN_REFUSALS: dict[str, str] = {
    "invalid_grant": "Google no longer takes the refresh token ({said}): make a new one, and reconnect the account.",
    "invalid_client": _WRONG_CLIENT,
    "deleted_client": _WRONG_CLIENT,
    "unauthorized_client": _WRONG_CLIENT,
    "invalid_request": _WRONG_GRANT,
    "invalid_scope": _WRONG_GRANT,
    "unsupported_grant_type": _WRONG_GRANT,
    "admin_policy_enforced": _WRONG_GRANT,
    "org_internal": _WRONG_GRANT,
}


def refusal(answer: httpx2.Response, photo: str = "") -> PublishError | None:
    """What this answer proves; None: it proves nothing, or is no error."""
    complaint = complaint_of(answer)
    row = next((row for row in REFUSALS if complaint and row.fits(complaint)), None)
    if complaint is None or row is None:
        return None
    sentence = row.sentence.format(said=complaint.message, api=complaint.api, photo=photo)
    if row.raises is RateLimited:
        return RateLimited(sentence, complaint.retry_after or PAUSE)
    return row.raises(sentence)


def raise_if_refused(answer: httpx2.Response, photo: str = "") -> None:
    """Raise what the answer proves; else, if it is an error, what leaves the outcome unknown."""
    if error := refusal(answer, photo):
        raise error
    answer.raise_for_status()


def token_refusal(answer: httpx2.Response) -> PublishError | None:
    """What an answer of the token endpoint means; None: it gave a token."""
    content = json_object(answer)
    error = content.get("error")
    if answer.status_code == 429 or answer.status_code >= 500:
        return Transient(f"Google's token endpoint answers {answer.status_code}.", retry_after(answer))
    if isinstance(error, str) and error in TOKEN_REFUSALS:
        said = f"{error}: {content.get('error_description') or content.get('error_subtype') or 'no more is said'}"
        return AccountRejected(TOKEN_REFUSALS[error].format(said=said))
    # Any other would be shown by the error of the library that cannot write it into a header.
    if answer.is_success and re.fullmatch(r"[!-~]+", str(content.get("access_token", ""))):
        return None
    return Transient(f"Google's token endpoint gives no token ({answer.status_code} {str(error or '')[:100]}).")


# --- Reading the envelope --------------------------------------------------------------------------------------------


def complaint_of(answer: httpx2.Response) -> Complaint | None:
    """What Google itself says is wrong; None where it is no error, or not Google that says it."""
    error = json_object(answer).get("error")
    if not isinstance(error, dict) or error.get("code") != answer.status_code:
        return None
    details = _objects(error.get("details"))
    own = [found for detail in details for found in _objects(detail.get("errorDetails"))]
    fields = [found for detail in details for found in _objects(detail.get("fieldViolations"))]
    metadata = [detail["metadata"] for detail in details if isinstance(detail.get("metadata"), dict)]
    return Complaint(
        http=answer.status_code,
        status=str(error.get("status", "")),
        message=" ".join([*dict.fromkeys(_sentences(error, own, fields))]),
        whole=str(error),
        reasons=frozenset(str(one.get("reason")) for one in [*details, *_objects(error.get("errors"))]),
        codes=frozenset(one["code"] for one in own if isinstance(one.get("code"), int)),
        quota=_first(metadata, "quota_limit_value"),
        retry_after=retry_after(answer) or _retry_delay(details),
        api=_first(metadata, "service") or answer.request.url.host,
    )


def _sentences(error: dict[str, Any], own: list[dict[str, Any]], fields: list[dict[str, Any]]) -> Iterator[str]:
    for one in own:
        yield ": ".join(str(one[name]) for name in ("field", "message") if one.get(name)) or f"code {one.get('code')}."
    for one in fields:
        yield ": ".join(str(one[name]) for name in ("field", "description") if one.get(name))
    if not own and not fields:
        yield str(error.get("message") or error.get("status") or f"HTTP {error.get('code')}")


def _first(metadata: list[dict[str, Any]], name: str) -> str | None:
    return next((str(one[name]) for one in metadata if name in one), None)


def _retry_delay(details: list[dict[str, Any]]) -> timedelta | None:
    """`google.rpc.RetryInfo`: `"30s"`."""
    for detail in details:
        if found := re.fullmatch(r"(\d{1,6}(\.\d+)?)s", str(detail.get("retryDelay", ""))):
            return timedelta(seconds=float(found[1]))
    return None


def _objects(value: object) -> list[dict[str, Any]]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []
