"""What every benchmark runs on: servers, a fake platform, a fresh database per run, real commands, and their CPU time.

The servers are those that `autoposter up` starts, with its settings: PostgreSQL waits for the disk at each commit
(`fsync`, `synchronous_commit` on), Valkey keeps an append-only file.
"""

from __future__ import annotations

import itertools
import os
import pickle
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from unittest import mock

import psutil  # type: ignore[import-untyped] # it ships no types
import psycopg2
import psycopg2.extras
import redis

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "tests"))  # real commands are started as the tests start them

import platforms
from processes import Processes, Running, wait_until

from autoposter import database as pool
from autoposter.local import LocalServers, temporary_folder
from autoposter.local.postgres import Postgres
from autoposter.local.processes import Child
from autoposter.local.valkey import Valkey
from autoposter.migrations import migrate
from autoposter.store import claims, intents, jobs
from autoposter.store.jobs import Receipt
from autoposter.testing.platform import FakePlatform

#: Posts are spread over so many accounts, as a shop's or an agency's are.
ACCOUNTS = 20

_numbers = itertools.count(1)

_INSERT = """
    with given as (
        select nextval(pg_get_serial_sequence('content_item', 'id')) as content_id, g.due, g.n
          from unnest(%(due)s::timestamptz[]) with ordinality as g (due, n)
    ), content as (
        insert into content_item (id, caption) select content_id, 'post ' || content_id from given
    )
    insert into post_instance (channel_account_id, content_item_id, scheduled_for)
    select (%(accounts)s::bigint[])[1 + n %% array_length(%(accounts)s::bigint[], 1)], content_id, due from given
    returning id, content_item_id, scheduled_for"""


@dataclass
class Servers:
    """PostgreSQL, Valkey and the fake platform of one benchmark."""

    postgres: Postgres
    valkey: Valkey
    platform: FakePlatform
    folder: Path

    @classmethod
    @contextmanager
    def started(cls, *options: str) -> Iterator[Servers]:
        """Start them; nothing of them is left afterwards.  `options`: of PostgreSQL, beside its defaults."""
        with ExitStack() as stack:
            folder = stack.enter_context(temporary_folder())
            options = ("max_connections=300", *options)
            local = stack.enter_context(LocalServers(folder / "servers", postgres_options=options))
            platform = stack.enter_context(FakePlatform.started())
            assert local.postgres and local.valkey
            pool.connect_to(local.postgres.url())
            migrate()
            pool.database.close_all()
            yield cls(local.postgres, local.valkey, platform, folder)

    @contextmanager
    def scene(self, *, platform: str, books: str = "light") -> Iterator[Scene]:
        """A database without rows, a broker without messages, and a platform without posts."""
        name = f"run_{next(_numbers)}"
        admin = self.postgres.url("postgres")
        query(admin, f"create database {name} template autoposter")
        redis.Redis.from_url(self.valkey.url()).flushall()
        self.platform.reset()
        scene = Scene(self, self.postgres.url(name), platform, books)
        try:
            yield scene
        finally:
            scene.processes.end_all()
            query(admin, f"drop database {name} with (force)")


