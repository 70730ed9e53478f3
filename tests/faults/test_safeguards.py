"""Each safeguard is taken away in turn, and the judge must notice: else it guards nothing, or nobody sees it break.

Each scenario runs twice: with the safeguard in place the judge is content, without it he is not.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
from faults.checker import Report
from faults.forge import Forge
from faults.scenes import (
    BLIND,
    FINDABLE,
    KEYED,
    Scene,
    Without,
    a_stale_row_is_saved_over_a_posted_one,
    answers_are_lost,
    due_in_a_moment,
    found_absent_and_shown_later,
    frozen_before_its_intent_and_taken_over,
    frozen_in_the_call,
    frozen_with_a_refusal_that_others_have_overtaken,
    frozen_with_an_intent,
    killed_after_the_call,
    killed_while_the_platform_still_works,
    taken_over_while_it_works,
    the_account_is_disabled,
    the_account_is_paused,
    the_owner_cancels,
    the_owner_moves,
    the_owner_switches_off,
    the_publisher_calls_twice,
)
from faults.world import World

# --- What is taken away, and what then must be noticed  ---------------------------------------------------------------

NO_INDEX = """
    drop index publish_job_one_effect;
    create index publish_job_one_effect on publish_job (post_instance_id);"""
NO_CONFLICT = "on conflict (post_instance_id) where status in ('running', 'unknown', 'completed') do nothing"

STILL_SCHEDULED = "and p.status = 'Scheduled' and p.autopost_enabled and p.scheduled_for ="
STILL_ENABLED = "and p.autopost_enabled and p.scheduled_for ="
STILL_AT_THIS_TIME = "and p.scheduled_for = job.scheduled_for and p.content_item_id"
ACCOUNT_ACTIVE = "and (a.status = 'active') is true and (a.paused_until"
ACTIVE = "a.id = p.channel_account_id and (a.status = 'active') is true"
ACCOUNT_NOT_PAUSED = f"{ACTIVE} and (a.paused_until is null or a.paused_until <= now())"
LEASE_RUNS = "and j.lease_until > now() and j.intent_at is null"
JOB_IS_OURS = "and (j.status = 'running') is true and j.worker = %(worker)s " + LEASE_RUNS
JOB_IS_RUNNING = "and (j.status = 'running') is true and j.worker = %(worker)s and j.lease_until"
LEASE_IS_OVER = "and j.lease_until < now() order by j.lease_until"
FREE_IF_OVER = "and j.lease_until < now() for update of j"
LEASE_STILL_OVER = "and lease_until < now() and intent_at is not null"
JOB_IS_STILL_OURS = "and (j.status = 'running') is true and j.worker = %(worker)s::text returning"
SETTLED_BY_ITS_HOLDER = (
    "and worker = %(worker)s and (status = 'running' and %(looks)s = 0"
    " or status = 'unknown' and %(looks)s > 0 and looks = %(looks)s)"
)


#: Scenario, what is taken away in its second run, and what misbehaves in both.
SAFEGUARDS = [
    (killed_after_the_call, Without(sabotage=("no_intent_is_written",)), ()),
    (a_stale_row_is_saved_over_a_posted_one, Without({NO_CONFLICT: ""}, before=NO_INDEX), ()),
    (the_owner_cancels, Without({STILL_SCHEDULED: "and p.scheduled_for ="}), ()),
    (the_owner_switches_off, Without({STILL_ENABLED: "and p.scheduled_for ="}), ()),
    (the_owner_moves, Without({STILL_AT_THIS_TIME: "and p.content_item_id"}), ()),
    (the_account_is_disabled, Without({ACCOUNT_ACTIVE: "and (a.paused_until"}), ()),
    (the_account_is_paused, Without({ACCOUNT_NOT_PAUSED: ACTIVE}), ()),
    (due_in_a_moment, Without(sabotage=("no_gate",)), ()),
    (frozen_with_an_intent, Without(sabotage=("no_limit_to_an_intents_age",)), ()),
    (frozen_in_the_call, Without(sabotage=("no_deadline_at_the_wire",)), ()),
    (frozen_before_its_intent_and_taken_over, Without({JOB_IS_OURS: "", JOB_IS_STILL_OURS: "returning"}), ()),
    (frozen_with_a_refusal_that_others_have_overtaken, Without({SETTLED_BY_ITS_HOLDER: ""}), ()),
    (
        answers_are_lost(FINDABLE, listing_lag_ms=2500),
        Without(sabotage=("absence_is_believed_at_once",)),
        ("a_platform_that_shows_posts_late",),
    ),
    (answers_are_lost(BLIND), Without(sabotage=("unknown_is_tried_again",)), ()),
    (answers_are_lost(KEYED), Without(sabotage=("each_request_has_a_key_of_its_own",)), ()),
    (
        answers_are_lost(FINDABLE),
        Without(sabotage=("the_publisher_is_believed",)),
        ("a_publisher_that_calls_every_error_transient",),
    ),
    (killed_while_the_platform_still_works, Without(sabotage=("a_call_has_ended_with_its_intent",)), ()),
    (found_absent_and_shown_later, Without(sabotage=("what_was_absent_is_not_looked_for_again",)), ()),
    (the_publisher_calls_twice, Without(sabotage=("no_fence",)), ("a_publisher_that_tries_again_itself",)),
]
#: Of two safeguards that stand behind each other, the judge cannot notice one alone; both are taken away above.
IN_DEPTH = [
    (frozen_before_its_intent_and_taken_over, Without({LEASE_RUNS: ""}), ()),
    (frozen_before_its_intent_and_taken_over, Without({JOB_IS_RUNNING: "and j.lease_until"}), ()),
    (
        taken_over_while_it_works,
        Without(
            {
                LEASE_IS_OVER: "order by j.lease_until",
                FREE_IF_OVER: "for update of j",
                LEASE_STILL_OVER: "and intent_at is not null",
            }
        ),
        (),
    ),
]
CASES = [pytest.param(*case, id=f"{case[0].__name__}, {case[1]}"[:110]) for case in SAFEGUARDS]


def play(world: World, forge: Forge, scenario: Callable[[Scene], None], without: Without, *always: str) -> Report:
    if without.before:
        world.rows.query(without.before)
    scene = Scene(world, forge, without, always)
    scenario(scene)
    assert scene.met == set(without.remove), "what was to be taken away is not there any more"
    report = world.check()
    print(report.table())
    return report


@pytest.mark.parametrize(("scenario", "without", "always"), CASES)
def test_the_judge_notices_that_a_safeguard_is_gone(
    world: World,
    forge: Forge,
    noticed: Callable[[str, str], None],
    scenario: Callable[[Scene], None],
    without: Without,
    always: tuple[str, ...],
) -> None:
    violations = play(world, forge, scenario, without, *always).violations

    assert violations
    noticed(f"{scenario.__name__}, {without}"[:110].replace("_", " "), f"the judge: {violations[0]}")


#: In the short version these scenarios also show that the judge is content as a rule; they take a second each.
QUICK = (killed_after_the_call, a_stale_row_is_saved_over_a_posted_one, the_owner_cancels, the_publisher_calls_twice)


@pytest.mark.parametrize(
    ("scenario", "without", "always"),
    [
        pytest.param(
            *case, id=f"{case[0].__name__}, {case[1]}"[:110], marks=[] if case[0] in QUICK else pytest.mark.long
        )
        for case in SAFEGUARDS
    ],
)
def test_the_judge_is_content_where_the_safeguard_is_in_place(
    world: World, forge: Forge, scenario: Callable[[Scene], None], without: Without, always: tuple[str, ...]
) -> None:
    assert play(world, forge, scenario, Without(), *always).violations == []


@pytest.mark.long
@pytest.mark.parametrize(("scenario", "without", "always"), IN_DEPTH)
def test_what_stands_behind_another_safeguard_is_not_missed(
    world: World, forge: Forge, scenario: Callable[[Scene], None], without: Without, always: tuple[str, ...]
) -> None:
    assert play(world, forge, scenario, without, *always).violations == []
