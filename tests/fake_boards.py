"""A fake of the platform that `autoposter.testing.publishers` publish on, and one of the stub's journal."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from autoposter.publishers.stub import JOURNAL
from autoposter.testing import Answer, FakeServer, Published, Request, publishes, route

UNKNOWN_TOKEN = Answer.json(401, {"error": "token"})


class FakeBoard(FakeServer):
    """As the fault harness's platform, in twenty lines."""

    credentials: Mapping[str, Any] = {"token": "the-right-token"}
    external_id = "board-7"

    def refuses(self, request: Request) -> bool:
        return request.token != self.credentials["token"]

    @publishes("POST /posts")
    def post(self, request: Request) -> Answer:
        if self.refuses(request):
            return UNKNOWN_TOKEN
        post = self.publish(request.body["text"], key=request.body.get("key"))
        return Answer.json(201, {"id": post.id, "url": f"http://fake.example/{post.id}"})

    @route("GET /posts")
    def listing(self, request: Request) -> Answer:
        if self.refuses(request):
            return UNKNOWN_TOKEN
        since = float(request.query["since"])
        shown = [{"id": post.id, "text": post.text} for post in self.listed() if post.at.timestamp() >= since]
        return Answer.json(200, {"posts": shown})

    @route("GET /me")
    def me(self, request: Request) -> Answer:
        return UNKNOWN_TOKEN if self.refuses(request) else Answer.json(200, {"id": self.external_id, "name": "Board"})


class Journal:
    """The stub's journal: no socket, so nothing can go wrong on one."""

    settings: Mapping[str, Any] = {}
    credentials: Mapping[str, Any] = {}

    def __enter__(self) -> Self:
        self._folder = tempfile.TemporaryDirectory()
        self._path = Path(self._folder.name) / "journal.jsonl"
        self._before = os.environ.get(JOURNAL)
        os.environ[JOURNAL] = str(self._path)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        os.environ.pop(JOURNAL)
        if self._before is not None:
            os.environ[JOURNAL] = self._before
        self._folder.cleanup()

    def published(self) -> list[Published]:
        lines = self._path.read_text().splitlines() if self._path.exists() else []
        return [_published(json.loads(line)) for line in lines]

    def age(self, by: timedelta) -> None:
        """The stub finds by its key, and asks for no time."""


def _published(record: dict[str, Any]) -> Published:
    key = record["idempotency_key"]
    return Published(f"stub-{key}", record["caption"], key, datetime.fromisoformat(record["published_at"]))
