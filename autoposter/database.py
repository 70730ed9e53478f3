"""The connection pool, and the transaction that every statement runs in."""

from __future__ import annotations

import os
import select
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import peewee
import psycopg2
import psycopg2.extensions
from playhouse.pool import MaxConnectionsExceeded, PooledPostgresqlDatabase

from autoposter.errors import OutOfReach, WrongUsage
from autoposter.plans import PLANS_LOST, Connection, Planned, sqlstate

#: Connections of one process, however many threads it has: they are held for a transaction, never across a call.
#: Its heartbeat and its scan have one more each (`OwnConnection`).
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

#: Of these, what the server says of a statement that it has undone: a lock was not to be had in time, a deadlock, a
#: conflict, a cancellation (https://www.postgresql.org/docs/current/errcodes-appendix.html).
ROLLED_BACK = {"55P03", "40P01", "40001", "57014"}

#: Whatever the database may say; `is_refused` tells what is about a row.
DATABASE_ERROR = (peewee.PeeweeException, psycopg2.Error)

#: Classes of what it says that are about no row: connections, rights, transactions, the schema, resources, the server.
ABOUT_NO_ROW = {"08", "0A", "25", "26", "28", "2D", "3D", "40", "42", "53", "57", "58", "F0", "XX"}

#: What reading a row raises that no Python value can hold: a number of 5,000 digits, a hole of 3,000 levels.  Of these,
#: `MaxConnectionsExceeded` (a ValueError) says nothing about a row: ask for `DATABASE_AWAY` first.
UNREADABLE = (ValueError, OverflowError, TypeError, RecursionError)

#: What writing raises that no database would ever take: trying again changes nothing.  Ask for `DATABASE_AWAY` first.
UNWRITABLE = (peewee.DataError, *UNREADABLE)


def was_rolled_back(error: BaseException) -> bool:
    """Whether the database itself said that nothing of the statement stays; False: it may have been committed."""
    return sqlstate(error) in ROLLED_BACK | PLANS_LOST or is_refused(error)


def is_refused(error: BaseException) -> bool:
    """Whether the database refused a row, as a trigger or constraint of its owner's can: it would take another.

    Ask for it before `DATABASE_AWAY` and `UNWRITABLE`: a trigger may raise what stands among them.
    """
    code = sqlstate(error)
    return code is not None and code not in ROLLED_BACK and code[:2] not in ABOUT_NO_ROW


class _Adapter(peewee.Psycopg2Adapter):
    """Opens a raw connection by its libpq URL, with our defaults for what the URL does not say."""

    def connect(self, db: peewee.Database, **parameters: Any) -> psycopg2.extensions.connection:
        given = psycopg2.extensions.parse_dsn(parameters["dsn"])
        return psycopg2.connect(**(CONNECTION_DEFAULTS | given), connection_factory=Connection)


class Database(PooledPostgresqlDatabase):
    """Peewee's pool, opened by a libpq URL, and able to work inside another program's transaction."""

    psycopg2_adapter = _Adapter
    _state: Any

    def _is_closed(self, conn: psycopg2.extensions.connection) -> bool:
        """Whether a connection from the pool was lost.

        A server that ended it has said so, and that can be heard without asking it; Peewee asks each time, which was
        three of eight round trips of a post.  A server that vanished without a word is no sooner noticed by asking.
        """
        if conn.closed:
            return True
        return _has_news(conn) and bool(super()._is_closed(conn))  # type: ignore[no-untyped-call]  # Peewee's is bare

    def begin(self, isolation_level: str | None = None) -> None:
        """Begin a transaction: the server hears of it with the first statement, which saves a round trip.

        Raises InterfaceError where no connection is open.
        """
        self.cursor().close()
        if isolation_level:
            super().begin(isolation_level)

    def execute_sql(self, sql: str, params: Any = None) -> Any:
        """Run SQL; the first of a transaction begins it."""
        if self._state.transactions and self._has_begun_nothing():
            sql = f"begin;{sql}"
        return super().execute_sql(sql, params)  # type: ignore[no-untyped-call]  # Peewee's is bare

    def commit(self) -> None:
        """End the transaction: what it did stays.  Raises one of DATABASE_AWAY where that is not known."""
        if not self._has_begun_nothing():
            super().commit()

    def rollback(self) -> None:
        """End the transaction: nothing of it stays.  With a lost connection it has ended: what was raised tells why."""
        if not (self._state.conn.closed or self._has_begun_nothing()):
            super().rollback()

    def _has_begun_nothing(self) -> bool:
        """Whether the server has no transaction on this connection, nor will psycopg2 begin one by itself."""
        connection = self._state.conn
        idle = psycopg2.extensions.TRANSACTION_STATUS_IDLE
        return bool(connection.autocommit and connection.get_transaction_status() == idle)

    def cursor(self, named_cursor: str | None = None) -> Any:
        """A plain cursor: rows are tuples, also where a borrowed connection has another kind as its default."""
        if self.is_closed():
            raise peewee.InterfaceError("A statement outside of a transaction: no connection is open.")
        return self._state.conn.cursor(cursor_factory=psycopg2.extensions.cursor)

    def open_beside(self) -> psycopg2.extensions.connection:
        """A connection that the pool knows nothing of."""
        opened: psycopg2.extensions.connection = self.psycopg2_adapter().connect(self, **self.connect_params)
        opened.autocommit = True  # as Peewee's own: a statement by itself is a transaction
        return opened

    def execute_planned(self, statement: Planned, parameters: dict[str, Any]) -> Any:
        """Run a statement by its plan; on another program's connection as it stands."""
        connection = self._state.conn
        if isinstance(connection, Connection):
            return connection.run(statement, parameters, self.execute_sql)
        return self.execute_sql(statement.plain, parameters)

    @contextmanager
    def borrow(self, connection: psycopg2.extensions.connection) -> Iterator[None]:
        """Run this thread's statements on another program's psycopg2 connection; neither commit nor close it.

        Its transaction, begun or about to begin, is only extended: `transaction` is a savepoint of it.  In autocommit
        mode with no transaction begun there is none to extend, and `transaction` is one of its own.
        """
        if not isinstance(connection, psycopg2.extensions.connection):
            raise WrongUsage(f"The connection is one of psycopg2, not a {type(connection).__name__}.")
        if connection.closed:
            raise WrongUsage("The connection that was handed over is closed.")
        state = self._state
        mine = (state.closed, state.conn, state.ctx, state.transactions, state.commit_callbacks)
        in_their_transaction = not connection.autocommit or (
            connection.info.transaction_status != psycopg2.extensions.TRANSACTION_STATUS_IDLE
        )
        state.set_connection(connection)
        state.ctx = [self.borrow]  # anything: a context that stays open keeps Peewee from closing the connection
        state.transactions = [None] if in_their_transaction else []  # so that `atomic` sets a savepoint
        try:
            yield
        finally:
            state.closed, state.conn, state.ctx, state.transactions, state.commit_callbacks = mine


