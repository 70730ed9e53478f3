"""Takes safeguards out of SQL statements, text by text, so that a test can show that they are needed."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from unittest import mock

from autoposter import database


def rewritten(query: Any, texts: Mapping[str, str], met: Callable[[str], object]) -> Any:
    """The statement with each of these texts, however spaced, replaced; `met` is told which were in it."""
    if not isinstance(query, str):
        return query
    for old, new in texts.items():
        found = re.search(r"\s+".join(map(re.escape, old.split())), query)
        if found:
            query = query.replace(found[0], new)
            met(old)
    return query


@contextmanager
def removed(texts: Mapping[str, str]) -> Iterator[set[str]]:
    """Run this process's statements without these texts; yields which were met so far."""
    met: set[str] = set()
    execute = database.database.execute_sql

    def execute_sql(sql: str, *arguments: Any, **options: Any) -> Any:
        return execute(rewritten(sql, texts, met.add), *arguments, **options)

    def execute_planned(statement: Any, parameters: Any) -> Any:
        return execute_sql(statement.plain, parameters)  # in a plan, places have other names

    with (
        mock.patch.object(database.database, "execute_sql", execute_sql),
        mock.patch.object(database.database, "execute_planned", execute_planned),
    ):
        yield met
