"""A fake of Google's Business Profile APIs and of its token endpoint: as strict as the real ones, and with a memory.

    POST   /token                                          form-encoded, both grants
    GET    /management/v1/accounts                         20 at most on a page
    GET    /information/v1/accounts/{a}/locations          100 at most; wants a readMask
    GET    /information/v1/locations/{l}
    POST   /v4/accounts/{a}/locations/{l}/localPosts       the one that publishes
    GET    /v4/accounts/{a}/locations/{l}/localPosts       newest first; `{}` where there are none
    GET, DELETE  /v4/accounts/{a}/locations/{l}/localPosts/{p}

A post whose text contains `REJECT NOW` is rejected in the answer, one with `REJECT LATER` after `live_after` look-ups.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from autoposter.testing import Answer, FakeServer, Request, publishes, route
from google_business_examples import PHOTO, PHOTO_URL
from google_business_rules import MISSING, Wrong, misshapen, wrong

ACCOUNT = "accounts/108494581129006735086"
LOCATION = f"{ACCOUNT}/locations/13195921940790549583"
SCOPE = "https://www.googleapis.com/auth/business.manage"


@dataclass
class Made:
    """One post as Google holds it."""

    name: str
    said: dict[str, Any]
    at: datetime
    state: str
    arrived_at: float
    """When its request arrived, in seconds since 1970."""
    looked_up: int = 0


@dataclass
class Place:
    """One location."""

    title: str
    metadata: dict[str, Any] = field(default_factory=lambda: {"canOperateLocalPost": True, "hasVoiceOfMerchant": True})
    managed: bool = True
    """Whether the token's owner manages it."""


