"""The claim on the real database: who gets a post, with which snapshot, and what the ledger says first."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import moves
import pytest
from factories import Factories
from moves import (
    DAY,
    RECEIPT,
    SECOND,
    claim,
    claimed,
    ending,
    forge_job,
    intended,
    receive,
    unconfirmed,
    unknown,
)

from autoposter.lifecycle import Status, Withdrawn
from autoposter.store import claims, dispatch, jobs, posts

pytestmark = pytest.mark.usefixtures("database")


@pytest.fixture(autouse=True, params=["alone", "with others'"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """A claim by itself, and as threads make it together: who wins, and what is read, is the same."""
    if request.param != "alone":
        monkeypatch.setattr(claims, "claim", moves.claim_with_others)


@pytest.fixture
def make_job(factories: Factories) -> Callable[..., int]:
    """`make_job(post, status="failed", **columns)`: an earlier job of a post, as it would stand in the ledger."""
    return partial(forge_job, factories)


# --- claim -----------------------------------------------------------------------------------------------------------


def test_a_claim_makes_a_running_job_with_a_lease_and_leaves_the_post_scheduled(
    make_post: Any, post_row: Any, job_row: Any
) -> None:
    post = make_post(-SECOND)

    attempt = claimed(post)

    job = job_row(attempt.job_id)
    assert post_row(post)["status"] == "Scheduled"
    assert (job["status"], job["worker"], job["attempt"], job["intent_at"]) == ("running", "w1", 1, None)
    assert 9 * SECOND < job["lease_until"] - job["started_at"] <= 10 * SECOND
    assert job["scheduled_for"] == attempt.scheduled_for == post_row(post)["scheduled_for"]
    assert job["content"] == attempt.content and job["idempotency_key"] == attempt.idempotency_key
    assert attempt.scheduled_for.utcoffset() == timedelta(0)


@pytest.mark.parametrize(("due_in", "is_claimed"), [(0.0, True), (0.9, True), (1.9, False), (3600.0, False)])
def test_a_post_is_never_claimed_more_than_a_second_early(make_post: Any, due_in: float, is_claimed: bool) -> None:
    assert (claim(make_post(timedelta(seconds=due_in))) is not None) == is_claimed


@pytest.mark.parametrize("status", [status for status in Status if status is not Status.SCHEDULED])
def test_only_a_scheduled_post_is_claimed(make_post: Any, status: Status) -> None:
    assert claim(make_post(-SECOND, status=status)) is None


def test_a_planned_slot_a_switched_off_post_and_one_that_is_not_there_are_not_claimed(make_post: Any) -> None:
    assert claim(make_post(-SECOND, content_item_id=None)) is None
    assert claim(make_post(-SECOND, autopost_enabled=False)) is None
    assert claim(2**62) is None


def test_a_post_waits_for_its_retry_at_and_is_due_then(make_post: Any, factories: Factories) -> None:
    waiting, waited = make_post(-60 * SECOND), make_post(-60 * SECOND)
    factories.query("update post_instance set retry_at = now() + interval '9 s' where id = %s", (waiting,))
    factories.query("update post_instance set retry_at = now() - interval '1 s' where id = %s", (waited,))

    assert claim(waiting) is None
    assert claimed(waited).due_at == factories.row("post_instance", waited)["retry_at"]


def test_a_post_that_is_too_late_is_not_claimed_unless_none_ever_is(make_post: Any) -> None:
    post = make_post(-25 * timedelta(hours=1))

    assert claim(post, max_lateness=DAY) is None
    assert claim(post, max_lateness=None) is not None


def test_the_post_of_a_disabled_account_is_held(make_post: Any, make_account: Any) -> None:
    assert claim(make_post(-SECOND, channel_account_id=make_account(status="disabled"))) is None


def test_the_post_of_a_disconnected_account_is_claimed_so_that_it_can_fail(make_post: Any, make_account: Any) -> None:
    assert claimed(make_post(-SECOND, channel_account_id=make_account(status="disconnected"))).account.status == (
        "disconnected"
    )


@pytest.mark.parametrize(("pause", "spread"), [(10, 10), (600, 30)])
def test_the_post_of_a_paused_account_moves_behind_the_pause_with_a_spread(
    make_post: Any, make_account: Any, factories: Factories, post_row: Any, pause: int, spread: int
) -> None:
    until = factories.query("select now() + %s * interval '1 s'", (pause,))[0][0]
    post = make_post(-SECOND, channel_account_id=make_account(paused_until=until), dispatched_for=datetime.now(UTC))

    assert claim(post) is None

    assert until <= post_row(post)["retry_at"] <= until + timedelta(seconds=spread)
    assert post_row(post)["dispatched_for"] is None
    assert factories.query("select 1 from publish_job") == []


def test_a_pause_that_is_over_holds_nothing(make_post: Any, make_account: Any) -> None:
    paused = make_account(paused_until=datetime.now(UTC) - SECOND)

    assert claim(make_post(-SECOND, channel_account_id=paused)) is not None


def test_the_snapshot_holds_what_the_platform_needs_and_nothing_of_others(
    make_post: Any, make_content: Any, make_media: Any
) -> None:
    content = make_content(caption="Ours", link="https://e.org", options={"stub": {"a": 1}, "other": {"b": 2}})
    last = make_media(content, source="c.jpg", position=2, alt_text="C")
    first = make_media(content, source="b.jpg", position=1)
    second = make_media(content, source="a.mp4", position=1, kind="video", mime_type="video/mp4")
    assert last < first < second

    attempt = claimed(make_post(-SECOND, content_item_id=content))

    assert attempt.content == {
        "content_item_id": content,
        "caption": "Ours",
        "link": "https://e.org",
        "options": {"a": 1},
        "media": [
            {"kind": "image", "source": "b.jpg", "alt_text": None, "mime_type": None},
            {"kind": "video", "source": "a.mp4", "alt_text": None, "mime_type": "video/mp4"},
            {"kind": "image", "source": "c.jpg", "alt_text": "C", "mime_type": None},
        ],
    }


@pytest.mark.parametrize("caption", ["Mine", ""])
def test_a_caption_of_the_post_stands_instead_of_the_content_items(make_post: Any, caption: str) -> None:
    assert claimed(make_post(-SECOND, caption=caption)).content["caption"] == caption


def key_of(post: int, factories: Factories) -> str:
    attempt = claimed(post)
    assert jobs.settle_refusal(ending(attempt, Withdrawn("again")))
    factories.query("update post_instance set retry_at = null where id = %s", (post,))
    return attempt.idempotency_key


def test_equal_content_has_an_equal_key_whoever_tries_again(
    make_post: Any, make_content: Any, make_media: Any, factories: Factories
) -> None:
    content = make_content(options={"stub": {"a": 1}})
    make_media(content, source="a.jpg")
    post = make_post(-SECOND, content_item_id=content)
    key = key_of(post, factories)

    factories.query("update post_instance set scheduled_for = now() - interval '5 s', reference = 'new'")
    factories.query("""update content_item set options = '{"stub": {"a": 1}, "other": {"b": 2}}'""")
    assert key_of(post, factories) == key
    twin = make_post(
        -SECOND, content_item_id=content, channel_account_id=factories.row("post_instance", post)["channel_account_id"]
    )
    assert key_of(twin, factories) != key


@pytest.mark.parametrize(
    "change",
    [
        "update content_item set caption = caption || '!'",
        "update content_item set link = 'https://example.org'",
        'update content_item set options = \'{"stub": {"a": 2}}\'',
        "update media_asset set alt_text = 'A'",
        "update media_asset set position = 5 where source = 'a.jpg'",
        "delete from media_asset where source = 'a.jpg'",
        "update post_instance set caption = 'Mine'",
        "update post_instance set created_at = created_at - interval '1 us'",
    ],
)
def test_other_content_or_another_post_of_the_same_number_has_another_key(
    make_post: Any, make_content: Any, make_media: Any, factories: Factories, change: str
) -> None:
    content = make_content(options={"stub": {"a": 1}})
    for source in ("a.jpg", "b.jpg"):
        make_media(content, source=source)
    post = make_post(-SECOND, content_item_id=content)
    key = key_of(post, factories)

    factories.query(change)

    assert key_of(post, factories) != key


def test_what_was_prepared_is_handed_on_only_for_the_content_it_was_made_for(
    make_post: Any, factories: Factories
) -> None:
    post = make_post(-SECOND)
    key = key_of(post, factories)
    factories.query("""update post_instance set prepared = '{"upload": 7}', prepared_key = %s""", (key,))

    same = claimed(post)
    jobs.settle_refusal(ending(same, Withdrawn("again")))
    factories.query("update post_instance set caption = 'Other', retry_at = null")

    assert same.prepared == {"upload": 7}
    assert claimed(post).prepared == {}


def test_an_attempt_knows_the_failures_and_apart_from_them_the_rate_limits_of_its_due_time(
    make_post: Any, make_job: Any
) -> None:
    post = make_post(-SECOND)
    for kind in ("transient", "worker_lost", "rate_limited", "rate_limited", "bug"):
        make_job(post, error_kind=kind)
    make_job(post, status="cancelled", error_kind=None)
    make_job(post, scheduled_for=datetime(2026, 1, 1, tzinfo=UTC))

    attempt = claimed(post)

    assert (attempt.failures, attempt.rate_limits) == (3, 2)
    assert attempt.attempt == 8
    assert attempt.attempted_at is not None and attempt.found_absent is None and not attempt.was_rejected


def test_an_attempt_knows_that_its_credentials_were_rejected_before_at_this_due_time(
    make_post: Any, make_job: Any
) -> None:
    before, other_time = make_post(-SECOND), make_post(-SECOND)
    make_job(before, evidence={"account_rejected": True})
    make_job(other_time, evidence={"account_rejected": True}, scheduled_for=datetime(2026, 1, 1, tzinfo=UTC))

    assert claimed(before).was_rejected
    assert not claimed(other_time).was_rejected


def test_an_attempt_knows_the_one_before_it_that_was_looked_for_and_not_found(
    make_post: Any, make_job: Any, post_row: Any
) -> None:
    post = make_post(-SECOND)
    make_job(post, looks=3, idempotency_key="absent", prepared={"upload": 7})
    make_job(post, looks=0)

    assert claimed(post).found_absent == {
        "content": {"caption": "earlier", "content_item_id": post_row(post)["content_item_id"]},
        "idempotency_key": "absent",
        "prepared": {"upload": 7},
    }


def test_what_the_platform_took_and_then_refused_is_not_looked_for_again(make_post: Any, make_job: Any) -> None:
    """Else a post whose content was mended would be failed by the refusal of the old one, for ever."""
    post = make_post(-SECOND)
    make_job(post, looks=1, error_kind="content")

    assert claimed(post).found_absent is None


def test_a_number_in_other_words_is_the_same_post_with_the_same_key(make_post: Any, factories: Factories) -> None:
    """A forged message changes nothing but latency: `"007"` names post 7, and must not give it another key."""
    post = make_post(-SECOND)
    key = key_of(post, factories)

    attempt = claimed(f"00{post}")  # type: ignore[arg-type]

    assert (attempt.post_id, attempt.idempotency_key) == (post, key)


# --- the ledger is the truth -----------------------------------------------------------------------------------------


STALE = """
    update post_instance set status = 'Scheduled', posted_at = null, platform_post_id = null, permalink = null"""


def is_posted_as_before(found: dict[str, Any], posted: dict[str, Any]) -> bool:
    return all(
        found[name] == posted[name] for name in ("status", "posted_at", "platform_post_id", "permalink", "last_error")
    )


def test_a_stale_save_over_a_posted_post_publishes_nothing_and_is_put_back(
    make_post: Any, factories: Factories, post_row: Any
) -> None:
    post = make_post(-SECOND)
    assert receive(intended(post))
    posted = post_row(post)
    factories.query(STALE)

    assert claim(post) is None

    assert is_posted_as_before(post_row(post), posted)


@pytest.mark.parametrize("status", ["Draft", "Failed", "Cancelled", "Missed", "Unconfirmed", "Publishing"])
def test_a_stale_save_that_no_claim_meets_is_mended(
    make_post: Any, factories: Factories, post_row: Any, status: str
) -> None:
    post = make_post(-SECOND)
    assert receive(intended(post))
    posted = post_row(post)
    factories.query(STALE)
    factories.query("update post_instance set status = %s", (status,))

    assert moves.mend_all() == [(post, status, "Posted")]

    assert is_posted_as_before(post_row(post), posted)
    assert moves.mend_all() == []


@pytest.mark.parametrize("status", ["Draft", "Failed", "Cancelled", "Missed", "Publishing"])
def test_a_stale_save_over_what_nobody_can_tell_is_handed_to_a_person_again(
    make_post: Any, factories: Factories, post_row: Any, status: str
) -> None:
    """It may be out, nobody looks for it any more, and a `Failed` or `Cancelled` would say that it is not."""
    post = make_post(-SECOND)
    unconfirmed(post)
    factories.query("update post_instance set status = %s", (status,))

    assert moves.mend_all() == [(post, status, "Unconfirmed")]

    assert post_row(post)["status"] == "Unconfirmed"
    assert moves.mend_all() == []


def test_a_stray_post_does_not_get_the_id_of_a_receipt_that_came_too_late(
    make_post: Any, factories: Factories, post_row: Any
) -> None:
    post = make_post(-SECOND)
    look = unconfirmed(post)
    assert posts.resolve(post, posts.Resolution.NOT_POSTED, by="somebody")
    assert jobs.keep_late_receipt(look.attempt.job_id, RECEIPT)
    factories.query("update post_instance set status = 'Unconfirmed'")

    assert moves.mend_all() == [(post, "Unconfirmed", "Failed")]

    assert post_row(post)["platform_post_id"] is None


def test_a_stale_save_that_comes_too_late_for_a_claim_is_mended(
    make_post: Any, factories: Factories, post_row: Any
) -> None:
    post = make_post(-SECOND)
    assert receive(intended(post))
    posted = post_row(post)
    factories.query(STALE)
    factories.query("update post_instance set scheduled_for = now() - interval '3 days'")

    assert claim(post) is None
    assert dispatch.end_missed(max_lateness=DAY) == []
    assert moves.mend_all() == [(post, "Scheduled", "Posted")]

    assert is_posted_as_before(post_row(post), posted)


def test_a_publishing_post_that_nothing_stands_behind_is_due_anew(make_post: Any, post_row: Any) -> None:
    stray, under_way = make_post(-SECOND, status="Publishing", dispatched_for=datetime.now(UTC)), make_post(-SECOND)
    intended(under_way)

    assert moves.mend_all() == [(stray, "Publishing", "Scheduled")]

    assert post_row(stray)["dispatched_for"] is None
    assert claim(stray) is not None


@pytest.mark.parametrize(("make", "status"), [(unknown, "Publishing"), (unconfirmed, "Unconfirmed")])
def test_a_stale_save_over_an_unknown_outcome_is_put_back(
    make_post: Any, factories: Factories, post_row: Any, make: Callable[[int], Any], status: str
) -> None:
    post = make_post(-SECOND)
    make(post)
    factories.query("update post_instance set status = 'Scheduled', last_error = null where id = %s", (post,))

    assert claim(post) is None

    assert post_row(post)["status"] == status
    assert post_row(post)["last_error"] == "no answer"


def test_a_stale_save_over_a_running_attempt_publishes_nothing_twice(
    make_post: Any, factories: Factories, post_row: Any
) -> None:
    post = make_post(-SECOND)
    attempt = intended(post)
    factories.query("update post_instance set status = 'Scheduled' where id = %s", (post,))

    assert claim(post, "w2") is None
    assert receive(attempt)
    assert post_row(post)["status"] == "Posted"


def test_a_row_that_cannot_be_read_fails_only_while_it_is_due(make_post: Any, post_row: Any) -> None:
    due, later, cancelled = make_post(-SECOND), make_post(60 * SECOND), make_post(-SECOND, status="Cancelled")

    verdicts = [claims.fail_unreadable(post, "unreadable") for post in (due, later, cancelled)]

    assert verdicts == [True, False, False]
    assert (post_row(due)["status"], post_row(due)["last_error"]) == ("Failed", "unreadable")
