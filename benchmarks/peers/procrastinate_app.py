"""procrastinate's application."""

from __future__ import annotations

import os
from typing import Any

import procrastinate

from peers import work


def publish_of(app: procrastinate.App) -> Any:
    """The task, on this application."""
    return app.task(name="publish")(lambda post_id: work.publish(post_id))


def make(url: str) -> procrastinate.App:
    """An application for one thread that defers."""
    return procrastinate.App(connector=procrastinate.SyncPsycopgConnector(conninfo=url))


app = procrastinate.App(connector=procrastinate.PsycopgConnector(conninfo=os.environ.get("BENCH_DATABASE_URL", "")))
publish_of(app)
