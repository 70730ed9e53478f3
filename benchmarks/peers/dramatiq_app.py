"""Dramatiq's actors."""

from __future__ import annotations

import os

import dramatiq
from dramatiq.brokers.redis import RedisBroker

from peers import work

broker = RedisBroker(url=os.environ.get("BENCH_REDIS_URL"))
dramatiq.set_broker(broker)


@dramatiq.actor(max_retries=0)
def publish(post_id: int) -> None:
    """Publish one post."""
    work.publish(post_id)


@dramatiq.actor(max_retries=0)
def nothing(post_id: int) -> None:
    """Do nothing."""
