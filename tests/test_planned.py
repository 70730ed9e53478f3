"""Statements that are planned once for many runs, and where that cannot be."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import moves
import peewee
import psycopg2
import psycopg2.extensions
import pytest
from factories import Factories

from autoposter import plans
from autoposter.database import row, rows, single_statement, was_rolled_back
from autoposter.plans import Planned
from autoposter.store import claims, intents, jobs
from autoposter.store.snapshots import Attempt

PLANS = "select name, generic_plans::int + custom_plans::int as runs, prepare_time from pg_prepared_statements"

DOUBLE = Planned("double", "select 2 * %(number)s::int as doubled")


def doubled(number: int) -> int:
    with single_statement():
        found = row(DOUBLE, {"number": number})
    assert found is not None
    return int(found["doubled"])


def planned() -> list[dict[str, Any]]:
    with single_statement():
        return rows(PLANS)


@contextmanager
def told_as_a_poolers(monkeypatch: pytest.MonkeyPatch, database: Any) -> Iterator[None]:
    """Connections that were told another session's id than their own, as a pooler does."""
    database.close_idle()
    monkeypatch.setattr(plans.Connection, "info", SimpleNamespace(backend_pid=1), raising=False)
    yield
    assert planned() == []


def test_a_statement_is_planned_once_for_many_runs(database: Any) -> None:
    database.close_idle()

    assert [doubled(number) for number in (1, 2, 3)] == [2, 4, 6]

    assert [(plan["name"], plan["runs"]) for plan in planned()] == [(DOUBLE.name, 3)]


def test_a_plan_is_made_anew_when_it_is_old(database: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    doubled(1)
    before = planned()
    monkeypatch.setattr(plans, "PLAN_LASTS", timedelta(0))

    doubled(1)

    after = planned()
    assert [(plan["name"], plan["runs"]) for plan in after] == [(DOUBLE.name, 1)]
    assert after[0]["prepare_time"] > before[0]["prepare_time"]


def test_what_was_planned_although_the_answer_was_lost_is_planned_anew(
    database: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    database.close_idle()
    execute = database.execute_sql

    def lose_the_answer(sql: str, *arguments: Any) -> Any:
        done = execute(sql, *arguments)
        if "prepare " in sql:
            raise psycopg2.extensions.QueryCanceledError
        return done

    with monkeypatch.context() as patched, pytest.raises(psycopg2.extensions.QueryCanceledError):
        patched.setattr(database, "execute_sql", lose_the_answer)
        doubled(1)

    assert doubled(2) == 4


LOCKED_MOVES: dict[str, Callable[[int, Attempt], object]] = {
    "claims": lambda post, _: claims.claim_free([post], worker="w1", max_lateness=None),
    "intents": lambda _, attempt: intents.intend_free([(attempt, {})], worker="w1"),
    "receipts": lambda _, attempt: jobs.settle_free_receipts([moves.receipt_of(attempt)]),
}


@pytest.mark.parametrize("move", LOCKED_MOVES)
def test_while_a_table_is_locked_planning_waits_no_longer_than_the_move(
    database: Any, database_url: str, factories: Factories, move: str
) -> None:
    post, attempt = factories.post(-timedelta(seconds=1)), moves.claimed(factories.post(-timedelta(seconds=1)))
    database.close_idle()
    theirs = psycopg2.connect(database_url)
    theirs.cursor().execute("lock table post_instance, publish_job")
    lets_go = threading.Timer(5, theirs.close)
    lets_go.start()
    try:
        with pytest.raises(peewee.OperationalError) as refused:
            LOCKED_MOVES[move](post, attempt)
    finally:
        lets_go.cancel()
        theirs.close()

    assert plans.sqlstate(refused.value) == "55P03"  # its lock timeout, by itself


def test_on_the_connection_of_another_program_nothing_is_planned(database: Any, database_url: str) -> None:
    theirs = psycopg2.connect(database_url)
    try:
        with database.borrow(theirs):
            assert doubled(2) == 4
            assert planned() == []
    finally:
        theirs.close()


def test_behind_a_pooler_every_move_is_made_and_nothing_planned(
    database: Any, factories: Factories, monkeypatch: pytest.MonkeyPatch
) -> None:
    posts = [factories.post(-timedelta(seconds=1)) for _ in range(2)]

    with told_as_a_poolers(monkeypatch, database):
        attempts = claims.claim_free(posts, worker="w1", max_lateness=None)
        promised = intents.intend_free([(attempt, {}) for attempt in attempts.values()], worker="w1")
        completed = jobs.settle_free_receipts([moves.receipt_of(attempt) for attempt in attempts.values()])

    assert attempts.keys() == set(posts)
    assert promised.keys() == completed.keys() == {attempt.job_id for attempt in attempts.values()}
    assert {factories.row("post_instance", post)["status"] for post in posts} == {"Posted"}


def test_a_pooler_that_tells_a_true_session_is_noticed_when_another_one_has_the_plans(
    database: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plans.Connection, "plans_were_lost", False)
    database.close_idle()
    doubled(1)
    with single_statement():
        database.execute_sql("deallocate all")  # as if the next transaction came to another session

    with pytest.raises(peewee.OperationalError) as refused:
        doubled(2)

    assert was_rolled_back(refused.value), "each of several moves would count as made, perhaps"
    assert doubled(3) == 6
    database.close_idle()
    assert doubled(4) == 8  # nor does another connection
    assert planned() == []


@pytest.mark.parametrize("place", ["%(b)s", "%(b)s::timestamp with time zone", "%(b)s::oid"])
def test_a_statement_must_say_of_which_type_its_values_are(place: str) -> None:
    with pytest.raises(ValueError, match="The statement x does not say of which type b is"):
        Planned("x", f"select %(a)s::int, {place}, %(a)s")
