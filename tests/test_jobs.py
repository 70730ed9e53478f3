"""Intent and settlement on the real database: who may make them, and what they leave of job and post."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import moves
import psycopg2
import pytest
from factories import Factories
from moves import (
    RECEIPT,
    SECOND,
    claimed,
    ending,
    forge_job,
    intended,
    looked_at,
    receipt_of,
    receive,
    refuse,
    unconfirmed,
    unknown,
)

from autoposter.lifecycle import Confirmed, ErrorKind, Status, Unknown, Withdrawn
from autoposter.store import intents, jobs, leases, looks, posts
from autoposter.store.leases import Expired
from autoposter.store.looks import Look
from autoposter.store.snapshots import Attempt

pytestmark = pytest.mark.usefixtures("database")


@pytest.fixture
def make_job(factories: Factories) -> Callable[..., int]:
    """`make_job(post, status="failed", **columns)`: an earlier job of a post, as it would stand in the ledger."""
    return partial(forge_job, factories)


@pytest.fixture
def expire(factories: Factories) -> Callable[[Attempt], Expired]:
    """Let the lease of an attempt be over; what `expired` says of it."""
    return partial(moves.expire, factories)


@pytest.fixture(params=["alone", "with others'"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """A move by itself, and as threads make it together: who wins, and what is written, is the same."""
    if request.param != "alone":
        monkeypatch.setattr(intents, "intend", moves.intend_with_others)
        monkeypatch.setattr(jobs, "settle_receipt", moves.settle_with_others)


NOON = datetime(2026, 11, 26, 12, tzinfo=UTC)

both_ways = pytest.mark.usefixtures("way")


# --- intent ----------------------------------------------------------------------------------------------------------


@both_ways
def test_an_intent_moves_job_and_post_together(make_post: Any, post_row: Any, job_row: Any) -> None:
    post = make_post(-SECOND)
    attempt = claimed(post)

    assert intents.intend(attempt, {"upload": 7})

    assert job_row(attempt.job_id)["intent_at"] is not None
    assert job_row(attempt.job_id)["prepared"] == {"upload": 7}
    assert post_row(post)["status"] == "Publishing"


@both_ways
def test_an_intent_is_promised_once(make_post: Any) -> None:
    attempt = intended(make_post(-SECOND))

    assert not intents.intend(attempt, {})


GUARDS = {
    "lease over": "update publish_job set lease_until = now() - interval '1 ms'",
    "job of another worker": "update publish_job set worker = 'w2'",
    "job ended": "update publish_job set status = 'failed', finished_at = now()",
    "post moved": "update post_instance set scheduled_for = scheduled_for + interval '1 us'",
    "post cancelled": "update post_instance set status = 'Cancelled'",
    "post drafted": "update post_instance set status = 'Draft'",
    "post switched off": "update post_instance set autopost_enabled = false",
    "post with other content": "update post_instance set content_item_id = (select max(id) from content_item)",
    "post without content": "update post_instance set content_item_id = null",
    "post on another account": "update post_instance set channel_account_id = (select max(id) from channel_account)",
    "post deleted": "delete from post_instance",
    "account paused": "update channel_account set paused_until = now() + interval '1 s'",
    "account disabled": "update channel_account set status = 'disabled'",
    "account disconnected": "update channel_account set status = 'disconnected'",
}


@both_ways
@pytest.mark.parametrize("change", GUARDS.values(), ids=GUARDS.keys())
def test_no_intent_where_something_changed_since_the_claim(
    make_post: Any, make_content: Any, make_account: Any, factories: Factories, change: str
) -> None:
    post = make_post(-SECOND)
    attempt = claimed(post)
    make_content()
    make_account()
    factories.query(change)
    before = factories.query("select status from post_instance")

    assert not intents.intend(attempt, {})

    assert factories.query("select status from post_instance") == before != [("Publishing",)]
    assert factories.query("select 1 from publish_job where intent_at is not null") == []


@both_ways
def test_an_edited_caption_or_a_pause_that_is_over_does_not_stop_an_intent(
    make_post: Any, factories: Factories
) -> None:
    attempt = claimed(make_post(-SECOND))
    factories.query("update content_item set caption = 'too late'")
    factories.query("update post_instance set caption = 'too late', reference = 'mine'")
    factories.query("update channel_account set paused_until = now() - interval '1 s', name = 'New name'")

    assert intents.intend(attempt, {})


def test_intents_together_promise_each_call_that_may_be_made_with_its_own_preparation(
    make_post: Any, post_row: Any, job_row: Any
) -> None:
    several = [claimed(make_post(-SECOND)) for _ in range(4)]
    gone = several.pop()
    posts.cancel([gone.post_id])

    promised = intents.intend_free([(each, {"for": each.post_id}) for each in [gone, *several]], worker="w1")

    assert set(promised) == {each.job_id for each in several}
    for each in several:
        assert post_row(each.post_id)["status"] == "Publishing"
        assert job_row(each.job_id)["prepared"] == {"for": each.post_id}
    assert post_row(gone.post_id)["status"] == "Cancelled" and job_row(gone.job_id)["intent_at"] is None


# --- settle: a receipt -----------------------------------------------------------------------------------------------


@both_ways
def test_a_receipt_completes_the_job_and_posts_the_post(make_post: Any, post_row: Any, job_row: Any) -> None:
    post = make_post(-SECOND, last_error="earlier trouble")
    attempt = intended(post)
    answered = datetime.now(UTC)

    assert jobs.settle_receipt(receipt_of(attempt, posted_at=answered, evidence={"calls": []}))

    found, job = post_row(post), job_row(attempt.job_id)
    assert (found["status"], found["posted_at"], found["last_error"]) == ("Posted", answered, None)
    assert (found["platform_post_id"], found["permalink"]) == (job["platform_post_id"], job["permalink"])
    assert (found["platform_post_id"], found["permalink"]) == ("42", "https://example.org/42")
    assert (job["status"], job["ended_at"], job["evidence"]) == ("completed", answered, {"calls": []})


@both_ways
@pytest.mark.parametrize("status", Status)
def test_the_post_follows_its_receipt_from_whatever_was_written_there(
    make_post: Any, factories: Factories, post_row: Any, status: Status
) -> None:
    post = make_post(-SECOND)
    attempt = intended(post)
    factories.query(
        "update post_instance set status = %s, content_item_id = null, scheduled_for = now() + interval '1 day',"
        " autopost_enabled = false",
        (status,),
    )

    assert receive(attempt)

    assert post_row(post)["status"] == "Posted"


@both_ways
def test_a_receipt_needs_no_lease(make_post: Any, expire: Any, post_row: Any) -> None:
    post = make_post(-SECOND)
    attempt = intended(post)
    expire(attempt)

    assert receive(attempt)
    assert post_row(post)["status"] == "Posted"


@both_ways
@pytest.mark.parametrize("make", [unknown, looked_at, unconfirmed])
def test_a_receipt_wins_over_not_knowing(
    make_post: Any, post_row: Any, job_row: Any, make: Callable[[int], Attempt | Look]
) -> None:
    post = make_post(-SECOND)
    made = make(post)
    attempt = made.attempt if isinstance(made, Look) else made

    assert receive(attempt)

    assert (post_row(post)["status"], post_row(post)["last_error"]) == ("Posted", None)
    assert (job_row(attempt.job_id)["status"], job_row(attempt.job_id)["look_at"]) == ("completed", None)


@both_ways
def test_a_receipt_after_not_there_is_kept_on_the_failed_job_and_moves_nothing(
    make_post: Any, post_row: Any, job_row: Any
) -> None:
    post = make_post(-SECOND)
    attempt = intended(post)
    assert refuse(attempt)
    before = post_row(post)

    assert not receive(attempt)
    assert jobs.keep_late_receipt(attempt.job_id, RECEIPT)

    assert post_row(post) == before
    assert (job_row(attempt.job_id)["status"], job_row(attempt.job_id)["platform_post_id"]) == ("failed", "42")


@both_ways
def test_the_first_receipt_stays_and_another_is_kept_beside_it(make_post: Any, post_row: Any, job_row: Any) -> None:
    post = make_post(-SECOND)
    attempt = intended(post)
    assert receive(attempt)

    for again in (Confirmed("43"), Confirmed("44"), Confirmed("44")):
        assert not receive(attempt, again)
        jobs.keep_late_receipt(attempt.job_id, again)

    assert post_row(post)["platform_post_id"] == job_row(attempt.job_id)["platform_post_id"] == "42"
    assert job_row(attempt.job_id)["evidence"] == {"seen": "it", "other_receipts": ["43", "44"]}


@both_ways
@pytest.mark.parametrize("end", [receive, refuse])
def test_a_receipt_that_comes_again_is_no_other(make_post: Any, job_row: Any, end: Callable[[Attempt], bool]) -> None:
    attempt = intended(make_post(-SECOND))
    assert end(attempt)
    jobs.keep_late_receipt(attempt.job_id, RECEIPT)

    assert not jobs.keep_late_receipt(attempt.job_id, RECEIPT)

    assert job_row(attempt.job_id)["evidence"] == {"seen": "it"}


def test_receipts_together_complete_each_job_with_its_own(make_post: Any, post_row: Any, job_row: Any) -> None:
    several = [intended(make_post(-SECOND)) for _ in range(3)]
    ended = intended(make_post(-SECOND))
    assert refuse(ended)
    receipts = [
        receipt_of(each, Confirmed(f"p{each.post_id}", None), posted_at=NOON + SECOND * each.post_id)
        for each in [*several, ended]
    ]

    assert set(jobs.settle_free_receipts(receipts)) == {each.job_id for each in several}

    for each in several:
        post, job = post_row(each.post_id), job_row(each.job_id)
        assert post["status"] == "Posted" and job["status"] == "completed"
        assert post["platform_post_id"] == job["platform_post_id"] == f"p{each.post_id}"
        assert post["posted_at"] == job["ended_at"] == NOON + SECOND * each.post_id
    assert job_row(ended.job_id)["platform_post_id"] is None


def test_a_receipt_for_what_a_person_found_posted_without_an_id_is_no_second_one(make_post: Any, job_row: Any) -> None:
    post = make_post(-SECOND)
    look = unconfirmed(post)
    assert posts.resolve(post, posts.Resolution.POSTED, by="ann")

    assert not receive(look.attempt)
    assert not jobs.keep_late_receipt(look.attempt.job_id, RECEIPT)


# --- settle: everything else, by the holder only ---------------------------------------------------------------------


def test_a_refusal_for_now_puts_the_post_back_with_a_time_to_try_again(
    make_post: Any, post_row: Any, job_row: Any
) -> None:
    post = make_post(-SECOND, dispatched_for=datetime.now(UTC))
    attempt = intended(post)

    assert refuse(attempt)

    found, job = post_row(post), job_row(attempt.job_id)
    assert (found["status"], found["last_error"], found["dispatched_for"]) == ("Scheduled", "refused", None)
    assert timedelta(seconds=59) < found["retry_at"] - job["finished_at"] <= timedelta(seconds=60)
    assert (job["status"], job["error_kind"], job["error"]) == ("failed", "transient", "refused")
    assert job["evidence"] == {"seen": "it"}


@pytest.mark.parametrize("begin", [claimed, intended])
def test_a_lasting_refusal_fails_the_post_from_before_and_after_the_intent(
    make_post: Any, post_row: Any, begin: Callable[[int], Attempt]
) -> None:
    post = make_post(-SECOND)

    assert refuse(begin(post), ErrorKind.CONTENT)

    assert (post_row(post)["status"], post_row(post)["last_error"]) == ("Failed", "refused")
    assert post_row(post)["retry_at"] is None


def test_what_was_withdrawn_leaves_the_post_as_it_is_and_counts_as_no_attempt(
    make_post: Any, post_row: Any, job_row: Any
) -> None:
    post = make_post(-SECOND, last_error="earlier trouble", dispatched_for=datetime.now(UTC))
    attempt = claimed(post)

    assert jobs.settle_refusal(ending(attempt, Withdrawn("switched off")))

    found = post_row(post)
    assert (found["status"], found["last_error"], found["retry_at"]) == ("Scheduled", "earlier trouble", None)
    assert found["dispatched_for"] is None
    assert job_row(attempt.job_id)["status"] == "cancelled"
    assert claimed(post).failures == 0


def test_not_knowing_leaves_the_post_publishing_and_asks_for_a_look_at_once(
    make_post: Any, post_row: Any, job_row: Any
) -> None:
    post = make_post(-SECOND)
    attempt = intended(post)
    ended = datetime.now(UTC)

    assert jobs.settle_unknown(ending(attempt, Unknown("no answer"), ended_at=ended))

    found, job = post_row(post), job_row(attempt.job_id)
    assert (found["status"], found["last_error"]) == ("Publishing", "no answer")
    assert (job["status"], job["error_kind"], job["ended_at"], job["lease_until"]) == (
        "unknown",
        "unknown",
        ended,
        None,
    )
    assert job["look_at"] is not None and job["finished_at"] is None


CHANGED_BY_ITS_OWNER = {
    "moved": "scheduled_for = scheduled_for + interval '1 day'",
    "cancelled": "status = 'Cancelled'",
    "drafted": "status = 'Draft'",
    "with other content": "content_item_id = (select max(id) from content_item)",
}


@pytest.mark.parametrize("change", CHANGED_BY_ITS_OWNER.values(), ids=CHANGED_BY_ITS_OWNER.keys())
@pytest.mark.parametrize("kind", [ErrorKind.TRANSIENT, ErrorKind.CONTENT])
def test_a_refusal_does_not_move_a_post_that_its_owner_has_changed(
    make_post: Any, make_content: Any, factories: Factories, post_row: Any, job_row: Any, change: str, kind: ErrorKind
) -> None:
    post = make_post(-SECOND)
    attempt = claimed(post)
    make_content()
    factories.query(f"update post_instance set {change}")  # noqa: S608
    before = post_row(post)

    assert refuse(attempt, kind)

    assert {name: value for name, value in post_row(post).items() if name not in ("dispatched_for", "updated_at")} == {
        name: value for name, value in before.items() if name not in ("dispatched_for", "updated_at")
    }
    assert job_row(attempt.job_id)["status"] == "failed"


def test_whatever_ends_an_attempt_has_a_changed_post_dispatched_anew(
    make_post: Any, make_content: Any, factories: Factories, post_row: Any
) -> None:
    """Other content at the same time: without this it would wait until it is two seconds overdue."""
    post = make_post(-SECOND, dispatched_for=datetime.now(UTC))
    attempt = claimed(post)
    factories.query("update post_instance set content_item_id = %s", (make_content(),))

    assert jobs.settle_refusal(ending(attempt, Withdrawn("changed")))

    assert post_row(post)["dispatched_for"] is None


OUTCOMES_OF_THE_HOLDER = {
    "refused": lambda attempt, looks: refuse(attempt, looks=looks),
    "withdrawn": lambda attempt, looks: jobs.settle_refusal(ending(attempt, Withdrawn("moved"), looks=looks)),
    "unknown": lambda attempt, looks: jobs.settle_unknown(ending(attempt, Unknown("?"), looks=looks)),
    "looked": lambda attempt, looks: jobs.settle_look(
        ending(attempt, Unknown("?"), looks=looks), look_at=datetime.now(UTC)
    ),
    "given up": lambda attempt, looks: jobs.give_up_looking(ending(attempt, Unknown("?"), looks=looks)),
}
settles = pytest.mark.parametrize("settle", OUTCOMES_OF_THE_HOLDER.values(), ids=OUTCOMES_OF_THE_HOLDER.keys())


@settles
def test_only_the_holder_settles_without_a_receipt(make_post: Any, factories: Factories, settle: Any) -> None:
    """Not after another worker has the job, has taken it over, or it has ended."""
    attempts = [intended(make_post(-SECOND)) for _ in range(4)]
    not_mine, taken_over, completed, failed = attempts
    factories.query("update publish_job set worker = 'w2' where id = %s", (not_mine.job_id,))
    factories.query("update publish_job set lease_until = now() - interval '1 s' where id = %s", (taken_over.job_id,))
    assert leases.take_over_sent(leases.expired()[0], "lost")
    assert receive(completed) and refuse(failed)
    before = factories.query("select * from publish_job order by id")

    assert [settle(attempt, 0) for attempt in attempts] == [False] * 4

    assert factories.query("select * from publish_job order by id") == before


@settles
def test_a_look_settles_only_while_it_is_the_latest(
    make_post: Any, factories: Factories, settle: Any, post_row: Any
) -> None:
    post = make_post(-SECOND)
    first = looked_at(post, "w2")
    factories.query("update publish_job set lease_until = now() - interval '1 s'")
    second = looks.claim_look(first.attempt.job_id, worker="w2")
    assert second is not None and (first.looks, second.looks) == (1, 2)
    before = factories.query("select * from publish_job")

    assert not settle(first.attempt, first.looks)
    assert not settle(first.attempt, 0)
    assert factories.query("select * from publish_job") == before
    assert settle(second.attempt, second.looks)


def test_a_look_that_learnt_nothing_says_when_to_look_next(make_post: Any, post_row: Any, job_row: Any) -> None:
    post = make_post(-SECOND)
    look = looked_at(post)
    before, at = post_row(post), datetime.now(UTC) + 5 * SECOND

    assert jobs.settle_look(ending(look.attempt, Unknown("not there yet"), looks=look.looks), look_at=at)

    assert post_row(post) == before
    job = job_row(look.attempt.job_id)
    assert (job["status"], job["look_at"], job["lease_until"], job["error"]) == ("unknown", at, None, "no answer")


def test_giving_up_hands_the_post_to_a_person_and_keeps_the_first_cause(
    make_post: Any, post_row: Any, job_row: Any
) -> None:
    post = make_post(-SECOND)

    look = unconfirmed(post)

    assert (post_row(post)["status"], post_row(post)["last_error"]) == ("Unconfirmed", "no answer")
    job = job_row(look.attempt.job_id)
    assert (job["status"], job["look_at"], job["finished_at"]) == ("unknown", None, None)
    assert looks.claim_look(look.attempt.job_id, worker="w3") is None


# --- what the database forbids ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", ["running", "unknown", "completed"])
def test_the_database_forbids_a_second_attempt_while_one_is_open_or_has_succeeded(
    make_post: Any, make_job: Any, status: str
) -> None:
    post = make_post(-SECOND)
    make_job(post, status=status, lease_until=datetime.now(UTC))

    for second in ("running", "unknown", "completed"):
        with pytest.raises(psycopg2.errors.UniqueViolation):
            make_job(post, status=second, lease_until=datetime.now(UTC))


@both_ways
def test_the_books_of_an_attempt_are_written_as_json_that_postgresql_takes(make_post: Any, job_row: Any) -> None:
    attempt = intended(make_post(-SECOND))

    assert jobs.settle_receipt(receipt_of(attempt, evidence={"é": ["€", None]}))

    assert json.dumps(job_row(attempt.job_id)["evidence"]) == json.dumps({"é": ["€", None]})


@pytest.fixture(autouse=True)
def _nothing_is_left_to_do_by_a_person(factories: Factories) -> Iterator[None]:
    """Whatever a move did, the books are in order: job and post never tell half of it."""
    yield
    assert factories.query("select 1 from publish_job where status = 'completed' and finished_at is null") == []


def test_a_person_who_resolves_ends_the_job_and_a_later_receipt_is_told_so(
    make_post: Any, post_row: Any, job_row: Any
) -> None:
    post = make_post(-SECOND)
    look = unconfirmed(post)
    assert posts.resolve(post, posts.Resolution.NOT_POSTED, by="ann")

    assert not receive(look.attempt)
    assert jobs.keep_late_receipt(look.attempt.job_id, RECEIPT)

    assert post_row(post)["status"] == "Failed"
    assert job_row(look.attempt.job_id)["platform_post_id"] == "42"
