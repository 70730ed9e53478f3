"""The rules of the state machine, over every combination: which state follows which, and when to try again."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime, timedelta
from itertools import product
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoposter.lifecycle import (
    INTENT_LASTS,
    LONGEST_LOOK_PAUSE,
    LONGEST_RETRY_AFTER,
    LONGEST_SPREAD,
    PASSING,
    RECONCILE_FOR,
    TRANSITIONS,
    Case,
    Confirmed,
    Delivery,
    ErrorKind,
    JobStatus,
    Outcome,
    Reach,
    Refused,
    RetryPolicy,
    Settlement,
    Status,
    Step,
    Unknown,
    WireRecord,
    Withdrawn,
    absence_counts,
    is_last,
    judge,
    look_again_at,
    next_step,
    settle,
)

SECOND = timedelta(seconds=1)
NOTHING = timedelta(0)
POLICY = RetryPolicy(max_attempts=8, retry_base=timedelta(seconds=30), retry_cap=timedelta(minutes=15))

# --- The table -------------------------------------------------------------------------------------------------------

#: Section 6 of the design, line by line: from, to.
TABLE = {
    ("Draft", "Scheduled"),
    ("Scheduled", "Draft"),
    ("Scheduled", "Publishing"),
    ("Publishing", "Posted"),
    ("Publishing", "Scheduled"),
    ("Scheduled", "Failed"),
    ("Publishing", "Failed"),
    ("Publishing", "Unconfirmed"),
    ("Scheduled", "Missed"),
    ("Draft", "Cancelled"),
    ("Scheduled", "Cancelled"),
    ("Failed", "Scheduled"),
    ("Missed", "Scheduled"),
    ("Cancelled", "Scheduled"),
    ("Unconfirmed", "Posted"),
    ("Unconfirmed", "Failed"),
    ("Unconfirmed", "Scheduled"),
} | {(status, "Posted") for status in ("Draft", "Scheduled", "Failed", "Missed", "Cancelled")}  # any -> Posted

PICTURE = Path(__file__).parent.parent / "docs" / "states.md"


@pytest.mark.parametrize(("before", "after"), list(product(Status, Status)))
def test_a_post_moves_only_as_the_table_of_the_design_says(before: Status, after: Status) -> None:
    assert ((before, after) in TRANSITIONS) == ((before.value, after.value) in TABLE)


def test_every_move_says_who_makes_it() -> None:
    assert all(TRANSITIONS.values())


def test_the_picture_in_the_docs_shows_these_moves_and_no_others() -> None:
    drawn = {
        (before, after): who
        for before, after, who in re.findall(
            r"^ +(\w+) --> (\w+) *: *(.+)$", PICTURE.read_text(encoding="utf-8"), re.MULTILINE
        )
    }

    assert drawn == {(before.value, after.value): who for (before, after), who in TRANSITIONS.items()}


# --- settle: what follows an outcome ---------------------------------------------------------------------------------

RETRY_AFTERS = (None, NOTHING, -SECOND, SECOND / 2, 5 * SECOND, timedelta(hours=1), timedelta(days=9), timedelta.max)
REFUSALS = [Refused(kind, "no", retry_after) for kind in ErrorKind for retry_after in RETRY_AFTERS]
OUTCOMES: list[Outcome] = [
    Confirmed("1"),
    Unknown("?"),
    Withdrawn("moved"),
    Withdrawn("later", 5 * SECOND),
    Withdrawn("no key", 5 * SECOND, is_told=True),
    *REFUSALS,
]
POLICIES = [
    RetryPolicy(attempts, base, cap)
    for attempts in (1, 2, 8)
    for base, cap in ((30 * SECOND, 900 * SECOND), (SECOND / 100, SECOND / 100), (900 * SECOND, 30 * SECOND))
]


def every_settlement() -> list[tuple[Outcome, int, RetryPolicy, Settlement]]:
    return [
        (outcome, failures, policy, settle(outcome, failures=failures, policy=policy))
        for outcome, failures, policy in product(OUTCOMES, range(10), POLICIES)
    ]


def test_an_outcome_moves_a_post_only_as_the_table_allows() -> None:
    for outcome, _, _, settlement in every_settlement():
        moves = {
            (before, settlement.post)
            for before in (Status.SCHEDULED, Status.PUBLISHING)
            if settlement.post not in (None, before)
        }
        assert moves <= TRANSITIONS.keys(), outcome


def test_only_a_receipt_completes_a_job_and_only_not_knowing_leaves_it_open() -> None:
    for outcome, _, _, settlement in every_settlement():
        match outcome:
            case Confirmed():
                assert (settlement.job, settlement.post) == (JobStatus.COMPLETED, Status.POSTED)
            case Unknown():
                assert (settlement.job, settlement.post) == (JobStatus.UNKNOWN, None)
            case Withdrawn():
                assert settlement.job is JobStatus.CANCELLED
                assert settlement.post is (Status.SCHEDULED if outcome.is_told else None)
            case Refused():
                assert settlement.job is JobStatus.FAILED
                assert settlement.post in (Status.SCHEDULED, Status.FAILED)


def test_not_knowing_is_never_tried_again_but_looked_at_at_once() -> None:
    for outcome, _, _, settlement in every_settlement():
        if isinstance(outcome, Unknown):
            assert settlement.look_in == NOTHING
            assert settlement.retry_in is None
        else:
            assert settlement.look_in is None


def test_a_refusal_that_may_pass_is_tried_again_while_an_attempt_is_left() -> None:
    for outcome, failures, policy, settlement in every_settlement():
        if isinstance(outcome, Refused) and outcome.kind in PASSING - {ErrorKind.RATE_LIMITED}:
            left = failures + 1 < policy.max_attempts
            assert settlement.post is (Status.SCHEDULED if left else Status.FAILED)
            assert (settlement.retry_in is None) == (not left)


def test_a_lasting_refusal_ends_the_post_at_once() -> None:
    lasting = {ErrorKind.ACCOUNT, ErrorKind.CONTENT, ErrorKind.NO_PUBLISHER, ErrorKind.BUG, ErrorKind.UNKNOWN}
    assert lasting == set(ErrorKind) - PASSING
    for outcome, _, _, settlement in every_settlement():
        if isinstance(outcome, Refused) and outcome.kind in lasting:
            assert settlement == Settlement(JobStatus.FAILED, Status.FAILED)


def test_a_rate_limit_uses_up_no_attempt_and_pauses_the_account() -> None:
    for outcome, _, _, settlement in every_settlement():
        if isinstance(outcome, Refused) and outcome.kind is ErrorKind.RATE_LIMITED:
            assert settlement.post is Status.SCHEDULED
            pause, retry_in = settlement.pause_account_for, settlement.retry_in
            assert pause is not None and retry_in is not None
            assert SECOND <= pause <= LONGEST_RETRY_AFTER
            assert pause <= retry_in <= pause + min(pause, LONGEST_SPREAD)
        else:
            assert settlement.pause_account_for is None


def test_a_platform_that_names_a_time_is_believed_up_to_an_hour() -> None:
    for outcome, _, _, settlement in every_settlement():
        if isinstance(outcome, Refused) and outcome.retry_after and settlement.retry_in is not None:
            believed = min(max(outcome.retry_after, SECOND), timedelta(hours=1))
            if outcome.kind is ErrorKind.TRANSIENT:
                assert settlement.retry_in == believed
            if outcome.kind is ErrorKind.RATE_LIMITED:
                assert settlement.pause_account_for == believed


def test_a_platform_that_names_no_time_is_asked_less_and_less_often() -> None:
    limited = Refused(ErrorKind.RATE_LIMITED, "slowly")

    def longest(failures: int, rate_limits: int) -> timedelta:
        settled = [settle(limited, failures=failures, rate_limits=rate_limits, policy=POLICY) for _ in range(300)]
        return max(each.pause_account_for for each in settled if each.pause_account_for)

    assert longest(0, 0) <= POLICY.retry_base < longest(0, 2) <= 4 * POLICY.retry_base < longest(1, 3)
    assert longest(0, 50) <= POLICY.retry_cap


def test_the_posts_of_a_paused_account_are_spread() -> None:
    limited = Refused(ErrorKind.RATE_LIMITED, "slowly", timedelta(minutes=10))

    waits = [settle(limited, failures=0, policy=POLICY).retry_in for _ in range(200)]

    spreads = [wait - timedelta(minutes=10) for wait in waits if wait is not None]
    assert NOTHING <= min(spreads) < timedelta(seconds=5)
    assert timedelta(seconds=25) < max(spreads) <= timedelta(seconds=30)


def test_a_post_whose_worker_was_lost_is_due_at_once() -> None:
    lost = settle(Refused(ErrorKind.WORKER_LOST, "killed"), failures=3, policy=POLICY)

    assert (lost.post, lost.retry_in) == (Status.SCHEDULED, NOTHING)


def test_what_is_not_ready_comes_back_when_it_asked_to() -> None:
    assert settle(Withdrawn("still preparing", 5 * SECOND), failures=7, policy=POLICY).retry_in == 5 * SECOND
    assert settle(Withdrawn("moved"), failures=7, policy=POLICY).retry_in is None


# --- backoff ---------------------------------------------------------------------------------------------------------

policies = st.builds(
    RetryPolicy,
    max_attempts=st.integers(1, 1000),
    retry_base=st.timedeltas(min_value=timedelta(microseconds=1), max_value=timedelta(days=10)),
    retry_cap=st.timedeltas(min_value=timedelta(microseconds=1), max_value=timedelta(days=10)),
)


@given(policies, st.integers(1, 5000))
def test_a_backoff_is_a_second_at_least_and_the_cap_at_most(policy: RetryPolicy, failures: int) -> None:
    assert SECOND <= policy.backoff(failures) <= max(SECOND, policy.retry_cap)


@pytest.mark.parametrize(
    ("failures", "bound"), [(1, 30), (2, 60), (3, 120), (4, 240), (5, 480), (6, 900), (7, 900), (60, 900)]
)
def test_the_backoff_doubles_up_to_the_cap_with_full_jitter(failures: int, bound: int) -> None:
    waits = [POLICY.backoff(failures) / SECOND for _ in range(500)]

    assert max(waits) <= bound
    assert max(waits) > bound * 0.9
    assert min(waits) < max(1.0, bound * 0.1) + 0.001
    assert math.isclose(sum(waits) / len(waits), bound / 2, rel_tol=0.2)


# --- judge: the wire outranks the exception --------------------------------------------------------------------------

RECEIPT = Confirmed("1", "https://example.org/1")
SAID: list[Confirmed | Refused | Unknown | None] = [
    RECEIPT,
    *[Refused(kind, "said") for kind in ErrorKind],
    Unknown("said"),
    None,
]
ANSWERS = [100, 199, 200, 201, 204, 299, 300, 302, 400, 404, 429, 500, 503]


def expected(said: Confirmed | Refused | Unknown | None, wire: WireRecord) -> Outcome:
    """Section 7, "the wire outranks the exception", sentence by sentence."""
    words = "trouble" if said is None else "" if isinstance(said, Confirmed) else said.message
    if isinstance(said, Confirmed):
        return said  # a returned Receipt is believed
    if wire.reach is Reach.NOT_SENT:
        return Refused(ErrorKind.TRANSIENT, words)  # no byte left: Transient, whatever was raised
    if wire.reach is Reach.SENT:
        return Unknown(words)  # sent but unanswered: unknown, whatever was raised
    if not isinstance(said, Refused):
        return Unknown(words)  # not declared: unknown
    if wire.reach is Reach.NEVER_BEGUN:
        return said  # no irreversible request: declared exceptions are believed
    if wire.status is not None and 200 <= wire.status < 300 and wire.went_on:
        return Unknown(words)  # answered 2xx, and it went on: a later failure never fails the post
    return said


#: All that the wire can have seen.
WIRES = [
    WireRecord(Reach.NEVER_BEGUN),
    WireRecord(Reach.NOT_SENT),
    *[WireRecord(Reach.SENT, went_on=went_on) for went_on in (False, True)],
    *[WireRecord(Reach.ANSWERED, status, went_on) for status, went_on in product(ANSWERS, (False, True))],
]


@pytest.mark.parametrize("said", SAID, ids=str)
def test_the_wire_outranks_the_exception(said: Confirmed | Refused | Unknown | None) -> None:
    for wire in WIRES:
        assert judge(said, wire, trouble="trouble") == expected(said, wire), wire


def test_what_was_sent_is_never_taken_for_refused_without_an_answer() -> None:
    for said, went_on in product(SAID, (False, True)):
        assert not isinstance(judge(said, WireRecord(Reach.SENT, went_on=went_on), trouble=""), Refused)


# --- reconciling -----------------------------------------------------------------------------------------------------

INTENT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
short = st.timedeltas(min_value=timedelta(milliseconds=1), max_value=timedelta(hours=2))
maybe_nothing = st.timedeltas(min_value=NOTHING, max_value=timedelta(hours=2))


@st.composite
def cases(draw: st.DrawFn, delivery: st.SearchStrategy[Delivery] = st.sampled_from(Delivery)) -> Case:  # noqa: B008
    timeout = draw(short)
    called_at = INTENT + draw(st.just(NOTHING) | maybe_nothing)
    ended_at = draw(st.none() | st.just(called_at + draw(maybe_nothing)))
    kind = draw(delivery)
    return Case(
        delivery=kind,
        can_find=kind is Delivery.FINDABLE or (kind is Delivery.KEYED and draw(st.booleans())),
        intent_at=INTENT,
        called_at=called_at,
        ended_at=ended_at,
        publish_timeout=timeout,
        find_after=draw(maybe_nothing),
        key_lasts=draw(st.none() | short),
        looks=draw(st.integers(1, 300)),
        now=INTENT + draw(st.timedeltas(min_value=NOTHING, max_value=timedelta(hours=30))),
    )


def only(delivery: Delivery) -> st.SearchStrategy[Case]:
    return cases(st.just(delivery))


@given(cases())
def test_the_next_look_is_always_later_than_now(case: Case) -> None:
    assert look_again_at(case) > case.now


@given(cases())
def test_looks_are_never_further_apart_than_fifteen_minutes(case: Case) -> None:
    assert look_again_at(case) - case.now <= LONGEST_LOOK_PAUSE == timedelta(minutes=15)


@pytest.mark.parametrize("delivery", [Delivery.KEYED, Delivery.FINDABLE])
@pytest.mark.parametrize(("looks", "seconds"), [(1, 5), (2, 15), (3, 45), (4, 135), (5, 405), (6, 900), (99, 900)])
def test_looks_come_after_5_15_45_seconds_and_so_on(delivery: Delivery, looks: int, seconds: int) -> None:
    now = INTENT + timedelta(hours=3)  # long after the moments from which more is known
    case = Case(delivery, True, INTENT, INTENT, INTENT + SECOND, 30 * SECOND, 60 * SECOND, None, looks, now)

    assert look_again_at(case) - now == timedelta(seconds=seconds)


@given(only(Delivery.FINDABLE))
def test_a_findable_attempt_is_asked_for_at_the_moment_from_which_not_there_counts(case: Case) -> None:
    """No look skips that moment, and the look at it (or the smallest time after it) is believed."""
    counts_from = case.absence_counts_from
    if case.now < counts_from:
        assert look_again_at(case) <= counts_from

    assert not absence_counts(case, counts_from)
    assert absence_counts(case, counts_from + timedelta(microseconds=1)) is not is_last(case)


@given(only(Delivery.FINDABLE))
def test_not_there_counts_only_later_than_find_after_the_end_of_the_call(case: Case) -> None:
    end = case.ended_at or case.called_at + timedelta(seconds=2) + case.publish_timeout

    assert case.call_ended_at == end
    assert case.absence_counts_from == end + case.find_after


@given(only(Delivery.FINDABLE))
def test_a_findable_attempt_is_looked_for_and_after_a_day_for_the_last_time(case: Case) -> None:
    assert next_step(case) is Step.FIND
    assert is_last(case) is (case.now >= INTENT + RECONCILE_FOR and case.now >= case.call_ended_at)


@given(only(Delivery.BLIND))
def test_a_blind_attempt_is_given_up_when_its_call_has_ended_and_not_before(case: Case) -> None:
    assert next_step(case) is (Step.GIVE_UP if case.now >= case.call_ended_at else Step.WAIT)


@given(only(Delivery.BLIND))
def test_a_blind_attempt_waits_for_the_end_of_its_call_and_no_longer(case: Case) -> None:
    if case.now < case.call_ended_at:
        assert look_again_at(case) <= case.call_ended_at


@given(only(Delivery.KEYED))
def test_a_keyed_attempt_is_sent_again_only_while_its_key_lasts(case: Case) -> None:
    """The platform must still know the key when the last byte of the second request can arrive."""
    step = next_step(case)

    if step is Step.SEND_AGAIN:
        assert case.now < INTENT + RECONCILE_FOR
        if case.key_lasts is not None:
            assert case.now + INTENT_LASTS + case.publish_timeout <= INTENT + case.key_lasts


@given(only(Delivery.KEYED))
def test_a_keyed_attempt_without_an_end_of_its_key_is_sent_again_for_a_day(case: Case) -> None:
    if case.key_lasts is None and case.now < INTENT + RECONCILE_FOR:
        assert next_step(case) is Step.SEND_AGAIN


@given(only(Delivery.KEYED))
def test_a_keyed_attempt_whose_key_is_forgotten_is_findable_if_it_can_find_else_blind(case: Case) -> None:
    if case.now >= INTENT + min(case.key_lasts or RECONCILE_FOR, RECONCILE_FOR):
        blind = Step.GIVE_UP if case.now >= case.call_ended_at else Step.WAIT
        assert next_step(case) is (Step.FIND if case.can_find else blind)


@given(cases(), maybe_nothing)
def test_after_a_day_nothing_is_sent_again_and_not_there_proves_nothing(case: Case, later: timedelta) -> None:
    if case.now >= INTENT + RECONCILE_FOR:
        assert next_step(case) is not Step.SEND_AGAIN
        assert case.now < case.call_ended_at or not absence_counts(case, case.now + later)


@given(cases())
def test_nobody_gives_up_while_the_call_may_still_run(case: Case) -> None:
    if case.now < case.call_ended_at:
        assert next_step(case) is not Step.GIVE_UP


@given(cases())
def test_reconciling_comes_to_an_end(case: Case) -> None:
    """From look to look, the end of the day is met within a quarter of an hour."""
    if case.now < INTENT + RECONCILE_FOR:
        assert look_again_at(case) <= INTENT + RECONCILE_FOR