def _has_news(connection: psycopg2.extensions.connection) -> bool:
    """Whether something arrived on an idle connection: its end, or a notice."""
    poll = select.poll()
    poll.register(connection.fileno(), select.POLLIN)
    return bool(poll.poll(0))


database = Database(None, autoconnect=False, max_connections=POOL_SIZE, timeout=POOL_TIMEOUT_SECONDS)


#: The process that chose the database; a forked child finds another id than its own.
_chooser: int | None = None


def connect_to(url: str) -> None:
    """Choose the database.  Opens nothing yet; the pool opens what it needs."""
    global _chooser
    database.close_idle()  # they lead to the database that was chosen before
    database.init("autoposter", dsn=url)  # the name only tells Peewee that it may open; the URL says where
    _chooser = os.getpid()


def connect_once(url: str) -> bool:
    """Choose the database, unless this process has chosen it already.  True: it had not."""
    if database.connect_params.get("dsn") == url and _chooser == os.getpid():
        return False
    if _chooser != os.getpid():
        database.dispose()  # a fork's connections are its parent's: forget them, and close nothing
    connect_to(url)
    return True


class OwnConnection:
    """A connection beside the pool, for a thread that must not wait while others use the pool up.

    A program that locks the posts in flight makes their threads wait, each with a connection; leases must be renewed
    all the same.
    """

    def __init__(self) -> None:
        self._connection: psycopg2.extensions.connection | None = None
        self._url: str | None = None

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """Run this thread's statements on it.  Opens it anew where it broke, or another database was chosen."""
        url = database.connect_params["dsn"]
        if self._connection is None or self._connection.closed or self._url != url:
            self._connection, self._url = None, url
            self._connection = database.open_beside()
        with database.borrow(self._connection):
            yield


@contextmanager
def transaction() -> Iterator[None]:
    """One transaction on a connection from the pool; inside another one, a savepoint of it."""
    with database.connection_context(), database.atomic():
        yield


@contextmanager
def single_statement() -> Iterator[None]:
    """A connection from the pool for one statement, which is a transaction by itself: one round trip."""
    with database.connection_context():
        yield


def execute(sql: str | Planned, parameters: dict[str, Any] | None = None) -> Any:
    """Run one statement in the present transaction; returns the cursor."""
    if isinstance(sql, Planned):
        return database.execute_planned(sql, parameters or {})
    return database.execute_sql(sql, parameters)


def rows(sql: str | Planned, parameters: dict[str, Any] | None = None) -> list[dict[str, Any]]:
    """Run one statement; its rows by column name."""
    cursor = execute(sql, parameters)
    names = [column.name for column in cursor.description]
    return [dict(zip(names, map(_in_utc, row), strict=True)) for row in cursor.fetchall()]


def _in_utc(value: Any) -> Any:
    return value.astimezone(UTC) if isinstance(value, datetime) else value


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
        raise OutOfReach(f"The database cannot be reached: {reason_away(error)}.") from error


def reason_away(error: BaseException) -> str:
    """Why the database is away, in one line."""
    lines = str(error).strip().splitlines()
    return lines[0].rstrip(".") if lines else type(error).__name__
