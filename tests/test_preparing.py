"""Preparing ahead: no thread waits, other content is prepared anew, and what is ready goes out on time."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from copy import deepcopy
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from factories import Factories
from media_files import A_PICTURE
from staging import Stage

from autoposter import preparing as preparing_module
from autoposter.clock import Clock
from autoposter.credentials import Keyring
from autoposter.leases import Leases
from autoposter.lifecycle import RetryPolicy
from autoposter.media import MediaShelf
from autoposter.plugins import Host
from autoposter.preparing import Preparing, as_prepared
from autoposter.publishers import (
    AccountRejected,
    ContentRejected,
    Delivery,
    NotReady,
    Post,
    Publisher,
    RateLimited,
    Receipt,
    Transient,
)
from autoposter.publishing import publish_post
from autoposter.store import dispatch, preparations
from autoposter.turns import Turns
from autoposter.workbench import Workbench

SECOND = timedelta(seconds=1)
HOUR = timedelta(hours=1)


class Slow(Publisher):
    """Takes two calls of `prepare` to be ready."""

    platform = "slow"
    delivery = Delivery.BLIND
    prepare_ahead = timedelta(hours=1)
    calls: list[dict[str, Any]] = []
    published: list[dict[str, Any]] = []
    trouble: Exception | None = None
    meanwhile: Callable[[], object] | None = None
    changes: Callable[[dict[str, Any]], object] | None = None

    def prepare(self, post: Post, prepared: dict[str, Any]) -> dict[str, Any]:
        self.calls.append(deepcopy(prepared))
        if Slow.meanwhile:
            Slow.meanwhile()
        if Slow.changes:
            Slow.changes(prepared)
        if self.trouble:
            raise self.trouble
        if not prepared:
            raise NotReady({"upload": post.caption}, retry_after=timedelta(minutes=1))
        return prepared | {"ready": True}

    def publish(self, post: Post, prepared: dict[str, Any]) -> Receipt:
        self.published.append(prepared)
        return Receipt(f"slow-{post.id}")


class OnePublisher(Host):
    """A host that was told its publisher instead of finding it installed."""

    def publisher_for(self, platform: str) -> type[Publisher]:
        return Slow


@pytest.fixture
def bench(database: Any, tmp_path: Path) -> Iterator[Workbench]:
    Slow.calls, Slow.published, Slow.trouble, Slow.meanwhile, Slow.changes = [], [], None, None, None
    yield Workbench(
        worker="test",
        host=OnePublisher(),
        keyring=Keyring(()),
        shelf=MediaShelf(tmp_path, None),
        policy=RetryPolicy(8, 30 * SECOND, 900 * SECOND),
        max_lateness=None,
        clock=Clock(),
        leases=Leases(),
    )


@pytest.fixture
def post(factories: Factories) -> int:
    return factories.post(timedelta(minutes=30), channel_account_id=factories.account(platform="slow"))


def begin() -> int:
    return len(preparations.begin(ahead={"slow": Slow.prepare_ahead}))


def test_a_post_within_prepare_ahead_is_begun_once(bench: Workbench, post: int, factories: Factories) -> None:
    factories.post(timedelta(hours=2), channel_account_id=factories.account(platform="slow"))

    assert (begin(), begin()) == (1, 0)
    assert (preparations.mark(limit=9), preparations.mark(limit=9)) == ([post], [])


def test_an_account_rests_when_preparing_has_nearly_used_up_its_limits(
    bench: Workbench, post: int, factories: Factories, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Slow, "pause", lambda publisher: 60 * SECOND)
    begin()

    Preparing(bench, Turns()).prepare(post)

    account = factories.row("channel_account", factories.row("post_instance", post)["channel_account_id"])
    assert account["paused_until"] > datetime.now(UTC) + 50 * SECOND


def test_what_is_not_ready_holds_no_thread_and_is_asked_again_with_its_progress(
    bench: Workbench, post: int, factories: Factories
) -> None:
    begin()

    Preparing(bench, Turns()).prepare(post)
    waiting = factories.row("post_instance", post)
    Preparing(bench, Turns()).prepare(post)
    ready = factories.row("post_instance", post)

    assert waiting["prepare_at"] is not None and waiting["status"] == "Scheduled"
    assert [bool(call) for call in Slow.calls] == [False, True]
    assert ready["prepare_at"] is None and ready["prepared"]["ready"]
    assert factories.query("select count(*) from publish_job") == [(0,)]


@pytest.mark.parametrize(
    "edit",
    [
        "update content_item set caption = 'Other'",
        "update content_item set options = '{\"slow\": {}}'",
        "update post_instance set caption = 'Other'",
        "insert into media_asset (content_item_id, kind, source) select id, 'image', 'a.png' from content_item",
    ],
)
def test_other_content_is_prepared_anew(
    bench: Workbench, post: int, factories: Factories, edit: str, tmp_path: Path
) -> None:
    begin()
    Preparing(bench, Turns()).prepare(post)
    Preparing(bench, Turns()).prepare(post)

    (tmp_path / "a.png").write_bytes(A_PICTURE)
    factories.query(edit)

    assert factories.row("post_instance", post)["prepared_key"] is None
    assert begin() == 1
    Preparing(bench, Turns()).prepare(post)
    assert Slow.calls[-1] == {}


def test_a_post_that_is_still_prepared_when_due_waits_without_an_attempt(
    bench: Workbench, post: int, factories: Factories
) -> None:
    begin()
    Preparing(bench, Turns()).prepare(post)
    factories.query("update post_instance set scheduled_for = now() - interval '5 s'")

    assert dispatch.mark_overdue(max_lateness=None, limit=10) == []
    Preparing(bench, Turns()).prepare(post)
    assert [found.post_id for found in dispatch.mark_overdue(max_lateness=None, limit=10)] == [post]
    publish_post(post, bench)

    assert factories.row("post_instance", post)["status"] == "Posted"
    assert Slow.published[0]["ready"]


def test_an_attempt_that_finds_its_media_not_ready_sends_nothing_and_uses_no_attempt(
    bench: Workbench, factories: Factories
) -> None:
    post = factories.post(-SECOND, channel_account_id=factories.account(platform="slow"))

    publish_post(post, bench)

    row = factories.row("post_instance", post)
    assert (row["status"], row["prepare_at"] is not None) == ("Scheduled", True)
    assert factories.query("select status, intent_at from publish_job") == [("cancelled", None)]
    assert Slow.published == []


def test_trouble_of_the_platform_is_asked_again_and_a_bug_is_left_to_the_due_time(
    bench: Workbench, post: int, factories: Factories
) -> None:
    begin()
    Slow.trouble = Transient("Busy.", retry_after=5 * SECOND)
    Preparing(bench, Turns()).prepare(post)
    after_trouble = factories.row("post_instance", post)
    Slow.trouble = ZeroDivisionError("oh")
    Preparing(bench, Turns()).prepare(post)
    after_bug = factories.row("post_instance", post)

    assert after_trouble["prepare_at"] is not None and after_trouble["last_error"] is None
    assert after_bug["prepare_at"] is None and "ZeroDivisionError" in after_bug["last_error"]
    assert after_bug["status"] == "Scheduled"


def test_a_row_that_cannot_be_read_is_not_prepared_and_ends_at_its_due_time(
    bench: Workbench, post: int, factories: Factories
) -> None:
    begin()
    factories.query("update content_item set options = jsonb_build_object('slow', repeat('9', 5000)::numeric)")
    factories.query("update post_instance set prepare_at = now()")

    Preparing(bench, Turns()).prepare(post)

    waiting = factories.row("post_instance", post)
    assert waiting["status"] == "Scheduled" and "cannot be read" in waiting["last_error"]
    assert waiting["prepare_at"] is None  # else the scan would leave it to the preparing for ever
    factories.query("update post_instance set scheduled_for = now()")
    publish_post(post, bench)
    assert factories.row("post_instance", post)["status"] == "Failed"


def test_only_a_quarter_of_the_threads_prepare_at_once_and_go_on_with_what_had_to_wait(
    bench: Workbench, factories: Factories
) -> None:
    account = factories.account(platform="slow")
    posts = [factories.post(HOUR / 2, channel_account_id=account) for _ in range(20)]
    begin()
    turns = Turns()
    turns.allow(threads=4)
    preparing, busy, go_on = Preparing(bench, turns), threading.Event(), threading.Event()

    def upload() -> None:
        busy.set()
        assert go_on.wait(5)

    Slow.meanwhile = upload
    first = threading.Thread(target=preparing.prepare, args=(posts[0],))
    first.start()
    assert busy.wait(5)
    for post in posts:
        preparing.prepare(post)  # returns at once
    while_busy = len(Slow.calls)
    go_on.set()
    first.join(5)

    assert (while_busy, len(Slow.calls)) == (1, 20)


def test_who_has_prepared_a_post_goes_on_with_what_falls_due_first(bench: Workbench, factories: Factories) -> None:
    account = factories.account(platform="slow")
    captions = {minutes: f"due in {minutes} min" for minutes in (30, 10, 20)}
    posts = {
        minutes: factories.post(timedelta(minutes=minutes), channel_account_id=account, caption=caption)
        for minutes, caption in captions.items()
    }
    begin()

    Preparing(bench, Turns()).prepare(posts[30])  # whose message came first

    order = [row[0] for row in factories.query("select prepared ->> 'upload' from post_instance order by updated_at")]
    assert order == [captions[minutes] for minutes in (30, 10, 20)]


def test_who_stops_goes_on_with_nothing(bench: Workbench, post: int, factories: Factories) -> None:
    other = factories.post(HOUR / 2, channel_account_id=factories.account(platform="slow", name="Another"))
    turns = Turns()
    begin()
    Slow.meanwhile = turns.stop

    Preparing(bench, turns).prepare(post)

    assert len(Slow.calls) == 1
    assert preparations.mark(limit=9) == [other]  # which others find at once


def test_a_worker_that_stops_begins_to_prepare_nothing_more(bench: Workbench, post: int) -> None:
    begin()
    turns = Turns()
    preparing = Preparing(bench, turns)

    turns.stop()
    preparing.prepare(post)

    assert Slow.calls == []


def test_what_waited_so_long_that_another_may_have_it_is_left_to_the_scan(
    bench: Workbench, post: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin()
    monkeypatch.setattr(preparing_module, "LONGEST_WAIT", timedelta(0))

    Preparing(bench, Turns()).prepare(post)

    assert Slow.calls == []


# --- Two at once, and edits meanwhile ------------------------------------------------------------------------------


EDITS = [
    "update content_item set caption = 'Other'",
    "update post_instance set channel_account_id = (select id from channel_account where name = 'Another')",
]


@pytest.mark.parametrize("edit", EDITS)
@pytest.mark.parametrize("begun_anew", [False, True], ids=["not begun anew", "begun anew"])
@pytest.mark.parametrize("progress", [{}, {"upload": "old"}], ids=["ready", "not ready"])
def test_what_was_prepared_for_content_that_was_edited_meanwhile_is_not_kept(
    bench: Workbench, post: int, factories: Factories, edit: str, begun_anew: bool, progress: dict[str, Any]
) -> None:
    factories.account(platform="slow", name="Another")
    begin()
    snapshot = preparations.start(post)
    assert snapshot is not None
    factories.query(edit)
    if begun_anew:
        assert begin() == 1

    kept = preparations.keep(snapshot, {"upload": "old"}, ask_again_in=SECOND if progress else None)

    row = factories.row("post_instance", post)
    assert not kept and row["prepared_key"] is None
    assert (row["prepare_at"] is not None) == begun_anew
    assert begun_anew or begin() == 1  # as early as it would have been without the old one


def test_a_refusal_of_content_that_was_edited_meanwhile_is_not_noted(
    bench: Workbench, post: int, factories: Factories
) -> None:
    begin()
    snapshot = preparations.start(post)
    assert snapshot is not None
    factories.query(EDITS[0])

    preparations.give_up(snapshot, "Too long.")

    assert factories.row("post_instance", post)["last_error"] is None
    assert begin() == 1


def test_an_upload_that_takes_minutes_is_made_once(bench: Workbench, post: int, factories: Factories) -> None:
    begin()
    preparing, uploading, uploaded = Preparing(bench, Turns()), threading.Event(), threading.Event()

    def upload() -> None:
        uploading.set()
        assert uploaded.wait(5)

    Slow.meanwhile = upload
    first = threading.Thread(target=preparing.prepare, args=(post,))
    first.start()
    assert uploading.wait(5)
    factories.query("update post_instance set prepare_at = now()")  # half a minute later
    preparing.renew()
    found_by_others = preparations.mark(limit=9)
    preparing.prepare(post)  # a message that was on its way
    uploaded.set()
    first.join(5)

    assert found_by_others == [] and len(Slow.calls) == 1
    asked_again_at = factories.row("post_instance", post)["prepare_at"]
    preparing.renew()
    assert factories.row("post_instance", post)["prepare_at"] == asked_again_at  # nobody is at it any more


# --- What stands in the way ----------------------------------------------------------------------------------------


def test_content_that_its_platform_refuses_is_not_prepared_again_until_it_is_edited(
    bench: Workbench, post: int, factories: Factories
) -> None:
    begin()
    Slow.trouble = ContentRejected("Too long.")

    Preparing(bench, Turns()).prepare(post)

    assert factories.row("post_instance", post)["last_error"] == "Too long."
    assert begin() == 0
    factories.query(EDITS[0])
    assert begin() == 1


def test_an_account_that_is_refused_is_tried_again_by_the_next_minute_scan(
    bench: Workbench, post: int, factories: Factories
) -> None:
    begin()
    Slow.trouble = AccountRejected("The token expired.")

    Preparing(bench, Turns()).prepare(post)

    assert factories.row("post_instance", post)["last_error"] == "The token expired."
    assert begin() == 1


def test_a_post_whose_account_is_disconnected_meanwhile_ends_at_its_due_time(
    bench: Workbench, post: int, factories: Factories
) -> None:
    begin()
    Preparing(bench, Turns()).prepare(post)
    factories.query("update channel_account set status = 'disconnected'")
    factories.query(
        "update post_instance set scheduled_for = now() - interval '2 min', prepare_at = now() - interval '2 min'"
    )

    assert preparations.mark(limit=9) == []
    assert [found.post_id for found in dispatch.mark_overdue(max_lateness=None, limit=10)] == [post]
    publish_post(post, bench)

    assert "disconnected" in factories.row("post_instance", post)["last_error"]


@pytest.mark.parametrize(
    ("asked", "waits"), [(timedelta.max, HOUR), (timedelta(0), SECOND), (-HOUR, SECOND), (60 * SECOND, 60 * SECOND)]
)
def test_a_wait_is_believed_between_a_second_and_an_hour(
    bench: Workbench, factories: Factories, asked: timedelta, waits: timedelta
) -> None:
    post = factories.post(2 * HOUR, channel_account_id=factories.account(platform="slow"))
    preparations.begin(ahead={"slow": 3 * HOUR})
    Slow.trouble = NotReady({"upload": "new"}, retry_after=asked)

    Preparing(bench, Turns()).prepare(post)

    [(left,)] = factories.query("select prepare_at - updated_at from post_instance")
    assert left == waits


@pytest.mark.parametrize(
    "trouble", [NotReady({"upload": "new"}, retry_after=HOUR), RateLimited("Slowly.", retry_after=HOUR)]
)
def test_a_post_is_asked_after_right_before_it_is_due_whatever_its_platform_said(
    bench: Workbench, post: int, factories: Factories, trouble: Exception
) -> None:
    begin()
    Slow.trouble = trouble

    Preparing(bench, Turns()).prepare(post)

    row = factories.row("post_instance", post)
    assert row["due_at"] - row["prepare_at"] == 10 * SECOND


# --- What it returns -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("returned", "why"),
    [
        (None, "must return a dict, and returned NoneType"),
        ([1], "must return a dict, and returned list"),
        ({"a": object()}, "no JSON"),
        ({"a": float("nan")}, "no JSON"),
        ({"a": "\ud800"}, "no JSON"),
        ({"a": 10**5000}, "no JSON"),
        ({"a": "\x00"}, "without NUL"),
        ({"a": "x" * 100_000}, "100000 without NUL"),
        ({"a": ["Bearer the-long-token-4711"]}, "one of the account's secrets"),
    ],
)
def test_what_no_row_should_hold_is_refused_with_its_reason(returned: Any, why: str) -> None:
    with pytest.raises(TypeError, match=why) as refused:
        as_prepared(returned, ["the-long-token-4711", "page"])

    assert "4711" not in str(refused.value)


def test_what_is_nested_too_deeply_is_refused() -> None:
    nested: dict[str, Any] = {}
    for _ in range(100_000):
        nested = {"a": nested}

    with pytest.raises(TypeError, match="no JSON"):
        as_prepared(nested)


def test_a_word_that_happens_to_be_a_credential_may_be_prepared() -> None:
    assert as_prepared({"page": "page-7"}, ["page"]) == {"page": "page-7"}


def test_what_expired_is_prepared_anew_by_the_attempt(bench: Workbench, post: int, factories: Factories) -> None:
    begin()
    Preparing(bench, Turns()).prepare(post)
    Preparing(bench, Turns()).prepare(post)
    factories.query("update post_instance set scheduled_for = now() - interval '1 s'")
    Slow.trouble = NotReady({"upload": "second"}, retry_after=SECOND)  # it found the first one expired

    publish_post(post, bench)
    waiting = factories.row("post_instance", post)
    Slow.trouble = None
    Preparing(bench, Turns()).prepare(post)
    publish_post(post, bench)

    assert waiting["status"] == "Scheduled" and waiting["prepared"] == {"upload": "second"}
    assert factories.row("post_instance", post)["status"] == "Posted"
    assert Slow.published == [{"upload": "second", "ready": True}]


def test_a_publisher_that_changes_what_it_was_handed_has_its_progress_kept(
    bench: Workbench, post: int, factories: Factories
) -> None:
    begin()
    Slow.trouble = NotReady({"parts": [1], "ready": True}, retry_after=SECOND)
    Preparing(bench, Turns()).prepare(post)
    factories.query("update post_instance set scheduled_for = now() - interval '1 s'")
    Slow.trouble, Slow.changes = None, lambda prepared: prepared["parts"].append(2)

    publish_post(post, bench)

    assert factories.row("post_instance", post)["prepared"] == {"parts": [1, 2], "ready": True}


def test_keeping_others_from_an_upload_waits_for_no_program_that_holds_its_post(
    database_url: str, make_post: Any, factories: Factories
) -> None:
    held, free = (make_post(SECOND, prepare_at=datetime.now(UTC)) for _ in range(2))
    stage = Stage(database_url)

    with stage.program() as owner:
        owner("select 1 from post_instance where id = %s for update", (held,))
        stage.begin(preparations.renew, [held, free]).result(timeout=5)
    stage.close()

    assert [factories.row("post_instance", post)["prepare_at"] > datetime.now(UTC) for post in (held, free)] == [
        False,
        True,
    ]
