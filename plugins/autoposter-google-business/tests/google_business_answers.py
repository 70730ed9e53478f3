"""How Google says no, one row for each of the fact sheet's table: the answer, and what it must be raised as.

None: it proves nothing, and the outcome is unknown.
"""

from __future__ import annotations

import json
from typing import Any

from autoposter.publishers import AccountRejected, ContentRejected, PublishError, RateLimited, Transient

Kind = type[PublishError] | None
INFO = "type.googleapis.com/google.rpc.ErrorInfo"
INVALID = "INVALID_ARGUMENT"


def error(http: int, status: str = "", message: str = "Refused.", details: Any = None, **more: Any) -> str:
    """A body in Google's envelope."""
    said = {"code": http, "message": message, **({"status": status} if status else {}), **more}
    return json.dumps({"error": said | ({"details": details} if details else {})})


def own(code: int, message: str, field: str = "") -> list[dict[str, Any]]:
    """The API's own details."""
    detail = {"code": code, "message": message, **({"field": field} if field else {})}
    return [{"@type": "type.googleapis.com/google.mybusiness.v4.ValidationError", "errorDetails": [detail]}]


def info(reason: str, **metadata: str) -> list[dict[str, Any]]:
    """An ErrorInfo."""
    return [{"@type": INFO, "reason": reason, "domain": "googleapis.com", "metadata": metadata}]


HTML = "<!DOCTYPE html><title>Error 404 (Not Found)</title>"
DENIED = "PERMISSION_DENIED"
EXHAUSTED = "RESOURCE_EXHAUSTED"
CONDITION = "OPERATION_UNSUPPORTED_UNDER_ACCOUNT_CONDITION"
VIOLATION = [{"fieldViolations": [{"field": "local_post", "description": "Unknown name"}]}]

#: By what it says: status, body, class, and words that the sentence must contain.
ROWS: dict[str, tuple[int, str, Kind, str]] = {
    "a field is too long": (
        400,
        error(400, INVALID, details=own(10, "Must be at most 1500 characters", "summary")),
        ContentRejected,
        "summary: Must be at most 1500",
    ),
    "a field is missing": (
        400,
        error(400, INVALID, details=own(2, "event is required", "event")),
        ContentRejected,
        "event is required",
    ),
    "no details": (
        400,
        error(400, INVALID, "Request contains an invalid argument."),
        ContentRejected,
        "invalid argument",
    ),
    "an unknown field": (400, error(400, INVALID, details=VIOLATION), ContentRejected, "Unknown name"),
    "the photo cannot be fetched": (
        400,
        error(400, INVALID, details=own(1000, "Fetching image failed.")),
        Transient,
        "Fetching image failed.",
    ),
    "the photo cannot be used": (400, error(400, INVALID, details=own(1099, "No.")), Transient, "photo"),
    "the location's condition": (
        400,
        error(400, INVALID, details=own(1301, CONDITION)),
        AccountRejected,
        "may not post",
    ),
    "the location is disabled": (
        400,
        error(400, INVALID, "LOCATION_DISABLED_FOR_LOCAL_POST_API"),
        AccountRejected,
        "may not post",
    ),
    "the location is disabled, as a reason": (
        400,
        error(400, INVALID, details=[*own(3, "No."), *info("LOCATION_DISABLED_FOR_LOCAL_POST_API")]),
        AccountRejected,
        "may not post",
    ),
    "the account's condition, in words": (400, error(400, INVALID, CONDITION), AccountRejected, "may not post"),
    "a failed precondition": (400, error(400, "FAILED_PRECONDITION"), AccountRejected, "may not post"),
    "the token has expired": (
        401,
        error(401, "UNAUTHENTICATED", details=info("ACCESS_TOKEN_EXPIRED")),
        Transient,  # another is had for the next attempt; where that is refused too, AccountRejected
        "access token",
    ),
    "the API is not enabled": (
        403,
        error(403, DENIED, details=info("SERVICE_DISABLED", service="mybusiness.googleapis.com")),
        AccountRejected,
        "mybusiness.googleapis.com",
    ),
    "the scope is missing": (
        403,
        error(403, DENIED, details=info("ACCESS_TOKEN_SCOPE_INSUFFICIENT")),
        AccountRejected,
        "business.manage",
    ),
    "no longer a manager": (403, error(403, DENIED, "The caller does not have permission"), AccountRejected, "manage"),
    "forbidden, in the old format": (403, error(403, errors=[{"reason": "forbidden"}]), AccountRejected, "manage"),
    "the quota, as 403": (403, error(403, DENIED, details=info("RATE_LIMIT_EXCEEDED")), RateLimited, "pause"),
    "the quota, in the old format": (403, error(403, errors=[{"reason": "rateLimitExceeded"}]), RateLimited, "pause"),
    "the day's quota, in the old format": (403, error(403, errors=[{"reason": "quotaExceeded"}]), RateLimited, "pause"),
    "no such location": (404, error(404, "NOT_FOUND", "Requested entity was not found."), AccountRejected, "location"),
    "a wrong path": (404, HTML, None, ""),
    "it exists already": (409, error(409, "ALREADY_EXISTS"), None, ""),
    "it was aborted": (409, error(409, "ABORTED"), None, ""),
    "too many calls": (429, error(429, EXHAUSTED), RateLimited, "pause"),
    "too many calls, with a reason": (
        429,
        error(429, EXHAUSTED, details=info("RATE_LIMIT_EXCEEDED")),
        RateLimited,
        "pause",
    ),
    "the project is not approved": (
        429,
        error(429, EXHAUSTED, details=info("RATE_LIMIT_EXCEEDED", quota_limit_value="0")),
        AccountRejected,
        "approved",
    ),
    "too long for the server": (413, error(413, "", "Too large."), ContentRejected, "Too large."),
    "a method that it does not know": (405, error(405, "", "No."), ContentRejected, "No."),
    "a timeout of the request": (408, error(408, "DEADLINE_EXCEEDED"), None, ""),
    "cancelled": (499, error(499, "CANCELLED"), None, ""),
    "an internal error": (500, error(500, "INTERNAL"), None, ""),
    "a bad gateway": (502, HTML, None, ""),
    "unavailable": (503, error(503, "UNAVAILABLE"), None, ""),
    "a deadline": (504, error(504, "DEADLINE_EXCEEDED"), None, ""),
    "rejected at once": (
        200,
        json.dumps({"name": "accounts/1/locations/2/localPosts/3", "state": "REJECTED"}),
        ContentRejected,
        "content policy",
    ),
    "an answer without a name": (200, "{}", None, ""),
}

#: Of the token endpoint: status, error, class.
TOKEN_ROWS: list[tuple[int, str, type[PublishError]]] = [
    (400, "invalid_grant", AccountRejected),
    (401, "invalid_client", AccountRejected),
    (401, "deleted_client", AccountRejected),
    (401, "unauthorized_client", AccountRejected),
    (400, "unauthorized_client", AccountRejected),
    (400, "invalid_request", AccountRejected),
    (400, "invalid_scope", AccountRejected),
    (400, "unsupported_grant_type", AccountRejected),
    (400, "admin_policy_enforced", AccountRejected),
    (400, "org_internal", AccountRejected),
    (429, "rate_limit_exceeded", Transient),
    (500, "internal_failure", Transient),
    (503, "temporarily_unavailable", Transient),
    (400, "something_new", Transient),
]
