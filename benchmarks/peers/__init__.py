"""What does the same work: autoposter, its alternatives from their own packages, and two ceilings.

A contender is told the posts by their ids and due times, and starts the commands that its own documentation names.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stage import Scene

Due = Sequence[tuple[int, datetime]]


class Contender:
    """One of them.  `name` and `settings` stand in the tables."""

    name: str
    settings: str
    command: tuple[str, ...]
    ready: str
    """What each of its processes logs when it works."""

    def schedule(self, scene: Scene, posts: Due) -> None:
        """Hand over the posts, as this system wants them."""
        raise NotImplementedError

    def start(self, scene: Scene, processes: int, threads: int) -> None:
        """Start its commands; returns when all of them work."""
        started = [self.start_one(scene, number, threads) for number in range(processes)]
        for running in started:
            scene.wait_for_output(running, self.ready)

    def start_one(self, scene: Scene, number: int, threads: int) -> Any:
        """Start one process of `threads` threads."""
        return scene.processes.start(*[part.format(number=number, threads=threads) for part in self.command])

    def prepare(self, scene: Scene) -> None:
        """Make its tables, if it needs any."""


def chosen(contenders: Sequence[Contender], only: Sequence[str]) -> list[Contender]:
    """Those whose names contain one of these; all of them where none is named."""
    return [one for one in contenders if not only or any(part in one.name for part in only)]


class Autoposter(Contender):
    """`dramatiq autoposter.actors`; a post is scheduled by its row alone."""

    name = "autoposter"
    settings = "as installed"
    command = ("dramatiq", "autoposter.actors", "--processes", "1", "--threads", "{threads}")
    ready = "starts with"

    def schedule(self, scene: Scene, posts: Due) -> None:
        """The row is all there is to it."""


class Celery(Contender):
    """Celery on Redis, with `eta`."""

    name = "Celery, eta"
    settings = (
        "Redis; threads pool; prefetch multiplier 1, as its guide says for tasks of this kind; worker_timer_precision "
        "0.01 s (default 1 s); acks_late, so that what a killed worker held comes back after the visibility timeout, "
        "12 h as it must be longer than the furthest eta; no gossip, mingle, heartbeat"
    )
    command = (
        *("celery", "-A", "peers.celery_app", "worker", "-P", "threads", "-c", "{threads}", "-n", "w{number}@bench"),
        *("--without-gossip", "--without-mingle", "--without-heartbeat", "-l", "INFO"),
    )
    ready = " ready."

    def schedule(self, scene: Scene, posts: Due) -> None:
        """One message each, with its eta."""
        from peers.celery_app import app, publish

        app.conf.broker_url = scene.redis_url.replace("unix://", "redis+socket://").replace("?db=0", "?virtual_host=0")
        with app.connection_for_write() as connection, app.amqp.Producer(connection) as producer:
            for post_id, due in posts:
                publish.apply_async((post_id,), eta=due, producer=producer)


class DramatiqDelay(Contender):
    """Dramatiq's own `delay`."""

    name = "Dramatiq, delay"
    settings = "Redis; its defaults, but no retries (a retry would publish twice)"
    command = ("dramatiq", "peers.dramatiq_app", "--processes", "1", "--threads", "{threads}")
    ready = "Worker process is ready for action."

    def schedule(self, scene: Scene, posts: Due) -> None:
        """One message each, with its delay."""
        app = _dramatiq_app(scene)
        for post_id, due in posts:
            delay = int((due.timestamp() - time.time()) * 1000)
            app.publish.send_with_options(args=(post_id,), delay=delay if delay > 0 else None)


class RawDramatiq(Contender):
    """A ceiling: an actor that does nothing, without a database."""

    name = "raw Dramatiq actor"
    settings = "does nothing at all; fetches 64 messages ahead"
    command = DramatiqDelay.command
    ready = DramatiqDelay.ready

    def start_one(self, scene: Scene, number: int, threads: int) -> Any:
        """With more messages at hand than it needs."""
        command = [part.format(threads=threads) for part in self.command]
        return scene.processes.start(*command, dramatiq_queue_prefetch="64")

    def schedule(self, scene: Scene, posts: Due) -> None:
        """One message each."""
        app = _dramatiq_app(scene)
        for post_id, _ in posts:
            app.nothing.send(post_id)


def _dramatiq_app(scene: Scene) -> Any:
    os.environ["BENCH_REDIS_URL"] = scene.redis_url  # read when it is imported
    from peers import dramatiq_app

    return dramatiq_app


class Procrastinate(Contender):
    """procrastinate: jobs in PostgreSQL."""

    name = "procrastinate"
    settings = (
        "polls each 0.05 s (default 5 s), as our workers poll Redis; listen/notify on; keeps finished jobs (default); "
        "the work runs in threads of its own; no task for stalled jobs (its documentation has one each 10 minutes)"
    )
    command = (
        *("procrastinate", "--app", "peers.procrastinate_app.app", "worker"),
        *("--concurrency", "{threads}", "--fetch-job-polling-interval", "0.05"),
    )
    ready = "Starting worker"

    def prepare(self, scene: Scene) -> None:
        """Its schema, beside ours."""
        from peers.procrastinate_app import make

        with make(scene.database_url).open() as app:
            app.schema_manager.apply_schema()

    def schedule(self, scene: Scene, posts: Due) -> None:
        """One job each, deferred in one statement."""
        from peers.procrastinate_app import make, publish_of

        with make(scene.database_url).open() as app:
            task = publish_of(app)
            jobs = [task.configure(schedule_at=due).job.evolve(task_kwargs={"post_id": id}) for id, due in posts]
            for start in range(0, len(jobs), 1000):
                app.job_manager.batch_defer_jobs(jobs[start : start + 1000])


class ApScheduler(Contender):
    """APScheduler with SQLAlchemyJobStore: one process, since a store must not be shared."""

    name = "APScheduler, database store"
    settings = "PostgreSQL job store; one process with as many threads as the others together; no misfire limit"
    command = ("python", "-m", "peers.apscheduler_app")
    ready = "started"

    def start(self, scene: Scene, processes: int, threads: int) -> None:
        """Always one process."""
        running = scene.processes.start(*self.command, str(processes * threads))
        scene.wait_for_output(running, self.ready)

    def schedule(self, scene: Scene, posts: Due) -> None:
        """By a scheduler that does not run jobs, as its documentation says for other programs."""
        from peers.apscheduler_app import add

        add(scene.database_url, posts)


class MinuteLoop(Contender):
    """What people write first: one process that asks each minute what is due, and publishes it in turn."""

    name = "loop each minute"
    settings = "one process, one thread, one statement before and one after each call"
    command = ("python", "-m", "peers.loop")
    ready = "loops"

    def start(self, scene: Scene, processes: int, threads: int) -> None:
        """One process."""
        super().start(scene, 1, 1)

    def schedule(self, scene: Scene, posts: Due) -> None:
        """The row is all there is to it."""


class BareStatements(Contender):
    """A ceiling: autoposter's own guarded statements, sent by psycopg2 from the same processes and threads."""

    name = "bare statements"
    settings = "the same statements and transactions, one connection per thread, no broker, no publisher"
    command = ("python", "-m", "peers.bare", "{threads}", "{number}")
    ready = "begins"

    def schedule(self, scene: Scene, posts: Due) -> None:
        """The ids stand in a file, from which each process takes its share."""
        (scene.folder / "posts.txt").write_text("\n".join(str(post_id) for post_id, _ in posts))
