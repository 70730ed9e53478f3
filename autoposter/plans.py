"""Statements that PostgreSQL plans once for many runs, as prepared statements: planning costs as much as a run does."""

from __future__ import annotations

import re
import time
import zlib
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

import psycopg2.extensions

#: A plan is used for so long: it is made for the sizes that the tables had.  One made for an empty table reads the
#: whole of it when it has filled, until PostgreSQL counts it anew.
PLAN_LASTS = timedelta(seconds=5)

#: What the database says where another session has the plans after all: there is no such statement, or one already
#: (https://www.postgresql.org/docs/current/errcodes-appendix.html).
PLANS_LOST = {"26000", "42P05"}

#: Any values have the same plan: one for each run's own values would be made each time.  Until the transaction ends it
#: holds for the functions of the owner's triggers too.
_FOR_ANY_VALUES = "set local plan_cache_mode = force_generic_plan;"

_PLACE = re.compile(r"%\((\w+)\)s(?:::([a-z]+(?:\[\])?))?")
_TYPES = {"bigint", "int", "interval", "jsonb", "text", "timestamptz"}


class Planned:
    """A statement with named places, each at least once with its type (`%(ids)s::bigint[]`)."""

    def __init__(self, name: str, sql: str, *, first: str = "") -> None:
        """`first`: what goes before it in each of its transactions.  Raises ValueError for a place without a type."""
        types: dict[str, str] = {}
        for place, its_type in _PLACE.findall(sql):
            types[place] = types.get(place) or its_type
        for place, its_type in types.items():
            if its_type.removesuffix("[]") not in _TYPES:
                raise ValueError(
                    f"The statement {name} does not say of which type {place} is: one of {sorted(_TYPES)}."
                )
        numbers = {place: f"${number}" for number, place in enumerate(types, start=1)}
        text = re.sub(r"%\((\w+)\)s", lambda found: numbers[found[1]], sql)
        #: One of another version of autoposter has another name.
        self.name = f"{name}_{zlib.crc32(sql.encode()):08x}"
        self.first = first
        #: As it stands, for where nothing can be planned ahead.
        self.plain = f"{first}{sql}"
        self.prepare = f"prepare {self.name} ({', '.join(types.values())}) as {text};"
        values = ", ".join(f"%({place})s::{its_type}" for place, its_type in types.items())
        self.execute = f"execute {self.name} ({values})"


class Connection(psycopg2.extensions.connection):
    """A connection that knows what is planned on it."""

    #: A pooler in between was not recognised before: no connection of this process shall meet it again.
    plans_were_lost = False

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._keeps_plans: bool | None = None
        self._planned: set[str] | None = None
        self._planned_since = 0.0

    def run(self, statement: Planned, parameters: Mapping[str, Any], execute: Callable[..., Any]) -> Any:
        """Run a statement by its plan, which is made anew where it is old; as it stands where there can be none.

        `execute` runs SQL on this connection.  One round trip, whether it is to be planned or not: while it waits for
        a lock on a table, its own lock timeout holds.  Raises what `execute` raises.
        """
        if self._keeps_plans is None:
            # A pooler hands each transaction to another session, and tells each client an id of its own making.
            session = execute("select pg_backend_pid()").fetchone()[0]
            self._keeps_plans = session == self.info.backend_pid
        if not self._keeps_plans or Connection.plans_were_lost:
            return execute(statement.plain, parameters)
        planned, begins_anew = self._planned or set(), ""
        now = time.monotonic()
        if not planned or now - self._planned_since > PLAN_LASTS.total_seconds():
            planned, begins_anew, self._planned_since = set(), "deallocate all;", now
        prepare = "" if statement.name in planned else statement.prepare
        self._planned = None  # should this fail, nobody knows what is planned
        try:
            done = execute(
                f"{statement.first}{_FOR_ANY_VALUES}{begins_anew}{prepare}{statement.execute}",
                parameters,
            )
        except Exception as error:
            if sqlstate(error) in PLANS_LOST:
                Connection.plans_were_lost = True
            raise
        self._planned = planned | {statement.name}
        return done


def sqlstate(error: BaseException) -> str | None:
    """What the database says of an error, if it was its own, also through Peewee's."""
    code: str | None = getattr(getattr(error, "orig", error), "pgcode", None)
    return code
