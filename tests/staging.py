"""What stages a race: another program's transaction that is held open, and a move that is seen to wait for it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

import psycopg2
import psycopg2.extensions
from processes import wait_until

T = TypeVar("T")

#: Asks who waits for another's lock, and what it is doing.
BLOCKED = """
    select query from pg_stat_activity
     where datname = current_database() and cardinality(pg_blocking_pids(pid)) > 0"""


class Stage:
    """Opens transactions of other programs, runs moves in threads, and sees who waits for whom."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._threads = ThreadPoolExecutor(max_workers=8)
        self._spectator = psycopg2.connect(url)
        self._spectator.autocommit = True

    @contextlib.contextmanager
    def program(self) -> Iterator[Callable[..., list[tuple[Any, ...]]]]:
        """Another program's transaction: `run(sql, parameters)`.  Committed at the end of the block."""
        connection = psycopg2.connect(self._url)

        def run(sql: str, parameters: Any = ()) -> list[tuple[Any, ...]]:
            with connection.cursor() as cursor:
                cursor.execute(sql, parameters)
                return cursor.fetchall() if cursor.description else []

        try:
            yield run
            connection.commit()
        finally:
            connection.close()

    def begin(self, move: Callable[..., T], *arguments: Any, **options: Any) -> Future[T]:
        """Run a move in a thread of its own."""
        return self._threads.submit(move, *arguments, **options)

    def blocked(self) -> int:
        """How many sessions wait for another's lock."""
        with self._spectator.cursor() as cursor:
            cursor.execute(BLOCKED)
            return len(cursor.fetchall())

    def wait_until_blocked(self, sessions: int = 1) -> None:
        """Return when so many wait for a lock; no sleep decides what comes first."""
        wait_until(lambda: self.blocked() >= sessions, 5, f"{sessions} session(s) waiting for a lock")

    def close(self) -> None:
        self._threads.shutdown(wait=True, cancel_futures=True)
        self._spectator.close()
