"""The rows of an example, and the judgement of each move: who may win, and what may then be different.

What a move is allowed to change is named; everything else of the example must stand as it did.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar
from unittest.mock import ANY

import moves
import psycopg2
import psycopg2.extras
from factories import Factories
from faults.verdicts import Books, Row
from hypothesis import note
from hypothesis.stateful import RuleBasedStateMachine

from autoposter.lifecycle import TRANSITIONS, Confirmed, Refused, Status, Unknown
from autoposter.store.looks import Look
from autoposter.store.snapshots import Attempt

#: What is compared of a post and of a job.
POST = (
    "status",
    "platform_post_id",
    "autopost_enabled",
    "scheduled_for",
    "content_item_id",
    "channel_account_id",
    "retry_at",
    "last_error",
)
JOB = ("status", "platform_post_id", "worker", "looks", "intent_at")

NEW_JOB = {"status": "running", "platform_post_id": None, "worker": ANY, "looks": 0, "intent_at": None}

Changes = Mapping[tuple[str, int], Mapping[str, Any]]


@dataclass
class Act:
    """An attempt as the process that makes it sees it, and what the platform knows of its calls."""

    attempt: Attempt
    promised: bool = False
    too_late: bool = False
    """It was held up for longer than an intent lasts: it sends nothing."""
    called: bool = False
    accepted: bool = False
    """By its own process, or by one that sent it again."""
    told: Confirmed | Refused | Unknown | None = None
    """What its process came to know."""

    @property
    def receipt(self) -> Confirmed:
        """What the platform calls it."""
        return Confirmed(f"id-{self.attempt.job_id}")


@dataclass
class LookAct:
    """A look as the process that makes it sees it."""

    look: Look
    act: Act
    """The attempt that it looks for."""
    learnt: str = ""
    """What it came to know; if it says so twice, it says the same."""


class JudgedStore(RuleBasedStateMachine):
    """Two posts on the first of two accounts, and what everybody knows."""

    url: ClassVar[str] = ""
    tally: ClassVar[Counter[str]] = Counter()

    def __init__(self) -> None:
        super().__init__()
        self._connection = psycopg2.connect(self.url)
        self._connection.autocommit = True
        factories = Factories(self.url)
        self.accounts = [factories.account() for _ in range(2)]
        self.contents = [factories.content() for _ in range(2)]
        self.posts = [
            factories.post(-moves.SECOND, channel_account_id=self.accounts[0], content_item_id=self.contents[0])
            for _ in range(2)
        ]
        self.acts: list[Act] = []
        self.looks: list[LookAct] = []
        self.misled: set[int] = set()
        """Posts of which a person said that they are not there, and they are."""
        self.sound = True
        """Whether everything was right so far; else there is no sense in going on."""
        self.books = self.read()

    def close(self) -> None:
        """Delete the example."""
        self.sql("update post_instance set status = 'Draft' where id = any(%s)", self.posts)
        self.sql("delete from post_instance where id = any(%s)", self.posts)
        self._connection.close()

    # --- rows ---

    def sql(self, sql: str, *values: Any) -> list[dict[str, Any]]:
        """What another program does."""
        with self._connection.cursor(cursor_factory=psycopg2.extras.RealDictCursor) as cursor:
            cursor.execute(sql, values)
            return [dict(row) for row in cursor.fetchall()] if cursor.description else []

    def read(self) -> Books:
        """The books as they stand now."""
        return Books(
            now=self.sql("select clock_timestamp() as now")[0]["now"],
            posts=self._by_id("post_instance where id = any(%s)", self.posts),
            jobs=self._by_id("publish_job where post_instance_id = any(%s)", self.posts),
            accounts=self._by_id("channel_account where id = any(%s)", self.accounts),
        )

    def _by_id(self, what: str, ids: list[int]) -> dict[int, Row]:
        return {row["id"]: row for row in self.sql(f"select * from {what} order by id", ids)}  # noqa: S608

    # --- judgement ---

    def noted(self) -> None:
        """Another program wrote; from here on the moves are judged by what stands there now."""
        self.books = self.read()

    def judge(self, what: str, won: object, right: object, changes: Changes | None = None) -> bool:
        """The store's verdict must be the right one; then `changes` are made if it won, and nothing else."""
        verdict = f"{what}, {'won' if won else 'lost'}"
        self.tally[verdict] += 1
        note(f"    {verdict}")
        self.sound = False
        assert bool(won) == bool(right), f"{verdict}, which is wrong"
        self.only(what, changes or {} if won else {})
        return bool(won)

    def only(self, what: str, changes: Changes) -> None:
        """Since the last judgement these changes were made, and no others."""
        self.sound = False
        before, self.books = self.books, self.read()
        expected, found = _gist(before), _gist(self.books)
        for row, columns in changes.items():
            expected[row] = expected.get(row, NEW_JOB if row[0] == "job" else {}) | columns
        wrong = [
            f"{row} is {found.get(row)}, not {right}" for row, right in expected.items() if right != found.get(row)
        ]
        assert not wrong and len(expected) == len(found), f"{what}: {'; '.join(wrong)}"
        for post in self.posts:
            move = (Status(before.posts[post]["status"]), Status(self.books.posts[post]["status"]))
            # What another program wrote over is put back to what the ledger says.
            assert move[0] == move[1] or move in TRANSITIONS or move[1] is Status.UNCONFIRMED, f"{what}: {move}"
        self.sound = True

    def act_of(self, job_id: int) -> Act:
        """Whose job it is."""
        return next(act for act in self.acts if act.attempt.job_id == job_id)


def _gist(books: Books) -> dict[tuple[str, int], dict[str, Any]]:
    posts = {("post", row["id"]): {name: row[name] for name in POST} for row in books.posts.values()}
    jobs = {("job", row["id"]): {name: row[name] for name in JOB} for row in books.jobs.values()}
    return posts | jobs
