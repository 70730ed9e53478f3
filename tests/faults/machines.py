"""Servers that can be taken away, the real commands on them, and the common end of the measured scenarios."""

from __future__ import annotations

import itertools
import os
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psutil
import psycopg2
import redis
from faults import odd_publishers
from faults.checker import PLATFORMS, Report, arrival
from faults.figures import Figures
from faults.world import World
from processes import Processes, Running, wait_until

from autoposter import database as pool
from autoposter.local import LocalServers
from autoposter.migrations import migrate

#: Nothing here has to survive a power cut; a killed server has left its writes with the system.
FAST = ("fsync=off", "synchronous_commit=off", "full_page_writes=off", "max_connections=200", "max_wal_size=2GB")

#: Retries of the workers come soon, so that a scenario ends soon.
SETTINGS = {"AUTOPOSTER_RETRY_BASE": "1s", "AUTOPOSTER_RETRY_CAP": "5s"}

#: The posts that somebody still has to do something about, now or when they fall due.
OPEN = """
    select count(*) from post_instance p
     where p.status = 'Publishing' or p.status = 'Scheduled' and p.autopost_enabled
        or exists (select from publish_job j where j.post_instance_id = p.id
                      and (j.status = 'running' or j.status = 'unknown' and p.status <> 'Unconfirmed'))"""

INSERT = """
    with given as (
        select nextval(pg_get_serial_sequence('content_item', 'id')) as content_id, g.*
          from unnest(%s::bigint[], %s::timestamptz[], %s::text[], %s::text[]) as g (account, due, reference, what)
    ), content as (
        insert into content_item (id, caption) select content_id, 'post ' || reference || ' ' || what from given
    )
    insert into post_instance (channel_account_id, content_item_id, scheduled_for, reference)
    select account, content_id, due, reference from given
    returning id"""


class OwnServers:
    """One PostgreSQL and one Valkey of our own, which a scenario may stop."""

    def __init__(self, local: LocalServers) -> None:
        assert local.postgres is not None and local.valkey is not None
        self.postgres = local.postgres
        self.valkey = local.valkey
        self._numbers = itertools.count(1)
        pool.connect_to(self.postgres.url())
        migrate()
        pool.database.close_all()

    def stop_postgres(self) -> None:
        """Stop it at once, ending its connections."""
        self.postgres.child.stop(15)

    def start_postgres(self) -> None:
        """Start it where it is not running; returns when it answers."""
        if not self.postgres.child.is_running:
            self.postgres.start()
        self.postgres.wait_until_ready()

    def stop_valkey(self) -> None:
        """Stop it; what it holds is on disk."""
        self.valkey.child.stop(15)

    def start_valkey(self) -> None:
        """Start it where it is not running; returns when it answers."""
        if not self.valkey.child.is_running:
            self.valkey.start()
        self.valkey.wait_until_ready()

    def redis(self) -> Any:
        """A client, for what an administrator does."""
        return redis.Redis.from_url(self.valkey.url())

    def new_database(self) -> str:
        """A database with our tables and no rows; its URL."""
        name = f"scenario_{next(self._numbers)}"
        with closing(psycopg2.connect(self.postgres.url("postgres"))) as connection:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute(f"create database {name} template autoposter")
        return self.postgres.url(name)


