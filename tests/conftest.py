"""One PostgreSQL and one Valkey per run, from the extra `local`, and what tests begin with.

`AUTOPOSTER_TEST_DATABASE_URL` (a user that may create databases) and `AUTOPOSTER_TEST_REDIS_URL` name other servers.
A test of the store uses `database` and the `make_...` factories; a test that starts processes uses
`fresh_database_url` or, simpler, `run_processes` with the factories of `fresh`.
"""

from __future__ import annotations

import itertools
import os
import secrets
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg2
import psycopg2.extensions
import pytest
import redis
from cryptography.fernet import Fernet
from factories import Factories
from processes import Processes
from processes import wait_until as _wait_until

from autoposter import database as pool
from autoposter.local import LocalServers, temporary_folder
from autoposter.migrations import OUR_TABLES, migrate

#: Prints what the measured fault scenarios found; brings `--figures FILE`.
pytest_plugins = ["faults.measured"]

#: Nothing here has to survive a power cut.
FAST = ("fsync=off", "synchronous_commit=off", "full_page_writes=off", "max_connections=200", "max_wal_size=2GB")

_counter = itertools.count(1)


def pytest_addoption(parser: pytest.Parser) -> None:
    """How long and how random the fault tests are."""
    parser.addoption("--long", action="store_true", help="the long version of the fault tests: half an hour")
    parser.addoption("--seed", type=int, default=1, help="of the storm's faults and of its platform's")


class Servers:
    """The servers of this run, and the databases made on them."""

    def __init__(self, database_url: str, redis_url: str) -> None:
        self.database_url = database_url
        self.redis_url = redis_url
        self.run = f"autoposter_test_{secrets.token_hex(3)}"
        self.template = self._create(f"{self.run}_template")
        self._made = [self.template]
        pool.connect_to(self.url_of(self.template))
        migrate()
        pool.database.close_all()

    def url_of(self, name: str) -> str:
        """The URL of another database on the same server."""
        parts = urlsplit(self.database_url)
        if parts.scheme:
            return parts._replace(path=f"/{name}").geturl()
        return str(psycopg2.extensions.make_dsn(self.database_url, dbname=name))

    def copy(self) -> str:
        """A new database with our tables and no rows; its URL.  Takes about 70 ms."""
        self._made.append(self._create(f"{self.run}_{next(_counter)}", f"template {self.template}"))
        return self.url_of(self._made[-1])

    def drop(self, url: str) -> None:
        """Drop a copy, whoever is still connected."""
        name = psycopg2.extensions.parse_dsn(url)["dbname"]
        self._run(f"drop database if exists {name} with (force)")

    def drop_all(self) -> None:
        for name in self._made:
            self._run(f"drop database if exists {name} with (force)")

    def _create(self, name: str, how: str = "") -> str:
        self._run(f"create database {name} {how}")
        return name

    def _run(self, sql: str) -> None:
        connection = psycopg2.connect(self.database_url)
        connection.autocommit = True
        try:
            with connection.cursor() as cursor:
                cursor.execute(sql)
        finally:
            connection.close()


def pytest_configure(config: pytest.Config) -> None:
    """A run that is told to end by SIGTERM (`timeout 60 pytest`) stops its servers and removes their folder."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    config.addinivalue_line("markers", "long: only with --long")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what is marked `long`, unless it was asked for."""
    if not config.getoption("--long"):
        left_out = [item for item in items if item.get_closest_marker("long")]
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]


@pytest.fixture
def long(request: pytest.FixtureRequest) -> bool:
    """Whether the long version was asked for."""
    return bool(request.config.getoption("--long"))


@pytest.fixture
def seed(request: pytest.FixtureRequest) -> int:
    """What random faults are drawn from."""
    return int(request.config.getoption("--seed"))


@pytest.fixture(scope="session", autouse=True)
def _no_settings_of_the_developer() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("AUTOPOSTER_")]:
            if not name.startswith("AUTOPOSTER_TEST_"):
                patch.delenv(name)
        yield


