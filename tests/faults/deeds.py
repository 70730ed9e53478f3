"""What the processes of a forge do: what a worker's actors and its heartbeat do, and nothing else."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import dramatiq

from autoposter import database, publishing, recovery, scanning
from autoposter.broker import build_broker
from autoposter.clock import Clock
from autoposter.consumer import QUEUE
from autoposter.credentials import Keyring
from autoposter.leases import Leases
from autoposter.lifecycle import RetryPolicy
from autoposter.media import MediaShelf
from autoposter.plugins import Host
from autoposter.preparing import Preparing
from autoposter.settings import load_settings
from autoposter.turns import Turns
from autoposter.workbench import Workbench

#: Retries come soon, so that a test ends soon.
POLICY = RetryPolicy(max_attempts=8, retry_base=timedelta(seconds=1), retry_cap=timedelta(seconds=2))

#: How often a post is asked after while it is prepared ahead; more often than any platform takes.
MOST_QUESTIONS = 20

#: Made before the forks: reading what is installed is no part of an attempt.
HOST = Host()

Arm = Callable[[], None]


def workbench() -> Workbench:
    """This process's own, with its clock set."""
    settings = load_settings()
    assert settings.database_url is not None
    database.connect_to(settings.database_url.get_secret_value())
    clock = Clock()
    for _ in range(3):
        clock.measure(database.database_time)
    return Workbench(
        worker=f"forge-{os.getpid()}",
        host=HOST,
        keyring=Keyring(settings.secret_keys),
        shelf=MediaShelf(settings.media_root, settings.media_base_url, settings.media_allow),
        policy=POLICY,
        max_lateness=settings.max_lateness,
        clock=clock,
        leases=Leases(),
    )


def nothing(_: int, arm: Arm) -> None:
    """Says that the forge is ready."""


def publish(post_id: int, arm: Arm) -> None:
    """One attempt at a post, as the actor makes it."""
    bench = workbench()
    arm()
    publishing.publish_post(post_id, bench)


def prepare_and_publish(post_id: int, arm: Arm) -> None:
    """All that happens to a post that is prepared ahead, with no time in between."""
    bench = workbench()
    preparing = Preparing(bench, OneTurn())
    arm()
    for _ in range(MOST_QUESTIONS):
        preparing.prepare(post_id)
        if is_prepared(post_id):
            break
    publishing.publish_post(post_id, bench)


class OneTurn(Turns):
    """Goes on with no other post."""

    room = 0


def is_prepared(post_id: int) -> bool:
    """Whether nobody has to ask after a post any more."""
    with database.transaction():
        found = database.row("select prepare_at is null as done from post_instance where id = %(id)s", {"id": post_id})
    return bool(found and found["done"])


def look(job_id: int, arm: Arm) -> None:
    """One look at a job, as the actor makes it."""
    bench = workbench()
    arm()
    recovery.look(job_id, bench)


def scan(_: int, arm: Arm) -> None:
    """One scan, as the heartbeat makes it: what is due is put on the broker."""
    bench = workbench()
    publish = _actor(bench)
    arm()
    scanning.dispatch_due_posts(
        lambda hints: publish.broker.enqueue_all((publish.message(post_id), 0) for post_id, _ in hints),
        bench.clock,
        max_lateness=None,
        room=20,
    )


def deliver(post_id: int, arm: Arm) -> None:
    """A message is fetched from the broker, worked off and struck off, as a worker does."""
    bench = workbench()
    publish = _actor(bench, queue=f"only-{post_id}")
    publish.send(post_id)
    arm()
    consumer = publish.broker.consume(publish.queue_name, prefetch=1, timeout=1000)
    message = next(consumer)
    assert message is not None
    publish(*message.args)
    consumer.ack(message)


def _actor(bench: Workbench, queue: str = QUEUE) -> Any:
    url = load_settings().redis_url
    assert url is not None
    broker = build_broker(url.get_secret_value(), [], bench.clock)
    return dramatiq.actor(
        lambda post_id: publishing.publish_post(post_id, bench), actor_name="publish", broker=broker, queue_name=queue
    )


def take_over(_: int, arm: Arm) -> None:
    """One look for leases that are over."""
    bench = workbench()
    arm()
    recovery.take_over_expired(bench.policy)


def recover(seconds: int, arm: Arm) -> None:
    """A healthy worker, until nothing is left to do: it scans, takes over, prepares, looks and publishes."""
    bench = workbench()
    turns = Turns()
    preparing = Preparing(bench, turns)
    arm()
    until = time.monotonic() + seconds
    with ThreadPoolExecutor(6) as threads:
        busy: list[Future[None]] = []
        while time.monotonic() < until and (open_posts() or not all(task.done() for task in busy)):
            recovery.take_over_expired(bench.policy)
            busy[:] = [task for task in busy if not task.done()]
            scanning.dispatch_due_posts(
                lambda hints: busy.extend(threads.submit(publish_later, *hint, bench) for hint in hints),
                bench.clock,
                max_lateness=None,
                room=20,
            )
            scanning.dispatch_preparations(
                lambda post_id: busy.append(threads.submit(preparing.prepare, post_id)), room=turns.room
            )
            scanning.dispatch_looks(lambda job_id: busy.append(threads.submit(recovery.look, job_id, bench)))
            time.sleep(0.1)
        for task in busy:
            task.result()


def publish_later(post_id: int, delay: timedelta, bench: Workbench) -> None:
    """As the broker would deliver it."""
    time.sleep(max(0.0, delay.total_seconds()))
    publishing.publish_post(post_id, bench)


def open_posts() -> int:
    """How many posts somebody still has to do something about."""
    with database.transaction():
        found = database.row(
            """
            select (select count(*) from post_instance p join channel_account a on a.id = p.channel_account_id
                     where p.status = 'Publishing'
                        or p.status = 'Scheduled' and p.autopost_enabled and p.content_item_id is not null
                           and a.status <> 'disabled' and p.due_at < now() + interval '30 s')
                 + (select count(*) from publish_job j join post_instance p on p.id = j.post_instance_id
                     where j.status = 'running' or j.status = 'unknown' and p.status <> 'Unconfirmed') as count
            """
        )
    assert found is not None
    return int(found["count"])


DEEDS: dict[str, Callable[[int, Arm], None]] = {
    deed.__name__: deed for deed in (nothing, publish, prepare_and_publish, look, scan, deliver, take_over, recover)
}
