"""Rows inserted with plain SQL, as any program may: a test says only what it is about."""

from __future__ import annotations

import itertools
from datetime import timedelta
from typing import Any

import psycopg2
from psycopg2.extras import Json

_numbers = itertools.count(1)


class Factories:
    """Inserts into one database, each call in a transaction of its own; what it returns are ids."""

    def __init__(self, url: str) -> None:
        self._url = url

    def account(self, platform: str = "stub", **columns: Any) -> int:
        """A channel account, `active` and without credentials."""
        return self.insert("channel_account", {"platform": platform, "name": f"Account {next(_numbers)}"} | columns)

    def content(self, **columns: Any) -> int:
        """A content item with a caption and no media."""
        return self.insert("content_item", {"caption": f"Caption {next(_numbers)}"} | columns)

    def media(self, content_item_id: int, **columns: Any) -> int:
        """An image of a content item; say its `source`."""
        return self.insert("media_asset", {"content_item_id": content_item_id, "kind": "image"} | columns)

    def post(self, due_in: timedelta = timedelta(0), **columns: Any) -> int:
        """A scheduled post, due `due_in` after the database's now (negative: overdue), on an account of its own.

        `channel_account_id`, `content_item_id` (None: a planned slot) and `scheduled_for` may be given.
        """
        given: dict[str, Any] = dict(columns)
        if "channel_account_id" not in given:
            given["channel_account_id"] = self.account()
        if "content_item_id" not in given:
            given["content_item_id"] = self.content()
        if "scheduled_for" not in given:
            given["scheduled_for"] = self.query("select clock_timestamp() + %s", (due_in,))[0][0]
        return self.insert("post_instance", given)

    def insert(self, table: str, columns: dict[str, Any]) -> int:
        """One row; a dict becomes jsonb."""
        values = [Json(value) if isinstance(value, dict) else value for value in columns.values()]
        names, places = ", ".join(columns), ", ".join(["%s"] * len(values))
        return int(self.query(f"insert into {table} ({names}) values ({places}) returning id", values)[0][0])  # noqa: S608

    def row(self, table: str, row_id: int) -> dict[str, Any]:
        """One row by its id, as it stands now."""
        connection = psycopg2.connect(self._url)
        try:
            with connection, connection.cursor() as cursor:
                cursor.execute(f"select * from {table} where id = %s", (row_id,))  # noqa: S608
                found = cursor.fetchone()
                assert found is not None and cursor.description is not None, f"{table} has no row {row_id}"
                return dict(zip([column.name for column in cursor.description], found, strict=True))
        finally:
            connection.close()

    def query(self, sql: str, parameters: Any = ()) -> list[tuple[Any, ...]]:
        """Any statement, committed; its rows, if it returns any."""
        connection = psycopg2.connect(self._url)
        try:
            with connection, connection.cursor() as cursor:
                cursor.execute(sql, parameters)
                return cursor.fetchall() if cursor.description else []
        finally:
            connection.close()
