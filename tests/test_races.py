"""Two at once, in both orders: which statement decides, who is told that he lost, and that nothing is left half done.

Each race is staged: one party holds the row in a transaction of its own, the other is seen to wait for it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import moves
import psycopg2
import pytest
from factories import Factories
from moves import (
    DAY,
    POLICY,
    SECOND,
    claim,
    claimed,
    ending,
    intended,
    receipt_of,
    receive,
    refuse,
    take_over,
    unconfirmed,
    unknown,
)
from staging import Stage

from autoposter.database import DATABASE_AWAY, was_rolled_back
from autoposter.lifecycle import INTENT_LASTS, Confirmed, Withdrawn
from autoposter.recovery import take_over_expired
from autoposter.store import (
    account_states,
    claims,
    dispatch,
    intents,
    jobs,
    leases,
    looks,
    posts,
    preparations,
    validations,
)
from autoposter.store.snapshots import Attempt

pytestmark = pytest.mark.usefixtures("database")


@pytest.fixture
def stage(database_url: str) -> Iterator[Stage]:
    made = Stage(database_url)
    yield made
    made.close()


@pytest.fixture
def expire(factories: Factories) -> Callable[[Attempt], leases.Expired]:
    return partial(moves.expire, factories)


def outcome(late: Future[Any]) -> Any:
    return late.result(timeout=10)


# --- the owner -------------------------------------------------------------------------------------------------------

OWNER = {
    "cancels": "update post_instance set status = 'Cancelled'",
    "moves": "update post_instance set scheduled_for = scheduled_for + interval '1 h'",
    "switches off": "update post_instance set autopost_enabled = false",
    "empties": "update post_instance set content_item_id = null",
    "deletes": "delete from post_instance",
}
owner = pytest.mark.parametrize("change", OWNER.values(), ids=OWNER.keys())


@pytest.mark.parametrize("change", [OWNER[name] for name in OWNER if name != "deletes"])
def test_an_intent_that_waited_for_the_owner_sends_nothing(
    stage: Stage, factories: Factories, make_post: Any, change: str
) -> None:
    attempt = claimed(make_post(-SECOND))

    with stage.program() as owner:
        owner("select 1 from post_instance for update")
        late = stage.begin(intents.intend, attempt, {})
        stage.wait_until_blocked()
        owner(change)

    assert not outcome(late)
    assert factories.query("select 1 from publish_job where intent_at is not null") == []
    assert factories.query("select 1 from post_instance where status = 'Publishing'") == []


@owner
def test_an_owner_who_waited_for_an_intent_meets_a_publishing_post(
    stage: Stage, factories: Factories, make_post: Any, post_row: Any, change: str
) -> None:
    post = make_post(-SECOND)
    attempt = claimed(post)

    def guarded() -> int:
        """As owners are told to: only what is still Scheduled is changed."""
        with stage.program() as owner:
            return len(owner(f"{change} where id = {post} and status = 'Scheduled' returning id"))

    with stage.program() as worker:
        worker("update post_instance set status = 'Publishing'")
        worker("update publish_job set intent_at = now() where id = %s", (attempt.job_id,))
        late = stage.begin(guarded)
        stage.wait_until_blocked()

    assert outcome(late) == 0
    assert post_row(post)["status"] == "Publishing"


@pytest.mark.parametrize("move", ["cancel", "reschedule"])
def test_people_who_waited_for_an_intent_are_told_that_it_is_too_late(
    stage: Stage, make_post: Any, post_row: Any, move: str
) -> None:
    post = make_post(-SECOND)
    claimed(post)
    act = (
        partial(posts.cancel, [post])
        if move == "cancel"
        else partial(posts.reschedule, [post], datetime.now(UTC) + timedelta(hours=1))
    )

    with stage.program() as worker:
        worker("update post_instance set status = 'Publishing'")
        late = stage.begin(act)
        stage.wait_until_blocked()

    assert outcome(late) == ({post: "Publishing"} if move == "cancel" else {})
    assert post_row(post)["status"] == "Publishing"


def test_a_claim_that_waited_for_an_owner_reads_all_that_was_committed_together(
    stage: Stage, factories: Factories, make_post: Any, make_content: Any, make_media: Any
) -> None:
    post, other = make_post(-SECOND), make_content(caption="other")
    make_media(other, source="new.jpg")

    with stage.program() as owner:
        owner("update post_instance set content_item_id = %s, channel_account_id = channel_account_id", (other,))
        owner("update content_item set caption = 'new' where id = %s", (other,))
        late = stage.begin(claim, post)
        stage.wait_until_blocked()

    attempt = outcome(late)
    assert attempt is not None
    assert attempt.content["caption"] == "new"
    assert [asset["source"] for asset in attempt.content["media"]] == ["new.jpg"]


@pytest.mark.parametrize(
    "change",
    [
        "delete from post_instance",
        "update post_instance set status = 'Cancelled'",
        "update post_instance set scheduled_for = now() + interval '1 h'",
    ],
)
def test_a_claim_that_waited_for_an_owner_who_took_the_post_back_takes_nothing(
    stage: Stage, factories: Factories, make_post: Any, change: str
) -> None:
    post = make_post(-SECOND)

    with stage.program() as owner:
        owner(change)
        late = stage.begin(claim, post)
        stage.wait_until_blocked()

    assert outcome(late) is None
    assert factories.query("select 1 from publish_job") == []


def test_an_owner_who_deletes_a_claimed_post_ends_its_attempt(
    stage: Stage, factories: Factories, make_post: Any
) -> None:
    attempt = claimed(make_post(-SECOND))
    factories.query("delete from post_instance")

    assert not intents.intend(attempt, {})
    assert not jobs.settle_refusal(ending(attempt, Withdrawn("gone")))
    assert not receive(attempt)


def test_a_publishing_post_is_not_deleted(stage: Stage, factories: Factories, make_post: Any) -> None:
    intended(make_post(-SECOND))

    with pytest.raises(psycopg2.errors.RestrictViolation, match="is being published"):
        factories.query("delete from post_instance")


# --- two workers -----------------------------------------------------------------------------------------------------


def test_of_two_claims_one_wins(stage: Stage, factories: Factories, make_post: Any) -> None:
    post = make_post(-SECOND)

    with stage.program() as somebody:
        somebody("select 1 from post_instance for update")
        both = [stage.begin(claim, post, worker) for worker in ("w1", "w2")]
        stage.wait_until_blocked(2)

    assert sorted(outcome(late) is None for late in both) == [False, True]
    assert factories.query("select count(*) from publish_job") == [(1,)]


def test_a_claim_does_not_wait_for_an_attempt_that_is_under_way_nor_hold_it_up(
    stage: Stage, make_post: Any, post_row: Any
) -> None:
    """Repeated messages while an attempt is settled: a deadlock of the two would cost a second and an error."""
    post = make_post(-SECOND)
    attempt = claimed(post)

    with stage.program() as somebody:
        somebody("select 1 from post_instance for update")
        settling = stage.begin(jobs.settle_refusal, ending(attempt, Withdrawn("not ready")))
        stage.wait_until_blocked()
        repeated = stage.begin(claim, post, "w2")
        assert outcome(repeated) is None

    assert outcome(settling)


def test_of_two_looks_one_wins(stage: Stage, make_post: Any) -> None:
    attempt = unknown(make_post(-SECOND))

    with stage.program() as somebody:
        somebody("select 1 from publish_job for update")
        both = [stage.begin(looks.claim_look, attempt.job_id, worker=worker) for worker in ("w1", "w2")]
        stage.wait_until_blocked(2)

    found = [outcome(late) for late in both]
    assert sorted(look is None for look in found) == [False, True]
    assert [look.looks for look in found if look] == [1]


def test_an_intent_that_waited_for_a_take_over_sends_nothing(
    stage: Stage, factories: Factories, make_post: Any, post_row: Any
) -> None:
    post = make_post(-SECOND)
    attempt = claimed(post)

    with stage.program() as other:
        other(
            "update publish_job set status = 'failed', error_kind = 'worker_lost', finished_at = now() where id = %s",
            (attempt.job_id,),
        )
        late = stage.begin(intents.intend, attempt, {})
        stage.wait_until_blocked()

    assert not outcome(late)
    assert post_row(post)["status"] == "Scheduled"


def test_a_renewal_that_comes_in_between_leaves_an_intent_whole(
    stage: Stage, make_post: Any, post_row: Any, job_row: Any
) -> None:
    post = make_post(-SECOND)
    attempt = claimed(post)

    with stage.program() as heartbeat:
        heartbeat("update publish_job set lease_until = now() + interval '10 s'")
        late = stage.begin(intents.intend, attempt, {"upload": 7})
        stage.wait_until_blocked()

    assert outcome(late)
    assert post_row(post)["status"] == "Publishing" and job_row(attempt.job_id)["intent_at"] is not None
    assert job_row(attempt.job_id)["prepared"] == {"upload": 7}


def test_a_renewal_and_an_edit_that_both_come_in_between_leave_an_intent_whole(
    stage: Stage, make_post: Any, post_row: Any, job_row: Any
) -> None:
    post = make_post(-SECOND)
    attempt = claimed(post)

    with stage.program() as owner:
        owner("update post_instance set caption = 'edited'")
        with stage.program() as heartbeat:
            heartbeat("update publish_job set lease_until = now() + interval '10 s'")
            late = stage.begin(intents.intend, attempt, {})
            stage.wait_until_blocked()
        # It has the job now, and waits for the post.
        stage.wait_until_blocked()

    assert outcome(late)
    assert post_row(post)["status"] == "Publishing" and job_row(attempt.job_id)["intent_at"] is not None


# --- moves that are made together -------------------------------------------------------------------------------------

HOLD = {
    "post": "select 1 from post_instance where id = %(post)s for update",
    "job": "select 1 from publish_job where post_instance_id = %(post)s for update",
    "account": "select 1 from channel_account where id = (select channel_account_id from post_instance"
    " where id = %(post)s) for update",
}


@pytest.mark.parametrize("held", ["post", "account"])
def test_claims_together_leave_what_a_foreign_program_holds_and_wait_for_nobody(
    stage: Stage, factories: Factories, make_post: Any, held: str
) -> None:
    theirs, free = (make_post(-SECOND, channel_account_id=factories.account()) for _ in range(2))

    with stage.program() as foreign:
        foreign(HOLD[held], {"post": theirs})
        claimed_now = outcome(stage.begin(claims.claim_free, [theirs, free], worker="w1", max_lateness=None))
        assert set(claimed_now) == {free}

    assert claim(theirs) is not None


@pytest.mark.parametrize("held", ["post", "job"])
def test_intents_and_receipts_together_leave_what_a_foreign_program_holds_and_wait_for_nobody(
    stage: Stage, factories: Factories, make_post: Any, held: str
) -> None:
    theirs, free = (claimed(make_post(-SECOND)) for _ in range(2))

    with stage.program() as foreign:
        foreign(HOLD[held], {"post": theirs.post_id})
        promised = outcome(stage.begin(intents.intend_free, [(theirs, {}), (free, {})], worker="w1"))
        assert set(promised) == {free.job_id}

    assert intents.intend(theirs, {})

    with stage.program() as foreign:
        foreign(HOLD[held], {"post": theirs.post_id})
        received = [receipt_of(each, Confirmed(f"p{each.post_id}")) for each in (theirs, free)]
        assert set(outcome(stage.begin(jobs.settle_free_receipts, received))) == {free.job_id}

    assert jobs.settle_receipt(received[0])


#: An owner's trigger that writes into a table of theirs, as a counter per campaign would.
COUNTER = """
    create table counter (id integer primary key, n integer);
    insert into counter values (1, 0);
    alter table post_instance add column campaign integer;
    create function count_it() returns trigger language plpgsql as $$
        begin update counter set n = n + 1 where id = new.campaign; return new; end $$;
    create trigger count_it after update of status on post_instance for each row when (new.campaign is not null)
        execute function count_it();"""


def test_moves_together_wait_only_briefly_where_an_owners_trigger_waits_in_one_of_them(
    stage: Stage, factories: Factories, make_post: Any
) -> None:
    factories.query(COUNTER)
    try:
        several = [claimed(make_post(-SECOND)) for _ in range(3)]
        factories.query("update post_instance set campaign = 1 where id = %s", (several[0].post_id,))
        promises = [(each, {}) for each in several]

        with stage.program() as foreign:
            foreign("update counter set n = 7")
            with pytest.raises(DATABASE_AWAY, match="lock timeout") as held_up:
                outcome(stage.begin(intents.intend_free, promises, worker="w1"))
            assert was_rolled_back(held_up.value)

        assert len(intents.intend_free(promises, worker="w1")) == 3
        with stage.program() as foreign:
            foreign("update counter set n = 7")
            with pytest.raises(DATABASE_AWAY, match="lock timeout"):
                outcome(stage.begin(jobs.settle_free_receipts, [receipt_of(each) for each in several]))
    finally:
        factories.query("drop trigger count_it on post_instance; drop function count_it; drop table counter")
        factories.query("alter table post_instance drop column campaign")


def test_an_owner_who_changes_a_post_between_its_lock_and_its_reading_waits(
    stage: Stage, make_post: Any, factories: Factories
) -> None:
    """What is claimed together is read after it is locked: nobody finds half a change in it."""
    posts_now = [make_post(-SECOND) for _ in range(8)]

    with stage.program() as owner:
        owner("update content_item set caption = 'new'")
        owner("update post_instance set caption = 'new'")
        early = outcome(stage.begin(claims.claim_free, posts_now, worker="w1", max_lateness=None))
        assert early == {}

    late = claims.claim_free(posts_now, worker="w1", max_lateness=None)
    assert {attempt.content["caption"] for attempt in late.values()} == {"new"} and len(late) == 8


def test_of_many_that_claim_the_same_posts_together_each_post_has_one_attempt(
    stage: Stage, factories: Factories, make_post: Any
) -> None:
    due = [make_post(-SECOND) for _ in range(40)]

    workers = [f"w{number}" for number in range(6)]
    several = [stage.begin(claims.claim_free, due, worker=worker, max_lateness=None) for worker in workers]

    given = [post for each in several for post in outcome(each)]
    assert len(given) == len(set(given))
    assert factories.query("select count(*) from publish_job") == [(len(given),)]


# --- settle ----------------------------------------------------------------------------------------------------------


def test_a_receipt_that_waited_for_a_take_over_finds_the_job_unknown_and_wins(
    stage: Stage, make_post: Any, post_row: Any, job_row: Any
) -> None:
    post = make_post(-SECOND)
    attempt = intended(post)

    with stage.program() as other:
        other("update publish_job set status = 'unknown', lease_until = null, look_at = now(), error_kind = 'unknown'")
        other("update post_instance set last_error = 'lost'")
        late = stage.begin(receive, attempt)
        stage.wait_until_blocked()

    assert outcome(late)
    assert (post_row(post)["status"], job_row(attempt.job_id)["status"]) == ("Posted", "completed")


def test_a_take_over_that_meets_a_receipt_in_the_middle_takes_nothing(
    stage: Stage, make_post: Any, job_row: Any, expire: Any
) -> None:
    attempt = intended(make_post(-SECOND))
    lost = expire(attempt)

    with stage.program() as worker:
        worker("update publish_job set status = 'completed', finished_at = now()")
        late = stage.begin(take_over, lost)
        assert not outcome(late)

    assert job_row(attempt.job_id)["status"] == "completed"
    assert not take_over(lost)


def test_a_refusal_that_waited_for_a_take_over_is_not_written(
    stage: Stage, make_post: Any, post_row: Any, job_row: Any
) -> None:
    post = make_post(-SECOND)
    attempt = intended(post)

    with stage.program() as other:
        other("update publish_job set status = 'unknown', lease_until = null, look_at = now(), error_kind = 'unknown'")
        late = stage.begin(refuse, attempt)
        stage.wait_until_blocked()

    assert not outcome(late)
    assert (post_row(post)["status"], job_row(attempt.job_id)["status"]) == ("Publishing", "unknown")


def test_a_refusal_that_waited_for_an_owner_leaves_the_changed_post_alone(
    stage: Stage, make_post: Any, post_row: Any, job_row: Any
) -> None:
    post = make_post(-SECOND)
    attempt = claimed(post)

    with stage.program() as owner:
        owner("update post_instance set status = 'Cancelled'")
        late = stage.begin(refuse, attempt)
        stage.wait_until_blocked()

    assert outcome(late)
    assert (post_row(post)["status"], post_row(post)["last_error"]) == ("Cancelled", None)
    assert job_row(attempt.job_id)["status"] == "failed"


STALE = "update post_instance set status = 'Scheduled', last_error = 'stale', posted_at = null, platform_post_id = null"


def test_a_receipt_that_waited_for_a_stale_save_posts_the_post(stage: Stage, make_post: Any, post_row: Any) -> None:
    post = make_post(-SECOND)
    attempt = intended(post)

    with stage.program() as form:
        form(STALE)
        late = stage.begin(receive, attempt)
        stage.wait_until_blocked()

    assert outcome(late)
    assert (post_row(post)["status"], post_row(post)["platform_post_id"]) == ("Posted", "42")


def test_a_stale_save_that_waited_for_a_receipt_is_put_back_and_nothing_is_sent(
    stage: Stage, factories: Factories, make_post: Any, post_row: Any
) -> None:
    post = make_post(-SECOND)
    attempt = intended(post)

    with stage.program() as worker:
        worker("update publish_job set status = 'completed', platform_post_id = '42', finished_at = now()")
        worker("update post_instance set status = 'Posted', platform_post_id = '42'")
        late = stage.begin(factories.query, STALE)
        stage.wait_until_blocked()
    outcome(late)
    assert post_row(post)["status"] == "Scheduled"

    assert claim(post, "w2") is None
    assert (post_row(post)["status"], post_row(post)["platform_post_id"]) == ("Posted", "42")
    assert attempt.attempt == 1


def test_a_claim_that_meets_a_receipt_in_the_middle_publishes_nothing(
    stage: Stage, factories: Factories, make_post: Any, post_row: Any
) -> None:
    """A stale save over an attempt under way, and its receipt: whoever comes first, there is one attempt."""
    post = make_post(-SECOND)
    attempt = intended(post)
    factories.query(STALE)

    with stage.program() as somebody:
        somebody("select 1 from post_instance for update")
        receiving = stage.begin(receive, attempt)
        stage.wait_until_blocked()
        assert outcome(stage.begin(claim, post, "w2")) is None

    assert outcome(receiving)
    assert post_row(post)["status"] == "Posted"
    assert factories.query("select count(*) from publish_job") == [(1,)]


# --- a person --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("resolution", posts.Resolution)
def test_a_receipt_that_waited_for_a_person_does_not_move_what_was_resolved(
    stage: Stage, make_post: Any, post_row: Any, job_row: Any, resolution: posts.Resolution
) -> None:
    post = make_post(-SECOND)
    look = unconfirmed(post)

    with stage.program() as somebody:
        somebody("select 1 from publish_job for update")
        person = stage.begin(posts.resolve, post, resolution, by="ann", platform_post_id=None)
        stage.wait_until_blocked()
        late = stage.begin(receive, look.attempt)
        stage.wait_until_blocked(2)

    # Whoever of the two got the job first: the other is told, and job and post say the same.
    resolved, received = outcome(person), outcome(late)
    assert resolved != received
    status = post_row(post)["status"]
    if received:
        assert (status, post_row(post)["platform_post_id"]) == ("Posted", "42")
    else:
        assert status == {"posted": "Posted", "not posted": "Failed"}.get(resolution, "Scheduled")
    assert (job_row(look.attempt.job_id)["status"] == "completed") == (status == "Posted")


def test_a_person_who_waited_for_a_receipt_resolves_nothing(stage: Stage, make_post: Any, post_row: Any) -> None:
    post = make_post(-SECOND)
    unconfirmed(post)

    with stage.program() as worker:
        worker("update publish_job set status = 'completed', finished_at = now(), platform_post_id = '42'")
        worker("update post_instance set status = 'Posted', platform_post_id = '42'")
        person = stage.begin(posts.resolve, post, posts.Resolution.RETRY, by="ann")
        stage.wait_until_blocked()

    assert outcome(person) is False
    assert post_row(post)["status"] == "Posted"


def test_a_person_who_retries_while_a_receipt_is_written_publishes_nothing_twice(
    stage: Stage, make_post: Any, post_row: Any
) -> None:
    post = make_post(-SECOND)
    unconfirmed(post)
    assert posts.resolve(post, posts.Resolution.RETRY, by="ann")

    attempt = claim(post, "w2")

    assert attempt is not None and attempt.attempt == 2
    assert post_row(post)["status"] == "Scheduled"


# --- a foreign transaction that lasts --------------------------------------------------------------------------------


def test_a_foreign_program_that_holds_a_post_stops_no_heartbeat(
    stage: Stage, factories: Factories, make_post: Any
) -> None:
    """An intent waits for the post with the job locked: the renewal of all other leases must not wait with it."""
    stuck, other = claimed(make_post(-SECOND)), claimed(make_post(-SECOND))

    with stage.program() as foreign:
        foreign("select 1 from post_instance where id = %s for update", (stuck.post_id,))
        late = stage.begin(intents.intend, stuck, {})
        stage.wait_until_blocked()
        renewing = stage.begin(leases.renew, [stuck.job_id, other.job_id], worker="w1")
        assert outcome(renewing) == {other.job_id}

    assert outcome(late)


def test_an_intent_gives_up_waiting_for_a_foreign_program_when_it_would_not_be_acted_upon(
    stage: Stage, factories: Factories, make_post: Any
) -> None:
    attempt = claimed(make_post(-SECOND))

    with stage.program() as foreign:
        foreign("select 1 from post_instance for update")
        late = stage.begin(intents.intend, attempt, {})
        with pytest.raises(DATABASE_AWAY, match="lock timeout"):
            late.result(timeout=INTENT_LASTS / SECOND + 1)

    assert factories.query("select 1 from publish_job where intent_at is not null") == []
    assert intents.intend(attempt, {})


@pytest.mark.parametrize("begin", [claimed, intended])
def test_a_foreign_program_that_holds_the_post_of_a_dead_worker_stops_no_heartbeat(
    stage: Stage, factories: Factories, make_post: Any, job_row: Any, begin: Callable[[int], Attempt]
) -> None:
    held, free = begin(make_post(-SECOND)), begin(make_post(-SECOND))
    factories.query("update publish_job set lease_until = now() - interval '1 s'")

    with stage.program() as foreign:
        foreign("select 1 from post_instance where id = %s for update", (held.post_id,))
        assert outcome(stage.begin(take_over_expired, POLICY)) == 1
        assert job_row(free.job_id)["status"] != "running"
        assert job_row(held.job_id)["status"] == "running"

    assert take_over_expired(POLICY) == 1


def test_a_claim_gives_up_waiting_for_a_foreign_program(stage: Stage, make_post: Any) -> None:
    post = make_post(-SECOND)

    with stage.program() as foreign:
        foreign("select 1 from post_instance for update")
        late = stage.begin(claim, post)
        stage.wait_until_blocked()
        with pytest.raises(DATABASE_AWAY, match="lock timeout"):
            late.result(timeout=8)

    assert claim(post) is not None


def test_a_foreign_program_that_holds_an_account_keeps_no_scan_from_warning_of_the_others(
    stage: Stage, factories: Factories
) -> None:
    """The scan does it, in the thread that dispatches all that falls due."""
    held, other = factories.account(), factories.account()
    factories.query("update channel_account set credentials_expire_at = now() + interval '1 day'")
    warned = {"within": 7 * DAY, "every": DAY, "failures": 3}

    with stage.program() as foreign:
        foreign("select 1 from channel_account where id = %s for update", (held,))
        told = outcome(stage.begin(account_states.warn_of_expiry, **warned))
        assert [account.address for account in told] == [address_of(factories, other)]

    assert [account.address for account in account_states.warn_of_expiry(**warned)] == [address_of(factories, held)]


def address_of(factories: Factories, account: int) -> str:
    of = factories.row("channel_account", account)
    return f"{of['platform']}:{of['name']}"


def test_a_preparation_that_waited_for_a_scan_that_dispatches_its_post_leaves_it_to_the_attempt(
    stage: Stage, make_post: Any, post_row: Any
) -> None:
    post = make_post(SECOND, prepare_at=datetime.now(UTC))

    with stage.program() as scan:
        scan("update post_instance set dispatched_for = due_at where id = %s", (post,))
        preparation = stage.begin(preparations.start, post)
        stage.wait_until_blocked()

    assert outcome(preparation) is None
    assert post_row(post)["prepared_key"] is None


def test_a_scan_that_meets_a_post_that_is_being_begun_does_not_dispatch_it(stage: Stage, make_post: Any) -> None:
    post = make_post(SECOND, prepare_at=datetime.now(UTC))

    with stage.program() as preparation:
        preparation("update post_instance set prepared_key = 'begun' where id = %s", (post,))
        meanwhile = outcome(stage.begin(dispatch.mark_on_time, max_lateness=DAY))

    assert meanwhile == dispatch.mark_on_time(max_lateness=DAY) == []


def test_a_foreign_program_that_holds_a_post_keeps_no_scan_from_taking_the_marks_of_the_others_back(
    stage: Stage, make_post: Any, post_row: Any
) -> None:
    held, other = make_post(SECOND), make_post(SECOND)
    dispatch.mark_on_time(max_lateness=DAY)

    with stage.program() as foreign:
        foreign("select 1 from post_instance where id = %s for update", (held,))
        outcome(stage.begin(dispatch.take_back, [held, other]))

    assert post_row(other)["dispatched_for"] is None
    assert post_row(held)["dispatched_for"] is not None  # dispatched again when it is overdue


@pytest.mark.parametrize(
    "move",
    [
        partial(preparations.postpone, delay=SECOND),
        partial(preparations.set_aside, problem="not now"),
        partial(claims.fail_unreadable, error="not to be read"),
    ],
    ids=["postpones", "sets aside", "fails what cannot be read"],
)
def test_a_worker_gives_up_waiting_for_a_foreign_program_and_keeps_no_thread(
    stage: Stage, factories: Factories, make_post: Any, move: Callable[[int], object]
) -> None:
    post = make_post(-SECOND, prepare_at=datetime.now(UTC))

    with stage.program() as foreign:
        foreign("select 1 from post_instance for update")
        with pytest.raises(DATABASE_AWAY, match="lock timeout"):
            outcome(stage.begin(move, post))

    move(post)


def test_a_flag_is_not_taken_from_a_post_that_a_foreign_program_holds(
    stage: Stage, make_post: Any, post_row: Any
) -> None:
    post = make_post(SECOND)
    assert validations.flag(post, "so")

    with stage.program() as foreign:
        foreign("select 1 from post_instance for update")
        outcome(stage.begin(validations.unflag, post))
    assert post_row(post)["last_error"] == "It would be refused: so"

    validations.unflag(post)
    assert post_row(post)["last_error"] is None
