"""The fake platform's server: the posts it took, on a socket and with a script (`serving`).

What counts as published is decided in one place, `Board.accept`: one line in the record, written before anything is
answered.  Everything that goes wrong afterwards is theatre for the caller.

    POST /posts {"text", "key"?}      201 {"ok": true, "id", "url"}
    GET  /posts?since=SECONDS         200 {"posts": [{"id", "text", "key", "at"}]}, what the listing shows by now
    GET  /me                          200 {"id", "name"}
    POST /admin/script, /admin/settings, /admin/reset ; GET /admin/posts, /admin/requests
"""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from autoposter.testing.rules import Rule, Script, Verb
from autoposter.testing.serving import Answer, Request, Server


@dataclass(frozen=True, slots=True)
class AcceptedPost:
    """One effect: a post that the public can see.  Times are seconds since 1970, this machine's wall clock."""

    id: str
    text: str
    key: str | None
    token: str
    arrived_at: float
    """When the first byte of the request arrived."""
    accepted_at: float


class PlatformSettings(BaseModel):
    """How the platform is, as opposed to what goes wrong."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    keeps_keys_seconds: float | None = Field(default=None, ge=0)
    """How long a key is remembered; None: for ever; 0: keys are ignored."""
    listing_lag_ms: int = Field(default=0, ge=0)
    """How long a new post does not show in the listing."""
    refused_tokens: tuple[str, ...] = ()


@dataclass(slots=True)
class Board:
    """What the platform holds."""

    record: Path | None = None
    posts: list[AcceptedPost] = field(default_factory=list)
    by_key: dict[tuple[str, str], AcceptedPost] = field(default_factory=dict)

    def accept(self, request: Request, keeps_keys_seconds: float | None) -> AcceptedPost:
        """Publish, or answer a repeated key with the post it made."""
        text, key = request.body["text"], request.body.get("key")
        now = time.time()
        known = self.by_key.get((request.token, key)) if key else None
        if known and (keeps_keys_seconds is None or now - known.accepted_at < keeps_keys_seconds):
            return known
        post = AcceptedPost(f"p{len(self.posts) + 1}", text, key, request.token, request.arrived_at, now)
        self.posts.append(post)
        if key:
            self.by_key[request.token, key] = post
        if self.record:
            with self.record.open("a", encoding="utf-8") as file:
                file.write(json.dumps(asdict(post)) + "\n")
        return post

    def listing(self, token: str, since: float, until: float) -> list[AcceptedPost]:
        """The account's posts that were accepted between the two moments."""
        return [post for post in self.posts if post.token == token and since <= post.accepted_at <= until]


class PlatformServer(Server):
    """Serves the platform on a socket of its own."""

    def __init__(self, record: Path | None = None) -> None:
        super().__init__()
        self.board = Board(record)
        self.settings = PlatformSettings()

    def verb(self, request: Request) -> Verb:
        """What is posted is published."""
        if request.method == "POST":
            return "publish"
        return "check" if request.path == "/me" else "find"

    def beside_the_script(self, request: Request) -> Answer | None:
        """The admin's pages."""
        return self._admin(request) if request.path.startswith("/admin/") else None

    def behave(self, verb: Verb, request: Request) -> Answer:
        """Publish, list, or say whose token it is."""
        if not request.token or request.token in self.settings.refused_tokens:
            return Answer.json(401, {"error": "token"})
        if verb == "check":
            return Answer.json(200, {"id": request.token, "name": f"Account {request.token}"})
        if verb == "find":
            until = time.time() - self.settings.listing_lag_ms / 1000
            posts = self.board.listing(request.token, float(request.query.get("since", 0)), until)
            shown = [{"id": post.id, "text": post.text, "key": post.key, "at": post.accepted_at} for post in posts]
            return Answer.json(200, {"posts": shown})
        return self._publish(request)

    def _publish(self, request: Request) -> Answer:
        if not isinstance(request.body.get("text"), str):
            return Answer.json(422, {"error": "content"})
        post = self.board.accept(request, self.settings.keeps_keys_seconds)
        if post.text != request.body["text"]:
            return Answer.json(409, {"error": "this key was used for another text"})
        return Answer.json(201, {"ok": True, "id": post.id, "url": f"http://fake.example/{post.id}"})

    def _admin(self, request: Request) -> Answer:
        match request.method, request.path.removeprefix("/admin/"):
            case "POST", "script":
                rules = [Rule.model_validate(rule) for rule in request.body["rules"]]
                self.script = Script(rules, int(request.body.get("seed", 0)))
            case "POST", "settings":
                self.settings = PlatformSettings.model_validate(request.body)
            case "POST", "reset":
                self.board, self.script, self.requests = Board(self.board.record), Script([]), []
                self.settings = PlatformSettings()
            case "GET", "posts":
                return Answer.json(200, [asdict(post) for post in self.board.posts])
            case "GET", "requests":
                return Answer.json(200, self.requests)
            case _:
                return Answer.json(404, {"error": "no such page"})
        return Answer.json(200, {})
