"""What is the same in a fake of every product of the Graph API: envelope, version, tokens, parameters, usage, clock.

Stricter than the real one, which overlooks unknown parameters and serves versions that have ended by others.
"""

from __future__ import annotations

import functools
import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

from autoposter.testing import Answer, FakeServer, Request, publishes, route

#: Gone from every version since 27 Oct 2026.
GONE = {"pretty", "debug", "date_format", "ids"}


class Refusal(Exception):
    """The fake refuses a request, in the envelope of the Graph API."""

    def __init__(self, code: int, subcode: int | None = None, message: str = "Refused", status: int = 400) -> None:
        super().__init__(message)
        self.answer = error(code, subcode, message, status)


def error(code: int, subcode: int | None = None, message: str = "Refused", status: int = 400, **more: Any) -> Answer:
    """An error in the envelope."""
    content = {"message": message, "type": "OAuthException", "code": code, "fbtrace_id": "AbC1", **more}
    return Answer.json(status, {"error": content | ({"error_subcode": subcode} if subcode is not None else {})})


def error_body(code: int, subcode: int | None = None, message: str = "Refused", **more: Any) -> str:
    """The same as the text of a body, for a script's rules."""
    return error(code, subcode, message, **more).body.decode()


def answers(pattern: str, *, token: bool = True, publishing: bool = False) -> Callable[[Any], Any]:
    """A route of the Graph API: its handler returns the object of the answer, or raises Refusal."""

    def mark(handler: Callable[..., dict[str, Any]]) -> Callable[..., Answer]:
        @functools.wraps(handler)
        def guarded(self: FakeGraph, request: Request, version: str, **names: str) -> Answer:
            if waiting := self.instead[handler.__name__]:
                return waiting.pop(0)
            try:
                self.look_at(request, version, needs_token=token)
                return Answer.json(200, handler(self, request, **names), **self.usage)
            except Refusal as refusal:
                return refusal.answer

        return (publishes if publishing else route)(pattern)(guarded)

    return mark


class FakeGraph(FakeServer):
    """A server of the Graph API in one version."""

    version = "v25.0"

    def __init__(self) -> None:
        super().__init__()
        self.tokens: dict[str, str] = {}
        """The tokens it takes, and whose they are."""
        self.expired: set[str] = set()
        self.ends: dict[str, datetime] = {}
        """When tokens end; the others never."""
        self.usage: dict[str, str] = {}
        """Usage headers, sent along with every answer: `X_App_Usage="..."`."""
        self.instead: defaultdict[str, list[Answer]] = defaultdict(list)
        """Answers that are given instead of the proper ones, by the name of the handler."""
        self.house: dict[str, bytes] = {}
        """Files of the user's own media server."""
        self.ahead = timedelta(0)
        """How far its clock is ahead."""

    def verb(self, request: Request) -> Any:
        """What stands in the house is none of the platform's, and of what goes wrong there."""
        return "check" if request.path.startswith("/house/") else super().verb(request)

    @route("GET /house/{name}")
    def in_the_house(self, request: Request, name: str) -> Answer:
        """A media server of the user's own, which the platform cannot reach."""
        return Answer(200, self.house[name])

    @property
    def settings(self) -> Mapping[str, Any]:
        """Where it is, with the version."""
        return {"api_url": f"{self.url}/{self.version}"}

    def now(self) -> datetime:
        """By its own clock."""
        return datetime.now(UTC) + self.ahead

    def ends_at(self, token: str) -> int:
        """When a token ends, as `/debug_token` says it; 0: never."""
        return int(self.ends[token].timestamp()) if token in self.ends else 0

    def look_at(self, request: Request, version: str, *, needs_token: bool) -> None:
        """Refuse what every route refuses."""
        if version != self.version:
            raise Refusal(2500, None, f"Unknown path components: /{version}")
        if GONE & {*request.query, *request.form}:
            raise Refusal(100, None, "Unsupported parameter")
        if needs_token:
            self.owner(request)

    def owner(self, request: Request) -> str:
        """Whose token came with the request."""
        token = token_of(request)
        if not token:
            raise Refusal(104, None, "An access token is required to request this resource.")
        if token in self.expired:
            raise Refusal(190, 463, "Error validating access token: Session has expired")
        if token not in self.tokens:
            raise Refusal(190, 467, "Invalid OAuth access token")
        return self.tokens[token]


def token_of(request: Request) -> str:
    """The token, wherever it came."""
    head = request.headers.get("authorization", "")
    given = head.removeprefix("Bearer ").removeprefix("OAuth ")
    return given or request.form.get("access_token", "") or request.query.get("access_token", "")


def parameters(request: Request, allowed: Iterable[str]) -> dict[str, str]:
    """The parameters of a request, from the query and the form; one that is not known is refused."""
    given = {**request.query, **request.form}
    unknown = set(given) - {"access_token", "appsecret_proof", *allowed}
    if unknown:
        raise Refusal(100, None, f"Unknown parameter: {', '.join(sorted(unknown))}")
    return given


def only(fields: str, known: Mapping[str, Any]) -> dict[str, Any]:
    """An object with the fields that were asked for; one that it cannot have is refused."""
    asked = fields.split(",") if fields else ["id"]
    for field in asked:
        if field not in known:
            raise Refusal(100, None, f"Tried accessing nonexisting field ({field})")
    return {field: known[field] for field in asked if known[field] is not None}


def page_of(rows: list[dict[str, Any]], given: Mapping[str, str]) -> dict[str, Any]:
    """One page of a listing, with its cursors.  `next` holds the token, as the real one does."""
    begin, size = int(given.get("after", "0")), int(given.get("limit", "25"))
    page: dict[str, Any] = {"data": rows[begin : begin + size]}
    if begin + size < len(rows):
        after = str(begin + size)
        page["paging"] = {"cursors": {"before": str(begin), "after": after}, "next": f"?access_token=T&after={after}"}
    return page


def graph_time(moment: datetime) -> str:
    """As listings tell times: without a colon in the zone."""
    return moment.strftime("%Y-%m-%dT%H:%M:%S+0000")


class Medium:
    """What stands at an address, as the address itself says it: `https://media.example/a.jpg?size=640x640&bytes=9`."""

    KINDS = {
        "jpg": "image/jpeg",
        "jpeg": "image/jpeg",
        "png": "image/png",
        "mp4": "video/mp4",
        "mov": "video/quicktime",
    }

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        said = {name: values[0] for name, values in parse_qs(parts.query).items()}
        self.mime_type = self.KINDS.get(parts.path.rpartition(".")[2].lower(), "")
        width, _, height = said.get("size", "640x640").partition("x")
        self.width, self.height = int(width), int(height)
        self.post = parts.path.strip("/").partition("-")[0]
        self.bytes = int(said.get("bytes", "1000"))
        self.seconds = float(said.get("seconds", "5"))
        self.is_public = parts.scheme == "https" and url.isascii()


def as_list(text: str) -> list[str]:
    """A list of a form: JSON, or separated by commas."""
    return [str(one) for one in json.loads(text)] if text.startswith("[") else text.split(",")
