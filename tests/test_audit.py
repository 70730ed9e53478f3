"""`store/books.py`: every way in which the books can be wrong, each made by hand, and only that one found."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from autoposter.store.books import _CHECKS, audit

# From the moment at which a row is written: the run may be minutes old by then.
NOW = timedelta(0)
LONG_AGO = -timedelta(minutes=5)

COMPLETED = {"status": "completed", "intent_at": NOW, "finished_at": NOW}
UNKNOWN = {"status": "unknown", "intent_at": NOW, "look_at": NOW}
RUNNING = {"status": "running", "lease_until": NOW}
FAILED = {"status": "failed", "finished_at": NOW}

WRONG = {
    "posted without a completed job": ({"status": "Posted"}, FAILED),
    "completed job of a post that is not posted": ({"status": "Failed"}, COMPLETED | {"platform_post_id": "1"}),
    "completed job without a receipt": ({"status": "Posted"}, COMPLETED),
    "post and receipt differ": (
        {"status": "Posted", "platform_post_id": "2"},
        COMPLETED | {"platform_post_id": "1"},
    ),
    "scheduled while its outcome is unknown": ({"status": "Scheduled"}, UNKNOWN),
    "publishing without an open job": ({"status": "Publishing"}, FAILED),
    "unconfirmed without an unknown job": ({"status": "Unconfirmed"}, FAILED),
    "lease run out": ({"status": "Scheduled"}, RUNNING | {"lease_until": LONG_AGO}),
    "nobody looks": ({"status": "Publishing"}, UNKNOWN | {"look_at": LONG_AGO, "intent_at": LONG_AGO}),
    "out twice": ({"status": "Failed"}, FAILED | {"platform_post_id": "1"}),
}

TWO_RECEIPTS = COMPLETED | {"platform_post_id": "1", "evidence": {"other_receipts": ["2", "3"]}}

RIGHT = [
    ({"status": "Posted", "platform_post_id": "1"}, COMPLETED | {"platform_post_id": "1"}),
    ({"status": "Posted"}, COMPLETED | {"evidence": {"resolved_by": "ana"}}),
    ({"status": "Posted"}, None),  # as imported from elsewhere: it never had a job
    ({"status": "Scheduled"}, RUNNING),
    ({"status": "Scheduled"}, FAILED),
    ({"status": "Publishing"}, RUNNING | {"intent_at": NOW}),
    ({"status": "Publishing"}, UNKNOWN),
    ({"status": "Unconfirmed"}, UNKNOWN | {"look_at": None, "intent_at": LONG_AGO}),
]


@pytest.fixture
def write(factories, database):
    def write_one(post: dict, job: dict | None, **columns) -> tuple[int, int | None]:
        post_id = factories.post(**post, **columns)
        if job is None:
            return post_id, None
        row = factories.row("post_instance", post_id)
        always = {
            "post_instance_id": post_id,
            "channel_account_id": row["channel_account_id"],
            "attempt": 1,
            "scheduled_for": row["scheduled_for"],
            "content": {},
            "idempotency_key": "key",
        }
        now = datetime.now(UTC)
        moments = {name: now + value if isinstance(value, timedelta) else value for name, value in job.items()}
        return post_id, factories.insert("publish_job", always | moments)

    return write_one


@pytest.mark.parametrize("check", WRONG)
def test_what_must_not_be_is_found(check, write):
    post_id, job_id = write(*WRONG[check])

    [finding] = audit()

    assert (finding.check, finding.post_id) == (check, post_id)
    assert finding.job_id in (None, job_id)
    assert finding.what.endswith(".")


def test_one_receipt_for_two_posts_is_found(write, make_account):
    account_id = make_account()
    post, job = RIGHT[0]
    write(post, job, channel_account_id=account_id)
    second, _ = write(post, job, channel_account_id=account_id)
    write(post, job)  # of another account: no relation

    assert [(finding.check, finding.post_id) for finding in audit()] == [("one receipt for two posts", second)]


def test_a_second_receipt_of_one_attempt_is_found(write):
    post_id, _ = write({"status": "Posted", "platform_post_id": "1"}, TWO_RECEIPTS)

    assert [(finding.check, finding.post_id) for finding in audit()] == [("out twice", post_id)]
    assert "(2, 3)" in audit()[0].what


def test_every_check_is_tried():
    assert {*WRONG, "one receipt for two posts"} == set(_CHECKS)


def test_what_is_right_is_not_found(write):
    for post, job in RIGHT:
        write(post, job)

    assert audit() == []
