"""APScheduler, as one process with a database store."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Sequence
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.jobstores.sqlalchemy import SQLAlchemyJobStore
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.schedulers.base import BaseScheduler

from peers import work


class Feeder(BaseScheduler):
    """Only fills the store: it runs nothing, and wakes nobody."""

    def wakeup(self) -> None:
        """Nothing to wake."""

    def shutdown(self, wait: bool = True) -> None:
        """Nothing to stop."""


def _settings(url: str, threads: int) -> dict[str, Any]:
    store = SQLAlchemyJobStore(urlsplit(url)._replace(scheme="postgresql+psycopg2").geturl())
    return {
        "jobstores": {"default": store},
        "executors": {"default": ThreadPoolExecutor(threads)},
        "job_defaults": {"misfire_grace_time": None},
        "timezone": "UTC",
    }


def publish(post_id: int) -> None:
    """Publish one post."""
    work.publish(post_id)


def add(url: str, posts: Sequence[tuple[int, datetime]]) -> None:
    """Put one job each into the store."""
    scheduler = Feeder(**_settings(url, 1))
    scheduler.start(paused=True)
    for post_id, due in posts:
        scheduler.add_job("peers.apscheduler_app:publish", "date", run_date=due, args=(post_id,), id=str(post_id))


if __name__ == "__main__":
    scheduler = BackgroundScheduler(**_settings(os.environ["BENCH_DATABASE_URL"], int(sys.argv[1])))
    scheduler.start()
    # Jobs that another program adds are seen only when this one looks into its store: wake it once a second.
    print("started", flush=True)
    while not threading.Event().wait(1):
        scheduler.wakeup()