class FakeGoogleBusiness(FakeServer):
    """Google."""

    external_id = LOCATION
    listing_lag = timedelta(seconds=5)

    def __init__(self, location: str = LOCATION, title: str = "Café Seed") -> None:
        super().__init__()
        self.location_name = location
        self.client = {"client_id": "the-client.apps.example", "client_secret": f"GOCSPX-{secrets.token_hex(6)}"}
        self.refresh_token = f"1//{secrets.token_hex(8)}"
        self.token_lasts = 3599
        self.takes_tokens = True
        self.grant_error: tuple[int, str] | None = None
        self.grant_ends_in: int | None = None
        self.codes: set[str] = set()
        self.scopes = SCOPE
        self.api_enabled = True
        self.tokens: dict[str, float] = {}
        self.places = {location: Place(title)}
        self.web = {PHOTO_URL: PHOTO}
        """What stands at which public address."""
        self.fetch: Callable[[str], bytes | None] = lambda address: self.web.get(address)
        self.made: list[Made] = []
        self.live_after = 1
        self.search_urls = True

    @property
    def settings(self) -> Mapping[str, Any]:
        return {
            "location": self.location_name,
            "api_url": f"{self.url}/v4",
            "accounts_url": f"{self.url}/management/v1",
            "locations_url": f"{self.url}/information/v1",
            "token_url": f"{self.url}/token",
        }

    @property
    def credentials(self) -> Mapping[str, Any]:  # type: ignore[override] # made anew for every fake
        return {**self.client, "refresh_token": self.refresh_token}

    def age(self, by: timedelta) -> None:
        super().age(by)
        for made in self.made:
            made.at -= by

    def behave(self, verb: Any, request: Request) -> Answer:
        if request.path.startswith("/v4/") and next(self._fitting(request), None) is None:
            return Answer(404, b"<!DOCTYPE html><title>Error 404 (Not Found)</title>", None)
        return super().behave(verb, request)

    # --- tokens ------------------------------------------------------------------------------------------------------

    @route("POST /token")
    def token(self, request: Request) -> Answer:
        if request.headers.get("content-type") != "application/x-www-form-urlencoded":
            return _oauth(400, "invalid_request")
        if self.grant_error:
            return _oauth(*self.grant_error)
        form = request.form
        if {name: form.get(name) for name in self.client} != self.client:
            return _oauth(401, "invalid_client")
        match form.get("grant_type"):
            case "refresh_token" if set(form) - {*self.client, "grant_type"} == {"refresh_token"}:
                if form["refresh_token"] != self.refresh_token:
                    return _oauth(400, "invalid_grant")
                return Answer.json(200, self._granted())
            case "authorization_code" if form.get("code") in self.codes and form.get("redirect_uri"):
                self.codes.remove(form["code"])
                return Answer.json(200, self._granted() | {"refresh_token": self.refresh_token})
            case "authorization_code":
                return _oauth(400, "invalid_grant")
        return _oauth(400, "unsupported_grant_type")

    def _granted(self) -> dict[str, Any]:
        token = f"ya29.{secrets.token_hex(12)}"
        self.tokens[token] = time.monotonic() + self.token_lasts
        said = {
            "access_token": token,
            "expires_in": self.token_lasts,
            "scope": self.scopes,
            "token_type": "Bearer",
        }
        if self.grant_ends_in is not None:
            said["refresh_token_expires_in"] = self.grant_ends_in
        return said

    def _unauthorized(self, request: Request, place: str = "") -> Answer | None:
        """Why the token is refused, if it is; with a place: also where it has no business."""
        if not self.takes_tokens or self.tokens.get(request.token, 0) < time.monotonic():
            reason = "ACCESS_TOKEN_EXPIRED" if request.token else "CREDENTIALS_MISSING"
            return failure(401, "UNAUTHENTICATED", "Request had invalid authentication credentials.", reason)
        if SCOPE not in self.scopes:
            message = "Request had insufficient authentication scopes."
            return failure(403, "PERMISSION_DENIED", message, "ACCESS_TOKEN_SCOPE_INSUFFICIENT")
        if request.path.startswith("/v4/") and not self.api_enabled:
            message = "Google My Business API has not been used in project 7 before or it is disabled."
            return failure(403, "PERMISSION_DENIED", message, "SERVICE_DISABLED")
        if place and place not in self.places:
            return failure(404, "NOT_FOUND", "Requested entity was not found.")
        if place and not self.places[place].managed:
            return failure(403, "PERMISSION_DENIED", "The caller does not have permission")
        return None

    # --- accounts and locations --------------------------------------------------------------------------------------

    @route("GET /management/v1/accounts")
    def accounts(self, request: Request) -> Answer:
        names = sorted({name.partition("/locations/")[0] for name in self.places})
        found = [{"name": name, "accountName": "The owner"} for name in names]
        return self._unauthorized(request) or _page("accounts", found, request, most=20)

    @route("GET /information/v1/accounts/{account}/locations")
    def locations(self, request: Request, account: str) -> Answer:
        if "readMask" not in request.query:
            return failure(400, "INVALID_ARGUMENT", "read_mask is required")
        found = [self._place(name) for name in self.places if name.startswith(f"accounts/{account}/")]
        return self._unauthorized(request) or _page("locations", found, request, most=100)

    @route("GET /information/v1/locations/{location}")
    def location(self, request: Request, location: str) -> Answer:
        if "readMask" not in request.query:
            return failure(400, "INVALID_ARGUMENT", "read_mask is required")
        place = next((name for name in self.places if name.endswith(f"/locations/{location}")), "unknown")
        return self._unauthorized(request, place) or Answer.json(200, self._place(place))

    def _place(self, name: str) -> dict[str, Any]:
        own = "locations/" + name.partition("/locations/")[2]
        return {"name": own, "title": self.places[name].title, "metadata": self.places[name].metadata}

    # --- posts -------------------------------------------------------------------------------------------------------

    @publishes("POST /v4/accounts/{account}/locations/{location}/localPosts")
    def create(self, request: Request, account: str, location: str) -> Answer:
        place = f"accounts/{account}/locations/{location}"
        if refused := self._unauthorized(request, place):
            return refused
        detailed = "x-goog-api-format-version" in request.headers
        if broken := [*misshapen(request.body)]:
            violations = [{"field": "local_post", "description": one} for one in broken]
            return _invalid("type.googleapis.com/google.rpc.BadRequest", {"fieldViolations": violations})
        if any(media.get("mediaFormat") == "VIDEO" for media in request.body.get("media", [])):
            return failure(500, "INTERNAL", "Internal error encountered.")
        if found := [*wrong(request.body, self.fetch)]:
            return _validation_error(found, detailed)
        return Answer.json(200, self._shown(self._make(place, request)))

    def _make(self, place: str, request: Request) -> Made:
        said = request.body
        name = f"{place}/localPosts/{2662765504969486360 + len(self.made)}"
        state = "REJECTED" if "REJECT NOW" in said["summary"] else "PROCESSING"
        photos = len(said.get("media", []))
        at = self.publish(said["summary"], id=name, media=photos).at if state != "REJECTED" else datetime.now(UTC)
        self.made.append(Made(name, said, at, state, request.arrived_at))
        return self.made[-1]

    def _shown(self, made: Made) -> dict[str, Any]:
        """As answers show it: no zeros, nothing empty, no `sourceUrl`."""
        created = made.at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        shown = {"name": made.name, **_without_zeros(made.said), "state": made.state}
        shown |= {"createTime": created, "updateTime": created}
        if made.said.get("media"):
            address = "https://lh3.googleusercontent.com/p/AF1Qip"
            shown["media"] = [{"name": f"{made.name}/media/1", "mediaFormat": "PHOTO", "googleUrl": address}]
        if self.search_urls:
            shown["searchUrl"] = f"https://local.google.com/place?id=20378&use=posts&lpsid={made.name.split('/')[-1]}"
        return shown

    @route("GET /v4/accounts/{account}/locations/{location}/localPosts")
    def listing(self, request: Request, account: str, location: str) -> Answer:
        place = f"accounts/{account}/locations/{location}"
        until = datetime.now(UTC) - self.listing_lag
        here = [made for made in self.made if made.name.startswith(f"{place}/") and made.at <= until]
        shown = [self._shown(made) for made in sorted(here, key=lambda made: made.at, reverse=True)]
        return self._unauthorized(request, place) or _page("localPosts", shown, request, most=100)

    @route("GET /v4/accounts/{account}/locations/{location}/localPosts/{post}")
    def one(self, request: Request, account: str, location: str, post: str) -> Answer:
        name = f"accounts/{account}/locations/{location}/localPosts/{post}"
        if refused := self._unauthorized(request, name.partition("/localPosts/")[0]):
            return refused
        for made in self.made:
            if made.name == name:
                made.looked_up += 1
                if made.looked_up >= self.live_after and made.state == "PROCESSING":
                    made.state = "REJECTED" if "REJECT LATER" in made.said["summary"] else "LIVE"
                return Answer.json(200, self._shown(made))
        return failure(404, "NOT_FOUND", "Requested entity was not found.")

    @route("DELETE /v4/accounts/{account}/locations/{location}/localPosts/{post}")
    def delete(self, request: Request, account: str, location: str, post: str) -> Answer:
        name = f"accounts/{account}/locations/{location}/localPosts/{post}"
        if refused := self._unauthorized(request, name.partition("/localPosts/")[0]):
            return refused
        self.made = [made for made in self.made if made.name != name]
        return Answer.json(200, {})


