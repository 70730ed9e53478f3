"""An outcome waits for a database that is away, and for nothing that no database would ever take."""

from __future__ import annotations

import threading
from concurrent.futures import Future
from datetime import UTC, datetime
from typing import Any

import moves
import peewee
import pytest
from moves import POLICY, RECEIPT, SECOND, intended, receive, refuse
from processes import wait_until
from staging import Stage

from autoposter import settling
from autoposter.database import POOL_SIZE
from autoposter.lifecycle import ErrorKind, Outcome, Refused, Unknown
from autoposter.settling import settle, until_written

pytestmark = pytest.mark.usefixtures("database")


@pytest.mark.parametrize("outcome", [RECEIPT, Refused(ErrorKind.CONTENT, "No."), Unknown("Perhaps.")])
def test_what_no_database_takes_is_left_to_the_lease_and_holds_no_thread(
    make_post: Any, factories: Any, outcome: Outcome
) -> None:
    attempt = intended(make_post(-SECOND))
    ended: list[BaseException] = []

    def write() -> None:
        try:
            settle(attempt, outcome, policy=POLICY, ended_at=datetime.now(UTC), evidence={"said": "\0"})
        except BaseException as error:
            ended.append(error)

    thread = threading.Thread(target=write, daemon=True)
    thread.start()
    thread.join(5)

    assert [type(error) for error in ended] == [peewee.DataError]
    job = factories.row("publish_job", attempt.job_id)
    assert (job["status"], job["finished_at"]) == ("running", None)
    assert refuse(attempt)  # the connection is as good as before


@pytest.mark.parametrize(
    ("outcome", "job", "post"),
    [
        (RECEIPT, "completed", "Posted"),
        (Unknown("no answer"), "unknown", "Publishing"),
    ],
)
@pytest.mark.parametrize("state", ["P0001", "55000", "22012", "23514"])
def test_where_a_trigger_of_the_owner_holds_the_post_fast_its_job_is_settled_and_the_post_follows(
    make_post: Any, factories: Any, caplog: pytest.LogCaptureFixture, outcome: Any, job: str, post: str, state: str
) -> None:
    """What a receipt says would be lost with the process, and a thread that waited for the owner would be lost too."""
    attempt = intended(make_post(-SECOND))
    factories.query(
        "create function theirs() returns trigger language plpgsql as"
        f" $$ begin raise exception 'not without my word' using errcode = '{state}'; end $$;"
        " create trigger theirs before update on post_instance for each row execute function theirs()"
    )
    try:
        settle(attempt, outcome, policy=POLICY, ended_at=datetime.now(UTC), evidence={})
    finally:
        factories.query("drop function theirs cascade")
    assert factories.row("publish_job", attempt.job_id)["status"] == job
    assert factories.row("post_instance", attempt.post_id)["status"] == "Publishing"
    assert "is kept on its job, for its post cannot be moved: not without my word" in caplog.text

    moves.mend_all()

    found = factories.row("post_instance", attempt.post_id)
    assert found["status"] == post
    assert found["platform_post_id"] == ("42" if outcome is RECEIPT else None)


def test_a_refusal_that_a_trigger_of_the_owner_refuses_waits_for_the_owner(
    make_post: Any, factories: Any, caplog: pytest.LogCaptureFixture, database_url: str, monkeypatch: Any
) -> None:
    """Settled alone it would be tried again at once, and again: only the post's row says when."""
    monkeypatch.setattr(settling, "TRY_AGAIN", SECOND / 100)
    stage = Stage(database_url)
    attempt = intended(make_post(-SECOND))
    factories.query(
        "create function theirs() returns trigger language plpgsql as"
        " $$ begin raise exception 'not without my word'; end $$;"
        " create trigger theirs before update on post_instance for each row execute function theirs()"
    )
    outcome = Refused(ErrorKind.TRANSIENT, "busy")
    try:
        settled = stage.begin(settle, attempt, outcome, policy=POLICY, ended_at=datetime.now(UTC), evidence={})
        wait_until(lambda: "not without my word" in caplog.text, 5)
    finally:
        factories.query("drop function theirs cascade")
    settled.result(timeout=5)
    stage.close()

    assert "waits for the database" in caplog.text
    assert factories.row("post_instance", attempt.post_id)["retry_at"] is not None


def test_an_outcome_is_tried_until_the_database_is_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settling, "TRY_AGAIN", SECOND / 100)
    answers = iter([peewee.OperationalError("away"), peewee.InterfaceError("closed"), None])

    def write() -> str:
        if trouble := next(answers):
            raise trouble
        return "written"

    assert until_written(write) == "written"


@pytest.mark.parametrize(
    ("kind", "said"), [(ErrorKind.TRANSIENT, " s (failure 1 of 8): Later."), (ErrorKind.RATE_LIMITED, " s: Later.")]
)
def test_the_log_counts_a_refusal_only_where_it_uses_up_an_attempt(
    make_post: Any, caplog: pytest.LogCaptureFixture, kind: ErrorKind, said: str
) -> None:
    attempt = intended(make_post(-SECOND))

    settle(attempt, Refused(kind, "Later.", 60 * SECOND), policy=POLICY, ended_at=datetime.now(UTC), evidence={})

    [told] = [record.message for record in caplog.records if "is tried again in" in record.message]
    assert told.endswith(said)


def test_outcomes_that_wait_for_a_program_that_holds_their_posts_leave_connections_to_others(
    make_post: Any, database_url: str, factories: Any
) -> None:
    stage = Stage(database_url)
    held = [intended(make_post(-SECOND)) for _ in range(POOL_SIZE)]
    free = make_post(-SECOND)
    settled: list[Future[None]] = []

    with stage.program() as owner:
        owner("select 1 from post_instance where id = any(%s) for update", ([attempt.post_id for attempt in held],))
        for attempt in held:
            written = {"policy": POLICY, "ended_at": datetime.now(UTC), "evidence": {}}
            settled.append(stage.begin(settle, attempt, RECEIPT, **written))
        stage.wait_until_blocked(2)
        assert receive(intended(free))
    for each in settled:
        each.result(timeout=10)
    stage.close()

    assert factories.query("select distinct status from post_instance") == [("Posted",)]


def test_a_program_that_holds_an_account_keeps_no_outcome_of_its_posts_from_being_written(
    make_post: Any, database_url: str, factories: Any
) -> None:
    stage = Stage(database_url)
    limited = [intended(make_post(-SECOND)) for _ in range(POOL_SIZE)]
    free = make_post(-SECOND)
    settled: list[Future[None]] = []

    with stage.program() as owner:
        owner("select 1 from channel_account where id = any(%s) for no key update", ([a.account.id for a in limited],))
        for attempt in limited:
            outcome = Refused(ErrorKind.RATE_LIMITED, "too many calls")
            settled.append(
                stage.begin(settle, attempt, outcome, policy=POLICY, ended_at=datetime.now(UTC), evidence={})
            )
        for each in settled:
            each.result(timeout=10)
        assert receive(intended(free))
    stage.close()

    paused = "select count(*) from publish_job where error_kind = 'rate_limited'"
    assert factories.query(paused) == [(POOL_SIZE,)]
