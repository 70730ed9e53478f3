"""The judge notices each kind of wrong, and is content with what is right."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from autoposter.testing.server import AcceptedPost

from .checker import RULES, Job, Post, Report, double_ids

DUE = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)
LATER = DUE + timedelta(milliseconds=5)
EFFECT = AcceptedPost("p1", "post 7", None, "shop", LATER.timestamp(), LATER.timestamp())
JOB = Job(id=1, status="completed", intent_at=DUE, platform_post_id="p1", error_kind=None)
POSTED = Post(
    id=7,
    reference="7",
    platform="fake_findable",
    status="Posted",
    scheduled_for=DUE,
    is_due=False,
    posted_at=LATER,
    platform_post_id="p1",
    last_error=None,
    jobs=[JOB],
    effects=[EFFECT],
)
FAILED = replace(
    POSTED,
    status="Failed",
    last_error="No.",
    platform_post_id=None,
    jobs=[replace(JOB, status="failed", platform_post_id=None)],
    effects=[],
)
UNCONFIRMED = replace(
    FAILED, platform="fake_blind", status="Unconfirmed", jobs=[replace(FAILED.jobs[0], status="unknown")]
)


def complaints(post: Post) -> set[str]:
    return {rule.__name__ for rule in RULES if list(rule(post))}


@pytest.mark.parametrize(
    "post",
    [
        POSTED,
        FAILED,
        UNCONFIRMED,
        replace(UNCONFIRMED, effects=[EFFECT]),
        replace(FAILED, status="Cancelled", jobs=[]),
        replace(POSTED, jobs=[FAILED.jobs[0], JOB]),
    ],
    ids=str,
)
def test_honest_books_are_accepted(post: Post) -> None:
    assert complaints(post) == set()


@pytest.mark.parametrize(
    ("post", "noticed"),
    [
        (replace(POSTED, effects=[EFFECT, EFFECT]), "sent_once"),
        (replace(POSTED, effects=[]), "posted_means_out"),
        (replace(FAILED, effects=[EFFECT]), "out_means_posted"),
        (replace(UNCONFIRMED, platform="fake_keyed"), "unconfirmed_only_where_nobody_can_tell"),
        (replace(UNCONFIRMED, jobs=[]), "unconfirmed_had_an_intent"),
        (replace(POSTED, scheduled_for=LATER + timedelta(milliseconds=1)), "never_early"),
        (replace(POSTED, jobs=[replace(JOB, intent_at=None)]), "promised_first"),
        (replace(POSTED, jobs=[replace(JOB, intent_at=LATER + timedelta(milliseconds=1))]), "promised_first"),
        (replace(FAILED, status="Publishing"), "nothing_open"),
        (replace(FAILED, jobs=[replace(JOB, status="running")]), "nothing_open"),
        (replace(FAILED, status="Scheduled", is_due=True), "nothing_open"),
        (replace(POSTED, jobs=[]), "posted_has_its_receipt"),
        (replace(POSTED, platform_post_id="p2"), "posted_has_its_receipt"),
        (replace(POSTED, posted_at=None), "posted_has_its_receipt"),
        (replace(FAILED, jobs=[JOB]), "completed_means_posted"),
        (replace(FAILED, last_error=None), "failed_says_why"),
    ],
)
def test_each_kind_of_wrong_is_noticed(post: Post, noticed: str) -> None:
    assert noticed in complaints(post)


def test_every_rule_is_tried_above() -> None:
    tried = {noticed for mark in test_each_kind_of_wrong_is_noticed.pytestmark for _, noticed in mark.args[1]}

    assert tried == {rule.__name__ for rule in RULES}


def test_two_posts_that_claim_one_effect_are_noticed() -> None:
    assert double_ids([POSTED, replace(POSTED, id=8)])
    assert not double_ids([POSTED, replace(POSTED, id=8, platform_post_id="p2")])


def test_the_table_counts_what_matters() -> None:
    twice = replace(POSTED, effects=[EFFECT, EFFECT])
    lost = replace(POSTED, effects=[])

    table = Report([POSTED, twice, lost], ["something is wrong"]).table()

    assert table.splitlines()[1].split()[:6] == ["fake_findable", "3", "3", "1", "1", "0"]
    assert table.endswith("VIOLATION: something is wrong")