@pytest.fixture(scope="session")
def servers() -> Iterator[Servers]:
    """The servers of this run.  A server that is missing fails the run."""
    database_url = os.environ.get("AUTOPOSTER_TEST_DATABASE_URL")
    redis_url = os.environ.get("AUTOPOSTER_TEST_REDIS_URL")
    with ExitStack() as stack:
        folder = stack.enter_context(temporary_folder())
        local = stack.enter_context(
            LocalServers(folder, postgres=not database_url, valkey=not redis_url, postgres_options=FAST)
        )
        made = Servers(database_url or local.urls.database_url or "", redis_url or local.urls.redis_url or "")
        stack.callback(made.drop_all)
        yield made


@pytest.fixture(scope="session")
def _shared_database_url(servers: Servers) -> str:
    return servers.copy()


@pytest.fixture
def database_url(_shared_database_url: str) -> Iterator[str]:
    """A database with our tables and no rows, whose rows are deleted afterwards (1 ms)."""
    yield _shared_database_url
    # A `Publishing` post cannot be deleted.
    deletes = ["update post_instance set status = 'Draft' where status = 'Publishing'"]
    deletes += [f"delete from {table}" for table in reversed(OUR_TABLES)]  # noqa: S608
    Factories(_shared_database_url).query("; ".join(deletes))


@pytest.fixture
def database(database_url: str) -> Iterator[Any]:
    """`autoposter.database`, connected to `database_url`."""
    pool.connect_to(database_url)
    yield pool.database
    pool.database.close_all()


@pytest.fixture
def factories(database_url: str) -> Factories:
    """Inserts rows into `database_url`, and reads them."""
    return Factories(database_url)


@pytest.fixture
def make_account(factories: Factories) -> Callable[..., int]:
    """`make_account(platform="stub", **columns)`: its id."""
    return factories.account


@pytest.fixture
def make_content(factories: Factories) -> Callable[..., int]:
    """`make_content(**columns)`: its id."""
    return factories.content


@pytest.fixture
def make_media(factories: Factories) -> Callable[..., int]:
    """`make_media(content_item_id, source=..., **columns)`: its id."""
    return factories.media


@pytest.fixture
def make_post(factories: Factories) -> Callable[..., int]:
    """`make_post(due_in=timedelta(0), **columns)`: its id."""
    return factories.post


@pytest.fixture
def post_row(factories: Factories) -> Callable[[int], dict[str, Any]]:
    """One post as it stands now."""
    return partial(factories.row, "post_instance")


@pytest.fixture
def job_row(factories: Factories) -> Callable[[int], dict[str, Any]]:
    """One job as it stands now."""
    return partial(factories.row, "publish_job")


@pytest.fixture
def fresh_database_url(servers: Servers) -> Iterator[str]:
    """A database of this test's own, for tests that start processes."""
    url = servers.copy()
    yield url
    servers.drop(url)


@pytest.fixture
def fresh(fresh_database_url: str) -> Factories:
    """Inserts rows into `fresh_database_url`, and reads them."""
    return Factories(fresh_database_url)


@pytest.fixture
def redis_url(servers: Servers) -> Iterator[str]:
    """The broker, empty."""
    client = redis.Redis.from_url(servers.redis_url)
    client.flushdb()
    yield servers.redis_url
    client.flushdb()
    client.close()


@pytest.fixture
def run_processes(
    fresh_database_url: str, redis_url: str, tmp_path: Path, request: pytest.FixtureRequest
) -> Iterator[Processes]:
    """Starts `dramatiq autoposter.actors`, `periodiq autoposter.actors` and others on `fresh_database_url`."""
    running = Processes(
        tmp_path,
        {
            "AUTOPOSTER_DATABASE_URL": fresh_database_url,
            "AUTOPOSTER_REDIS_URL": redis_url,
            "AUTOPOSTER_SECRET_KEYS": Fernet.generate_key().decode("ascii"),
            "AUTOPOSTER_STUB_JOURNAL": str(tmp_path / "journal.jsonl"),
        },
    )
    yield running
    running.end_all()
    print(running.report())  # pytest shows it only when the test fails


@pytest.fixture
def wait_until() -> Callable[..., Any]:
    """`wait_until(condition, timeout=10.0, message="")`: polls; returns the true answer, or fails."""
    return _wait_until


@pytest.fixture
def seconds() -> Callable[[float], timedelta]:
    """`seconds(5)`: a timedelta, for `due_in`."""
    return lambda number: timedelta(seconds=number)
