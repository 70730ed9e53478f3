"""Statements that PostgreSQL plans once for many runs, as prepared statements.

Planning a move took as long as carrying it out: 1.0 of the 2.0 ms that PostgreSQL spent on a post of a drain.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

import psycopg2.extensions

#: A plan is used for so long: it is made for the sizes that the tables had.  One made for an empty table reads the
#: whole of it when it has filled, until PostgreSQL counts it anew.
PLAN_LASTS = timedelta(seconds=5)

#: What the database says where another session has the plans after all: there is no such statement, or one already.
PLANS_LOST = {"26000", "42P05"}

_PLACE = re.compile(r"%\((\w+)\)s(::[a-z]+(?:\[\])?)?")


class Planned:
    """A statement with named places, at least once with their type (`%(ids)s::bigint[]`)."""

    def __init__(self, name: str, sql: str, *, first: str = "") -> None:
        """`first`: what goes before it in each of its transactions.  Raises ValueError for a place without a type."""
        types: dict[str, str] = {}
        for place, its_type in _PLACE.findall(sql):
            types[place] = types.get(place) or its_type
        if untyped := [place for place, its_type in types.items() if not its_type]:
            raise ValueError(f"The statement {name} does not say of which type {', '.join(untyped)} is.")
        self.name = name
        self.plain = f"{first}{sql}"
        self.prepare = f"prepare {name} ({', '.join(its_type[2:] for its_type in types.values())}) as {sql}"
        self.places = {place: psycopg2.extensions.AsIs(f"${n}") for n, place in enumerate(types, start=1)}
        values = ", ".join(f"%({place})s{its_type}" for place, its_type in types.items())
        self.run = f"{first} set local plan_cache_mode = force_generic_plan; execute {name} ({values})"


class Connection(psycopg2.extensions.connection):
    """A connection that knows what is planned on it."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._keeps_plans: bool | None = None
        self._planned: set[str] | None = None
        self._planned_since = 0.0

    def run(self, statement: Planned, parameters: Mapping[str, Any], execute: Callable[..., Any]) -> Any:
        """Run a statement by its plan, which is made anew where it is old; as it stands where there can be none.

        `execute` runs SQL on this connection.  Raises what it raises.
        """
        if self._keeps_plans is None:
            # A pooler hands each transaction to another session, and tells each client an id of its own making.
            session = execute("select pg_backend_pid()").fetchone()[0]
            self._keeps_plans = session == self.info.backend_pid
        if not self._keeps_plans:
            return execute(statement.plain, parameters)
        try:
            self._plan(statement, execute)
            return execute(statement.run, parameters)
        except Exception as error:
            if sqlstate(error) in PLANS_LOST:
                self._keeps_plans = False
            raise

    def _plan(self, statement: Planned, execute: Callable[..., Any]) -> None:
        if self._planned is None or time.monotonic() - self._planned_since > PLAN_LASTS.total_seconds():
            self._planned = None
            execute("deallocate all")
            self._planned, self._planned_since = set(), time.monotonic()
        if statement.name not in self._planned:
            planned, self._planned = self._planned, None  # should this fail, nobody knows what is planned
            execute(statement.prepare, statement.places)
            self._planned = planned | {statement.name}


def sqlstate(error: BaseException) -> str | None:
    """What the database says of an error, if it was its own, also through Peewee's."""
    code: str | None = getattr(getattr(error, "orig", error), "pgcode", None)
    return code
