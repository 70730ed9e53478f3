"""The connection pool."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import peewee
import psycopg2
import pytest
from factories import Factories

from autoposter.database import DATABASE_AWAY, row, single_statement, transaction


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


def caption(factories: Factories) -> Any:
    return factories.query("select caption from content_item where id = 1")[0][0]


def write(caption: str) -> Any:
    return row("update content_item set caption = %(caption)s where id = 1 returning id", {"caption": caption})


@pytest.fixture
def item(database: Any, factories: Factories) -> None:
    factories.query("insert into content_item (id, caption) values (1, 'as it was')")


def test_the_server_hears_of_a_transaction_with_its_first_statement(item: None, factories: Factories) -> None:
    serving = backend()
    state = "select state from pg_stat_activity where pid = %s"

    with transaction():
        before = factories.query(state, (serving,))
        write("changed")
        begun = factories.query(state, (serving,))
        assert caption(factories) == "as it was"

    assert (before, begun) == ([("idle",)], [("idle in transaction",)])
    assert caption(factories) == "changed"


def test_a_transaction_without_a_statement_is_none_and_the_next_one_is_whole(item: None, factories: Factories) -> None:
    with transaction():
        pass
    with pytest.raises(ZeroDivisionError), transaction():
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError), transaction():
        write("changed")
        raise ZeroDivisionError

    assert caption(factories) == "as it was"


def test_a_transaction_inside_another_one_is_undone_alone(item: None, factories: Factories) -> None:
    with transaction():
        with pytest.raises(ZeroDivisionError), transaction():
            write("undone")
            raise ZeroDivisionError
        assert row("select caption from content_item where id = 1") == {"caption": "as it was"}
        write("kept")

    assert caption(factories) == "kept"


@pytest.mark.parametrize("autocommit", [True, False])
def test_on_a_borrowed_connection_a_transaction_is_theirs_or_one_of_its_own(
    item: None, database: Any, database_url: str, factories: Factories, autocommit: bool
) -> None:
    theirs = psycopg2.connect(database_url)
    theirs.autocommit = autocommit
    with database.borrow(theirs), transaction():
        write("changed")

    assert caption(factories) == ("changed" if autocommit else "as it was")
    if not autocommit:
        theirs.commit()
        assert caption(factories) == "changed"
    assert not [notice for notice in theirs.notices if "WARNING" in notice]
    theirs.close()


@pytest.mark.parametrize("fails", [True, False])
def test_a_transaction_that_they_began_is_never_ended(
    item: None, database: Any, database_url: str, factories: Factories, fails: bool
) -> None:
    theirs = psycopg2.connect(database_url)
    theirs.autocommit = True
    theirs.cursor().execute("begin; insert into content_item (id, caption) values (2, 'theirs')")
    with database.borrow(theirs), suppress(ZeroDivisionError), transaction():
        write("changed")
        if fails:
            raise ZeroDivisionError

    assert factories.query("select id from content_item") == [(1,)]
    theirs.cursor().execute("commit")
    assert caption(factories) == ("as it was" if fails else "changed")
    assert factories.query("select id from content_item where id = 2") == [(2,)]
    theirs.close()


@pytest.mark.parametrize("statements_before", [0, 1])
def test_whoever_loses_the_connection_in_a_transaction_is_told_why(
    item: None, database: Any, factories: Factories, statements_before: int
) -> None:
    with pytest.raises(peewee.OperationalError, match="terminat"), transaction():
        for _ in range(statements_before):
            write("changed")
        lose_the_connection(database, factories)
        write("changed again")  # the reason that it gives, not that the connection is closed

    assert caption(factories) == "as it was"


def test_a_transaction_that_loses_its_connection_before_the_end_has_not_happened(
    item: None, database: Any, factories: Factories
) -> None:
    with pytest.raises(DATABASE_AWAY), transaction():
        write("changed")
        lose_the_connection(database, factories)

    assert caption(factories) == "as it was"


def test_a_transaction_that_lost_its_connection_cannot_end_well_whatever_was_caught_in_it(
    item: None, database: Any, factories: Factories
) -> None:
    with pytest.raises(DATABASE_AWAY), transaction():
        write("changed")
        lose_the_connection(database, factories)
        with suppress(DATABASE_AWAY):
            write("changed again")

    assert caption(factories) == "as it was"


def test_a_transaction_outside_of_a_connection_is_refused(database: Any) -> None:
    with pytest.raises(peewee.InterfaceError, match="no connection is open"), database.atomic():
        pass


def lose_the_connection(database: Any, factories: Factories) -> None:
    """Have the server end the connection of this thread."""
    factories.query("select pg_terminate_backend(%s, 5000)", (database.connection().info.backend_pid,))
