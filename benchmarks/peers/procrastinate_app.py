"""procrastinate's application."""

from __future__ import annotations

import asyncio
import os
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import procrastinate

from peers import work

#: The work blocks.  procrastinate would run it in the event loop's own threads, 6 on two cores.
threads = ThreadPoolExecutor(64)


def publish_of(app: procrastinate.App) -> Any:
    """The task, on this application."""

    @app.task(name="publish")
    async def publish(post_id: int) -> None:
        await asyncio.get_running_loop().run_in_executor(threads, work.publish, post_id)

    return publish


def make(url: str) -> procrastinate.App:
    """An application for one thread that defers."""
    return procrastinate.App(connector=procrastinate.SyncPsycopgConnector(conninfo=url))


app = procrastinate.App(connector=procrastinate.PsycopgConnector(conninfo=os.environ.get("BENCH_DATABASE_URL", "")))
publish_of(app)
