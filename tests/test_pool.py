"""The connection pool."""

from __future__ import annotations

from typing import Any

from factories import Factories

from autoposter.database import row, single_statement


def backend() -> int:
    """Which server process serves this thread now."""
    with single_statement():
        found = row("select pg_backend_pid() as pid")
    assert found is not None
    return int(found["pid"])


def test_a_connection_is_used_again(database: Any) -> None:
    assert backend() == backend()


def test_a_connection_that_the_server_ended_meanwhile_is_not_handed_out(database: Any, factories: Factories) -> None:
    ended = backend()
    factories.query("select pg_terminate_backend(%s, 5000)", (ended,))  # returns when it is gone

    assert backend() != ended


def test_a_connection_that_only_has_a_notice_is_kept(database: Any, factories: Factories) -> None:
    listening = backend()
    with single_statement():
        database.execute_sql("listen news")
    factories.query("notify news")

    assert backend() == listening
