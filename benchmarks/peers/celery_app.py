"""Celery's application."""

from __future__ import annotations

import os

from celery import Celery

from peers import work

app = Celery("bench", broker=os.environ.get("BENCH_CELERY_URL"))
app.conf.update(
    worker_timer_precision=0.01,
    worker_prefetch_multiplier=1,
    task_acks_late=True,
    task_ignore_result=True,
    broker_transport_options={"visibility_timeout": 12 * 3600},
    worker_hijack_root_logger=False,
)


@app.task
def publish(post_id: int) -> None:
    """Publish one post."""
    work.publish(post_id)