class Scene:
    """One run of one contender."""

    def __init__(self, servers: Servers, database_url: str, platform: str, books: str) -> None:
        self.servers = servers
        self.database_url = database_url
        self.redis_url = servers.valkey.url()
        self.folder = servers.folder / f"scene{next(_numbers)}"
        self.folder.mkdir()
        self._platform = platform
        platforms.install(self.folder)
        settings = {"api_url": servers.platform.url} if platform == "bench_http" else {}
        self._accounts = [
            int(found[0])
            for found in self.query(
                "insert into channel_account (platform, name, settings)"
                " select %s, 'Account ' || n, %s::jsonb from generate_series(1, %s) n returning id",
                (platform, psycopg2.extras.Json(settings), ACCOUNTS),
            )
        ]
        self.redis = redis.Redis.from_url(self.redis_url)
        self.processes = Commands(self.folder, self._environment(books))

    def _environment(self, books: str) -> dict[str, str]:
        recorded = self.folder / "recorded.pickle"
        if books == "full":
            recorded.write_bytes(pickle.dumps(record(self.database_url, self.posts([0.0])[0].id)))
        modules = [str(self.folder), str(HERE), os.environ.get("PYTHONPATH", "")]
        celery = self.redis_url.replace("unix://", "redis+socket://").replace("?db=0", "?virtual_host=0")
        return {
            "AUTOPOSTER_DATABASE_URL": self.database_url,
            "AUTOPOSTER_REDIS_URL": self.redis_url,
            "BENCH_DATABASE_URL": self.database_url,
            "BENCH_REDIS_URL": self.redis_url,
            "BENCH_CELERY_URL": celery,
            "BENCH_PLATFORM_URL": self.servers.platform.url if self._platform == "bench_http" else "",
            "BENCH_BOOKS": books,
            "BENCH_RECORDED": str(recorded) if books == "full" else "",
            "PYTHONPATH": os.pathsep.join(filter(None, modules)),
        }

    def posts(self, due_in: Sequence[float], accounts: slice = slice(None)) -> list[PostRow]:
        """Insert posts, due so many seconds from now."""
        now = time.time()
        due = [datetime.fromtimestamp(now + seconds, UTC) for seconds in due_in]
        found = self.query(_INSERT, {"due": due, "accounts": self._accounts[accounts]})
        return [PostRow(*each) for each in found]

    def query(self, sql: str, parameters: Any = None) -> list[tuple[Any, ...]]:
        """Any statement, committed; its rows, if it returns any."""
        return query(self.database_url, sql, parameters)

    def wait_for_output(self, running: Running, text: str, timeout: float = 60.0) -> None:
        """Wait until a command has written this; fails with what it wrote instead."""
        wait_until(lambda: text in running.output, timeout, lambda: running.output[-3000:])

    def wait_for_statuses(self, count: int, status: str = "Posted", timeout: float = 120.0) -> None:
        """Wait until so many posts have this status.  Asks seldom: the question costs, too."""
        until = time.monotonic() + timeout
        while (found := self.count(status)) < count:
            if time.monotonic() > until:
                raise AssertionError(f"{found} of {count} are {status} after {timeout} s\n{self.processes.report()}")
            time.sleep(0.25)

    def wait_for_all(self, timeout: float) -> None:
        """Wait until every post is out."""
        until = time.monotonic() + timeout
        while left := self.left():
            if time.monotonic() > until:
                raise AssertionError(f"{left} posts are not out after {timeout} s\n{self.processes.report()}")
            time.sleep(0.25)

    def left(self) -> int:
        """How many posts are not out yet."""
        waiting = "select count(*) from post_instance where status in ('Scheduled', 'Publishing')"
        return int(self.query(waiting)[0][0])

    def count(self, status: str) -> int:
        """How many posts have this status."""
        return int(self.query("select count(*) from post_instance where status = %s", (status,))[0][0])

    def arrivals(self) -> dict[int, list[float]]:
        """When each content item's post arrived at the platform, in seconds since 1970."""
        arrived: dict[int, list[float]] = {}
        for post in self.servers.platform.posts():
            arrived.setdefault(int(post.text.removeprefix("post ")), []).append(post.arrived_at)
        return arrived

    def workers_mb(self) -> float:
        """Memory of the commands and their descendants: what each shares with others is counted once."""
        total = 0
        for process in (each for running in self.processes.all for each in _processes(running.pid)):
            with suppress(psutil.NoSuchProcess):
                total += process.memory_full_info().pss
        return total / 1e6

    def cpu_seconds(self) -> Cpu:
        """What has been used so far."""
        workers = sum(_used(running.pid) for running in self.processes.all)
        return Cpu(workers, *(_used(_pid(child)) for child in (self.servers.postgres.child, self.servers.valkey.child)))


def _pid(child: Child) -> int:
    assert child.process, "it was started"
    return child.process.pid


def _processes(pid: int) -> Iterator[psutil.Process]:
    """A process and its descendants, as far as they live."""
    with suppress(psutil.NoSuchProcess):
        root = psutil.Process(pid)
        yield from [root, *root.children(recursive=True)]


class Commands(Processes):
    """As the tests start them, with a way to say more of the environment."""

    @property
    def all(self) -> Sequence[Running]:
        """Those that were started."""
        return self._all

    def set(self, name: str, value: str) -> None:
        """Tell the commands that are started from now on."""
        self._settings[name] = value


@dataclass(frozen=True)
class PostRow:
    """A post that was inserted."""

    id: int
    content_id: int
    scheduled_for: datetime


@dataclass(frozen=True)
class Cpu:
    """Seconds of CPU time."""

    workers: float
    postgresql: float
    redis: float

    def __sub__(self, other: Cpu) -> Cpu:
        return Cpu(self.workers - other.workers, self.postgresql - other.postgresql, self.redis - other.redis)


def _used(pid: int) -> float:
    """CPU time of a process and its descendants, the ended ones too."""
    total = 0.0
    for process in _processes(pid):
        with suppress(psutil.NoSuchProcess):
            total += sum(process.cpu_times()[:4])
    return total


def query(url: str, sql: str, parameters: Any = None) -> list[tuple[Any, ...]]:
    """Run one statement in autocommit mode; its rows, if it returns any."""
    with closing(psycopg2.connect(url)) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(sql, parameters)
            return cursor.fetchall() if cursor.description else []


def record(url: str, post_id: int) -> list[tuple[str, dict[str, Any], bool]]:
    """Publish one post through the store, and note each statement: its text, its values, whether in a transaction.

    As they stand: that some are planned once per connection is nothing that others could run.
    """
    recorded: list[tuple[str, dict[str, Any], bool]] = []
    execute: Callable[..., Any] = pool.database.execute_sql

    def noting(sql: str, parameters: Any = None, *rest: Any) -> Any:
        recorded.append((sql, dict(parameters or {}), pool.database.in_transaction()))
        return execute(sql, parameters, *rest)

    pool.connect_to(url)
    try:
        with (
            mock.patch.object(pool.database, "execute_sql", noting),
            mock.patch.object(pool.database, "execute_planned", lambda sql, parameters: noting(sql.plain, parameters)),
        ):
            attempt = claims.claim(post_id, worker="bench", max_lateness=timedelta(days=1))
            assert attempt is not None
            assert intents.intend(attempt, {})
            receipt = Receipt(attempt.job_id, f"noop-{post_id}", None, attempt.due_at, {"calls": []})
            assert jobs.settle_receipt(receipt)
    finally:
        pool.database.close_all()
    return recorded
