"""The work of a peer's task: one post published, with its books kept.

`light`: one guarded statement before the call and one after it, the least that keeps a post from going out twice.
`full`: autoposter's own statements (claim, intent, settle), recorded from one real post, so that nobody keeps lesser
books than it does.
"""

from __future__ import annotations

import json
import os
import pickle
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx2
import psycopg2

DATABASE = os.environ.get("BENCH_DATABASE_URL", "")
PLATFORM = os.environ.get("BENCH_PLATFORM_URL", "")
BOOKS = os.environ.get("BENCH_BOOKS", "light")
RECORDED = os.environ.get("BENCH_RECORDED", "")

#: What a later statement needs of what an earlier one returned, and what it calls that.
HANDED_ON = {"job_id": "job_id", "account_id": "account_ids", "scheduled_for": "due_times"}

_mine = threading.local()


def _connection() -> Any:
    """Each thread has one, always open: none waits for another's."""
    if not hasattr(_mine, "connection"):
        _mine.connection = psycopg2.connect(DATABASE)
        _mine.connection.autocommit = True
        _mine.http = httpx2.Client(timeout=30, trust_env=False)
    return _mine.connection


def publish(post_id: int) -> None:
    """Publish one post."""
    if BOOKS == "full":
        keep_full_books(_connection(), post_id)
    else:
        _keep_light_books(_connection(), post_id)


def _keep_light_books(connection: Any, post_id: int) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "update post_instance p set status = 'Publishing' from content_item c"
            " where p.id = %s and p.status = 'Scheduled' and c.id = p.content_item_id returning c.caption",
            (post_id,),
        )
        taken = cursor.fetchone()
        if taken is None:
            return
        receipt = _call(taken[0]) if PLATFORM else f"noop-{post_id}"
        cursor.execute(
            "update post_instance set status = 'Posted', posted_at = now(), platform_post_id = %s where id = %s",
            (receipt, post_id),
        )


def _call(caption: str) -> str:
    answer = _mine.http.post(f"{PLATFORM}/posts", json={"text": caption}, headers={"Authorization": "Bearer peer"})
    return str(answer.raise_for_status().json()["id"])


def _load() -> list[tuple[str, dict[str, Any], bool]]:
    return pickle.loads(Path(RECORDED).read_bytes()) if RECORDED else []


_recorded = _load()


def keep_full_books(connection: Any, post_id: int) -> None:
    """Run the recorded statements for another post."""
    values: dict[str, Any] = {"post_ids": [post_id]}
    within = False
    with connection.cursor() as cursor:
        for sql, parameters, in_transaction in _recorded:
            if within != in_transaction:
                cursor.execute("begin" if in_transaction else "commit")
                within = in_transaction
            cursor.execute(sql, parameters | values | {"posted_at": datetime.now(UTC)})
            found = cursor.fetchone()
            if found is None:
                raise RuntimeError(f"post {post_id} is not published: {sql}")
            names = [column.name for column in cursor.description]
            read = dict(zip(names, found, strict=True))
            for name in read.keys() & HANDED_ON:
                later = HANDED_ON[name]
                values[later] = [read[name]] if later.endswith("s") else read[name]
            if "content_item_id" in read:  # the snapshot of the content, which the claim's insert is given
                content = {name: read[name] for name in ("caption", "link", "options", "media", "content_item_id")}
                values["contents"] = [json.dumps(content)]
