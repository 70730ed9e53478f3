"""The Pages that a user's token leads to, each with a token of its own."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from pydantic import SecretStr

from .client import Graph
from .errors import GraphError
from .listings import rows


@dataclass(frozen=True, slots=True)
class Page:
    """One of them."""

    id: str
    name: str
    token: SecretStr = field(repr=False)
    details: dict[str, Any] = field(repr=False)
    """The fields that were asked for besides."""


def pages_of(graph: Graph, *fields: str) -> list[Page]:
    """Those where it may publish.  None: it is a Page's own token.  Raises GraphError."""
    asked = ",".join(("id", "name", "access_token", "tasks", *fields))
    try:
        found = list(rows(graph, "me/accounts", fields=asked, limit="100"))
    except GraphError as error:
        if error.code == 100:  # a Page has no such list
            return []
        raise
    return [_page(row) for row in found if row.get("access_token") and _may_publish(row)]


def _may_publish(row: dict[str, Any]) -> bool:
    tasks = row.get("tasks")
    return not isinstance(tasks, list) or bool({"CREATE_CONTENT", "MANAGE"} & set(map(str, tasks)))


def _page(row: dict[str, Any]) -> Page:
    details = {name: value for name, value in row.items() if name != "access_token"}
    return Page(str(row["id"]), str(row.get("name", row["id"])), SecretStr(str(row["access_token"])), details)
