"""Which posts are prepared, in which order, and when their platform is asked again."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from factories import Factories

from autoposter import scanning
from autoposter.store import dispatch, preparations

pytestmark = pytest.mark.usefixtures("database")

SECOND = timedelta(seconds=1)
HOUR = timedelta(hours=1)


def to_prepare(make_post: Any, due_in: timedelta, **columns: Any) -> int:
    """A post to prepare now: its id."""
    return int(make_post(due_in, prepare_at=datetime.now(UTC) - SECOND, **columns))


def dispatched() -> list[int]:
    found = dispatch.mark_on_time(max_lateness=None) + dispatch.mark_overdue(max_lateness=None, limit=9)
    return [post.post_id for post in found]


# --- In which order --------------------------------------------------------------------------------------------------


def test_what_falls_due_first_is_prepared_first_but_what_is_being_worked_on_waits_until_it_is_nearly_due(
    make_post: Any,
) -> None:
    working, soon = {"prepared_key": "begun"}, timedelta(minutes=1)
    order: list[tuple[timedelta, dict[str, str]]] = [
        (-SECOND, working), (5 * SECOND, {}), (8 * SECOND, working), (soon, {}), (2 * soon, {}), (soon, working)
    ]  # fmt: skip
    numbers = (3, 5, 0, 2, 4, 1)  # another order than that of their ids, and of the times when they were to be begun
    made = {number: to_prepare(make_post, order[number][0], **order[number][1]) for number in numbers}

    found = [preparations.mark(limit=1) for _ in range(7)]

    assert found == [*([made[number]] for number in range(6)), []]


def test_a_process_dispatches_no_more_preparations_than_it_has_threads_for(make_post: Any) -> None:
    posts = [to_prepare(make_post, HOUR / 2) for _ in range(3)]
    sent: list[int] = []

    for room in (0, 2):
        scanning.dispatch_preparations(sent.append, room=room)

    assert sorted(sent) == posts[:2]
    assert preparations.mark(limit=9) == posts[2:]  # which others find at once


# --- When it is asked again ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("due_in", "asked_in"),
    [
        (timedelta(minutes=30), timedelta(minutes=30) - 10 * SECOND),
        (12 * SECOND, 2 * SECOND),
        (9 * SECOND, 6 * SECOND),
        (2 * SECOND, 3 * SECOND),
        (-4 * SECOND, 3 * SECOND),
        (-20 * SECOND, 5 * SECOND),
        (-timedelta(minutes=4), timedelta(minutes=1)),
    ],
)
def test_a_post_that_is_not_ready_is_asked_after_right_before_it_is_due_and_ever_more_seldom_afterwards(
    make_post: Any, factories: Factories, due_in: timedelta, asked_in: timedelta
) -> None:
    snapshot = preparations.start(to_prepare(make_post, due_in))
    assert snapshot is not None

    preparations.keep(snapshot, {"upload": 7}, ask_again_in=HOUR)
    [(latest,)] = factories.query("select prepare_at - updated_at from post_instance")
    preparations.keep(snapshot, {"upload": 7}, ask_again_in=SECOND)
    [(soonest,)] = factories.query("select prepare_at - updated_at from post_instance")

    assert latest / SECOND == pytest.approx(asked_in / SECOND, abs=1)
    assert soonest == SECOND  # what the platform says, where that is sooner


@pytest.mark.parametrize(("due_in", "asked_in"), [(HOUR / 2, HOUR / 2 - 10 * SECOND), (9 * SECOND, HOUR)])
def test_a_platform_in_trouble_is_asked_once_more_before_the_post_is_due(
    make_post: Any, factories: Factories, due_in: timedelta, asked_in: timedelta
) -> None:
    preparations.postpone(to_prepare(make_post, due_in), HOUR)

    [(waits,)] = factories.query("select prepare_at - updated_at from post_instance")
    assert waits / SECOND == pytest.approx(asked_in / SECOND, abs=1)


# --- By its attempt, or ahead of it ----------------------------------------------------------------------------------


@pytest.mark.parametrize("due_in", [2 * SECOND, -5 * SECOND])
def test_a_due_post_whose_turn_to_be_prepared_has_not_come_is_left_to_its_attempt(
    make_post: Any, due_in: timedelta
) -> None:
    post = to_prepare(make_post, due_in)
    preparations.mark(limit=9)  # and it waits behind others

    assert dispatched() == [post]
    assert preparations.start(post) is None
    assert preparations.mark(limit=9) == []


def test_a_post_whose_preparing_has_begun_is_not_dispatched_before_it_is_ready(make_post: Any) -> None:
    post = to_prepare(make_post, 2 * SECOND)
    snapshot = preparations.start(post)
    assert snapshot is not None

    assert dispatched() == []
    preparations.keep(snapshot, {}, ask_again_in=None)
    assert dispatched() == [post]


def test_a_post_that_was_dispatched_is_not_begun_to_be_prepared_ahead(make_post: Any, make_account: Any) -> None:
    make_post(2 * SECOND, channel_account_id=make_account(platform="slow"))
    dispatched()

    assert preparations.begin(ahead={"slow": HOUR}) == []


def test_a_dispatched_post_that_its_owner_moves_is_prepared_ahead(make_post: Any, factories: Factories) -> None:
    post = to_prepare(make_post, 2 * SECOND)
    dispatched()
    assert preparations.mark(limit=9) == []

    factories.query("update post_instance set scheduled_for = now() + interval '1 h'")

    assert preparations.mark(limit=9) == [post]
    assert preparations.start(post) is not None


def test_what_was_set_aside_is_begun_anew_unless_something_is_prepared(
    make_post: Any, make_account: Any, factories: Factories
) -> None:
    bare, made = (to_prepare(make_post, HOUR / 2, channel_account_id=make_account(platform="slow")) for _ in range(2))
    preparations.start(bare)
    snapshot = preparations.start(made)
    assert snapshot is not None
    preparations.keep(snapshot, {"upload": 7}, ask_again_in=SECOND)

    for post in (bare, made):
        preparations.set_aside(post, "The token expired.")

    assert len(preparations.begin(ahead={"slow": HOUR})) == 1
    assert factories.row("post_instance", made)["prepared"] == {"upload": 7}