# --- Answers ---------------------------------------------------------------------------------------------------------


def failure(http: int, status: str, message: str, reason: str = "", **metadata: str) -> Answer:
    """An error in Google's envelope, with an ErrorInfo where there is a reason."""
    error: dict[str, Any] = {"code": http, "message": message, "status": status}
    if reason:
        kind = "type.googleapis.com/google.rpc.ErrorInfo"
        error["details"] = [{"@type": kind, "reason": reason, "domain": "googleapis.com", "metadata": metadata}]
    return Answer.json(http, {"error": error})


def _invalid(kind: str, detail: dict[str, Any]) -> Answer:
    error = {"code": 400, "message": "Request contains an invalid argument.", "status": "INVALID_ARGUMENT"}
    return Answer.json(400, {"error": error | {"details": [{"@type": kind, **detail}]}})


def _validation_error(found: Sequence[Wrong], detailed: bool) -> Answer:
    if not detailed:
        return failure(400, "INVALID_ARGUMENT", "Request contains an invalid argument.")
    details = [
        {"code": one.code, "field": one.field, "message": one.message} | ({"value": ""} if one.code == MISSING else {})
        for one in found
    ]
    return _invalid("type.googleapis.com/google.mybusiness.v4.ValidationError", {"errorDetails": details})


def _oauth(http: int, error: str) -> Answer:
    return Answer.json(http, {"error": error, "error_description": "Token has been expired or revoked."})


def _page(what: str, found: Sequence[dict[str, Any]], request: Request, most: int) -> Answer:
    size, start = int(request.query.get("pageSize", 20)), int(request.query.get("pageToken", 0))
    if not 1 <= size <= most:
        return failure(400, "INVALID_ARGUMENT", f"page_size must be between 1 and {most}")
    page: dict[str, Any] = {what: list(found[start : start + size])} if found[start:] else {}
    return Answer.json(200, page | ({"nextPageToken": str(start + size)} if found[start + size :] else {}))


def _without_zeros(value: Any) -> Any:
    if isinstance(value, dict):
        return dict(_kept(value))
    return [_without_zeros(one) for one in value] if isinstance(value, list) else value


def _kept(value: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, inner in value.items():
        if inner not in (0, ""):
            yield name, _without_zeros(inner)