class Machines:
    """Everything of one scenario: servers, platform, accounts, workers and a scheduler."""

    def __init__(self, servers: OwnServers, world: World) -> None:
        """`world` is on a database of `servers`."""
        folder = world.folder
        self.servers = servers
        self.platform = world.platform
        self.world = world
        self.rows = world.rows
        odd_publishers.install(folder)
        modules = [str(folder), str(Path(__file__).parent.parent), os.environ.get("PYTHONPATH", "")]
        own = {"AUTOPOSTER_REDIS_URL": servers.valkey.url(), "PYTHONPATH": os.pathsep.join(filter(None, modules))}
        self.processes = Processes(folder, self.world.environment | own | SETTINGS)
        self.scheduler = self.processes.scheduler()
        self._accounts: dict[str, int] = {}
        self._numbers = itertools.count(1)

    # --- processes ---

    def workers(
        self, count: int, *, threads: int = 8, module: str = "autoposter.actors", **settings: str
    ) -> list[Running]:
        """So many `dramatiq autoposter.actors` of one process each; returns when all of them work."""
        options = ["--processes", "1", "--threads", str(threads)]
        started = [self.processes.start("dramatiq", module, *options, **settings) for _ in range(count)]
        for worker in started:
            wait_until(lambda worker=worker: self._works(worker), 40, lambda worker=worker: worker.output[-2000:])
        return started

    def _works(self, worker: Running) -> bool:
        assert worker.popen.poll() is None, worker.output[-2000:]
        return self.worker_id(worker) is not None

    def worker(self, *, threads: int = 8, module: str = "autoposter.actors") -> Running:
        """One of them."""
        return self.workers(1, threads=threads, module=module)[0]

    def worker_id(self, worker: Running) -> str | None:
        """What its process calls itself in the books; None: it has not started yet."""
        with suppress(psutil.NoSuchProcess):
            pids = [child.pid for child in psutil.Process(worker.pid).children(recursive=True)]
            found = self.rows.query("select id from worker where pid = any(%s)", (pids,))
            return str(found[0][0]) if found else None
        return None

    # --- posts ---

    def account(self, platform: str) -> int:
        """The scenario's account on a platform."""
        if platform not in self._accounts:
            self._accounts[platform] = self.world.account(platform)
        return self._accounts[platform]

    def schedule(self, due: Sequence[float], what: str = "", platforms: Sequence[str] = PLATFORMS) -> list[int]:
        """A post for each due time (seconds since 1970), on the platforms in turn.  `what` goes into its text."""
        accounts = [self.account(platform) for platform, _ in zip(itertools.cycle(platforms), due, strict=False)]
        moments = [datetime.fromtimestamp(moment, UTC) for moment in due]
        references = [f"n{next(self._numbers)}" for _ in due]
        return [int(found[0]) for found in self.rows.query(INSERT, (accounts, moments, references, [what] * len(due)))]

    @contextmanager
    def load(self, per_second: int, ahead: float = 2.0) -> Iterator[None]:
        """Posts that go on falling due, for as long as this lasts: each is scheduled `ahead` seconds before."""
        stop = threading.Event()

        def feed() -> None:
            second = time.time() + ahead
            while not stop.wait(max(0.0, second - ahead - time.time())):
                self.schedule([second + random.random() for _ in range(per_second)])
                second += 1

        feeder = threading.Thread(target=feed)
        feeder.start()
        try:
            yield
        finally:
            stop.set()
            feeder.join()

    # --- the end ---

    def settle(self, timeout: float = 60.0) -> None:
        """Wait until nothing is left to do."""
        wait_until(lambda: self.rows.query(OPEN)[0][0] == 0, timeout, self.state)

    def state(self) -> str:
        """What stands in the books, for a failed test."""
        return str(
            self.rows.query(
                "select p.status, j.status, j.error_kind, count(*), min(p.id), min(p.last_error) from post_instance p"
                " left join publish_job j on j.post_instance_id = p.id group by 1, 2, 3 order by 1, 2, 3"
            )
        )

    def judge(self, figures: Figures) -> Report:
        """Hold the platform against the books, and note the verdict."""
        report = self.world.check()
        print(report.table())
        statuses = Counter(post.status for post in report.posts)
        figures.numbers(
            "the checker",
            posts=len(report.posts),
            effects=sum(len(post.effects) for post in report.posts),
            twice=sum(len(post.effects) > 1 for post in report.posts),
            lost=sum(post.status == "Posted" and not post.effects for post in report.posts),
            violations=len(report.violations),
            **dict(sorted(statuses.items())),
        )
        assert report.violations == []
        assert self.world.audit() == []
        return report

    def reconciled(self) -> dict[str, int]:
        """How much was looked for: jobs ever unknown, looks at them, and requests of either kind on the platform."""
        jobs, looks, lost = self.rows.query(
            "select count(*) filter (where looks > 0 or status = 'unknown'), coalesce(sum(looks), 0),"
            " count(*) filter (where error_kind = 'worker_lost') from publish_job"
        )[0]
        finds = sum(request["verb"] == "find" for request in self.platform.requests())
        return {"unknown": jobs, "looks": int(looks), "finds": finds, "worker_lost": lost}


def lateness(report: Report, which: Callable[[Any], bool] = lambda post: True) -> list[float]:
    """How late each effect was, in seconds."""
    return [
        (arrival(effect) - post.scheduled_for).total_seconds()
        for post in report.posts
        if which(post)
        for effect in post.effects
    ]


def wait_for_moment(moment: float) -> None:
    """Wait for a time of this machine's clock, in seconds since 1970."""
    while (left := moment - time.time()) > 0:
        time.sleep(left)


def ago(moment: datetime | None, since: float) -> float:
    """How long after `since` a moment of the books is, in seconds."""
    assert moment is not None
    return (moment - datetime.fromtimestamp(since, UTC)) / timedelta(seconds=1)
