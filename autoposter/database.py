"""The connection pool, and the transaction that every statement runs in."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import peewee
import psycopg2
import psycopg2.extensions
from playhouse.pool import MaxConnectionsExceeded, PooledPostgresqlDatabase

from autoposter.errors import OutOfReach

#: Connections of one process, however many threads it has: they are held for a transaction, never across a call.
POOL_SIZE = 8

#: How long a thread waits for a free connection before the database counts as away, in seconds.
POOL_TIMEOUT_SECONDS = 10

#: What a connection is opened with where the URL does not say otherwise.  A server that vanishes without a word is
#: noticed within seconds (keepalives for an idle connection, tcp_user_timeout for a busy one).
CONNECTION_DEFAULTS = {
    "connect_timeout": "5",
    "keepalives_idle": "5",
    "keepalives_interval": "2",
    "keepalives_count": "3",
    "tcp_user_timeout": "10000",
    "application_name": "autoposter",
}

#: What is raised when the database is away: trouble of our own, never a failure of a post.
DATABASE_AWAY = (
    peewee.OperationalError,
    peewee.InterfaceError,
    psycopg2.OperationalError,
    psycopg2.InterfaceError,
    MaxConnectionsExceeded,
)


class Database(PooledPostgresqlDatabase):  # type: ignore[misc] # playhouse.pool ships no types
    """Peewee's pool, opened by a libpq URL, and able to work inside another program's transaction."""

    def _connect_raw(self) -> psycopg2.extensions.connection:
        given = psycopg2.extensions.parse_dsn(self.connect_params["dsn"])
        connection = psycopg2.connect(**(CONNECTION_DEFAULTS | given))
        connection.autocommit = True
        return connection

    @contextmanager
    def borrow(self, connection: psycopg2.extensions.connection) -> Iterator[None]:
        """Run this thread's statements on another program's psycopg2 connection; neither commit nor close it."""
        mine = vars(self._state).copy()
        self._state.set_connection(connection)
        in_their_transaction = not connection.autocommit or (
            connection.info.transaction_status != psycopg2.extensions.TRANSACTION_STATUS_IDLE
        )
        if in_their_transaction:
            self.push_transaction(None)  # so that `atomic` sets a savepoint instead of committing
        try:
            yield
        finally:
            vars(self._state).update(mine)


database = Database(None, autoconnect=False, max_connections=POOL_SIZE, timeout=POOL_TIMEOUT_SECONDS)


def connect_to(url: str) -> None:
    """Choose the database.  Opens nothing yet; the pool opens what it needs."""
    database.init("", dsn=url)


@contextmanager
def transaction() -> Iterator[None]:
    """One transaction on a connection from the pool; inside another one, a savepoint of it."""
    with database.connection_context(), database.atomic():
        yield


def execute(sql: str, parameters: dict[str, Any] | None = None) -> Any:
    """Run one statement in the present transaction; returns the cursor."""
    return database.execute_sql(sql, parameters)


def rows(sql: str, parameters: dict[str, Any] | None = None) -> list[dict[str, Any]]:
    """Run one statement; its rows by column name."""
    cursor = execute(sql, parameters)
    names = [column.name for column in cursor.description]
    return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


def row(sql: str, parameters: dict[str, Any] | None = None) -> dict[str, Any] | None:
    """Run one statement that touches one row at most; None if it touched none."""
    found = rows(sql, parameters)
    return found[0] if found else None


def database_time() -> datetime:
    """The database's clock.  Raises OperationalError when it is away."""
    with database.connection_context():
        now: datetime = execute("select clock_timestamp()").fetchone()[0]
    return now


@contextmanager
def out_of_reach_in_one_sentence() -> Iterator[None]:
    """Turn "the database is away" into one sentence for a person, without the password in its address."""
    try:
        yield
    except DATABASE_AWAY as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise OutOfReach(f"The database cannot be reached: {reason}.") from error
