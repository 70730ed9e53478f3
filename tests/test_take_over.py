"""Leases in the database: renewed by their worker, taken over from a dead one."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from typing import Any

import moves
import pytest
from factories import Factories
from moves import (
    SECOND,
    claimed,
    forge_job,
    intended,
    looked_at,
    receive,
    refuse,
    take_over,
    unknown,
)

from autoposter.store import leases, looks
from autoposter.store.leases import Expired
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


# --- leases ----------------------------------------------------------------------------------------------------------


def test_leases_are_renewed_of_our_own_open_jobs_only(make_post: Any, factories: Factories, job_row: Any) -> None:
    mine, theirs, ended = claimed(make_post(-SECOND)), claimed(make_post(-SECOND), "w2"), claimed(make_post(-SECOND))
    look, waiting = looked_at(make_post(-SECOND), "w1"), unknown(make_post(-SECOND))
    assert refuse(ended)
    factories.query("update publish_job set lease_until = now() + interval '1 s' where lease_until is not null")
    all_jobs = [attempt.job_id for attempt in (mine, theirs, ended, look.attempt, waiting)]

    assert leases.renew(all_jobs, worker="w1") == {mine.job_id, look.attempt.job_id}

    now = factories.query("select now()")[0][0]
    assert job_row(mine.job_id)["lease_until"] > now + 8 * SECOND
    assert job_row(theirs.job_id)["lease_until"] < now + 2 * SECOND
    assert job_row(waiting.job_id)["lease_until"] is None
    assert leases.renew([], worker="w1") == set()


def test_only_running_jobs_whose_lease_is_over_are_expired_the_longest_first(
    make_post: Any, make_job: Any, factories: Factories
) -> None:
    first, second, alive = (make_post(-SECOND) for _ in range(3))
    make_job(first)
    make_job(first, error_kind="rate_limited")
    unsent, sent = claimed(first), intended(second)
    claimed(alive)
    unknown(make_post(-SECOND))
    factories.query("update publish_job set lease_until = now() - interval '2 s' where id = %s", (unsent.job_id,))
    factories.query("update publish_job set lease_until = now() - interval '9 s' where id = %s", (sent.job_id,))

    assert leases.expired() == [
        Expired(sent.job_id, second, "w1", intended=True, failures=0),
        Expired(unsent.job_id, first, "w1", intended=False, failures=1),
    ]


def test_what_was_not_sent_is_due_anew_at_once(make_post: Any, post_row: Any, job_row: Any, expire: Any) -> None:
    post = make_post(-SECOND, dispatched_for=datetime.now(UTC))
    attempt = claimed(post)

    assert take_over(expire(attempt))

    found, job = post_row(post), job_row(attempt.job_id)
    assert (found["status"], found["last_error"], found["dispatched_for"]) == ("Scheduled", "lost", None)
    assert found["due_at"] == found["scheduled_for"]
    assert (job["status"], job["error_kind"]) == ("failed", "worker_lost")
    assert claimed(post).failures == 1


def test_a_post_that_kills_workers_ends_failed(make_post: Any, make_job: Any, post_row: Any, expire: Any) -> None:
    post = make_post(-SECOND)
    for _ in range(7):
        make_job(post, error_kind="worker_lost", intent_at=None)

    assert take_over(expire(claimed(post)))

    assert (post_row(post)["status"], post_row(post)["last_error"]) == ("Failed", "lost")


def test_what_may_have_been_sent_is_reconciled(make_post: Any, post_row: Any, job_row: Any, expire: Any) -> None:
    post = make_post(-SECOND)
    attempt = intended(post)

    assert take_over(expire(attempt))

    found, job = post_row(post), job_row(attempt.job_id)
    assert (found["status"], found["last_error"]) == ("Publishing", "lost")
    assert (job["status"], job["ended_at"], job["lease_until"]) == ("unknown", None, None)
    assert looks.claim_look(attempt.job_id, worker="w2") is not None


@pytest.mark.parametrize("begin", [claimed, intended])
def test_nothing_is_taken_over_that_was_renewed_settled_intended_or_taken_meanwhile(
    make_post: Any, factories: Factories, expire: Any, begin: Callable[[int], Attempt]
) -> None:
    attempts = [begin(make_post(-SECOND)) for _ in range(4)]
    renewed, settled, intended_since, taken = [(attempt, expire(attempt)) for attempt in attempts]
    assert leases.renew([renewed[0].job_id], worker="w1")
    assert receive(settled[0])
    factories.query(
        "update publish_job set intent_at = case when intent_at is null then now() end where id = %s",
        (intended_since[0].job_id,),
    )
    assert take_over(taken[1])
    before = factories.query("select * from publish_job order by id")

    assert [take_over(lost) for _, lost in (renewed, settled, intended_since, taken)] == [False] * 4

    assert factories.query("select * from publish_job order by id") == before


def test_a_take_over_moves_no_post_that_its_owner_has_changed(
    make_post: Any, factories: Factories, post_row: Any, expire: Any
) -> None:
    post = make_post(-SECOND)
    lost = expire(claimed(post))
    factories.query("update post_instance set status = 'Cancelled'")

    assert take_over(lost)

    assert (post_row(post)["status"], post_row(post)["last_error"]) == ("Cancelled", None)
