"""Preparing ahead: no thread waits, other content is prepared anew, and what is ready goes out on time."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from factories import Factories

from autoposter.clock import Clock
from autoposter.credentials import Keyring
from autoposter.leases import Leases
from autoposter.lifecycle import RetryPolicy
from autoposter.media import MediaShelf
from autoposter.plugins import Host
from autoposter.preparing import Preparing
from autoposter.publishers import Delivery, NotReady, Post, Publisher, Receipt, Transient
from autoposter.publishing import publish_post
from autoposter.store import dispatch, preparations
from autoposter.workbench import Workbench

SECOND = timedelta(seconds=1)


class Slow(Publisher):
    """Takes two calls of `prepare` to be ready."""

    platform = "slow"
    delivery = Delivery.BLIND
    prepare_ahead = timedelta(hours=1)
    calls: list[dict[str, Any]] = []
    published: list[dict[str, Any]] = []
    trouble: Exception | None = None

    def prepare(self, post: Post, prepared: dict[str, Any]) -> dict[str, Any]:
        self.calls.append(prepared)
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
def bench(database: Any) -> Iterator[Workbench]:
    Slow.calls, Slow.published, Slow.trouble = [], [], None
    yield Workbench(
        worker="test",
        host=OnePublisher(),
        keyring=Keyring(()),
        shelf=MediaShelf(None, None),
        policy=RetryPolicy(8, 30 * SECOND, 900 * SECOND),
        max_lateness=None,
        clock=Clock(),
        leases=Leases(),
    )


@pytest.fixture
def post(factories: Factories) -> int:
    return factories.post(timedelta(minutes=30), channel_account_id=factories.account(platform="slow"))


def begin() -> int:
    return preparations.begin({"slow": Slow.prepare_ahead})


def test_a_post_within_prepare_ahead_is_begun_once(bench: Workbench, post: int, factories: Factories) -> None:
    factories.post(timedelta(hours=2), channel_account_id=factories.account(platform="slow"))

    assert (begin(), begin()) == (1, 0)
    assert (preparations.mark(), preparations.mark()) == ([post], [])


def test_what_is_not_ready_holds_no_thread_and_is_asked_again_with_its_progress(
    bench: Workbench, post: int, factories: Factories
) -> None:
    begin()

    Preparing(bench).prepare(post)
    waiting = factories.row("post_instance", post)
    Preparing(bench).prepare(post)
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
def test_other_content_is_prepared_anew(bench: Workbench, post: int, factories: Factories, edit: str) -> None:
    begin()
    Preparing(bench).prepare(post)
    Preparing(bench).prepare(post)

    factories.query(edit)

    assert factories.row("post_instance", post)["prepared_key"] is None
    assert begin() == 1
    Preparing(bench).prepare(post)
    assert Slow.calls[-1] == {}


def test_a_post_that_is_still_prepared_when_due_waits_without_an_attempt(
    bench: Workbench, post: int, factories: Factories
) -> None:
    begin()
    Preparing(bench).prepare(post)
    factories.query("update post_instance set scheduled_for = now() - interval '5 s'")

    assert dispatch.mark_overdue(max_lateness=None, limit=10) == []
    Preparing(bench).prepare(post)
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
    Preparing(bench).prepare(post)
    after_trouble = factories.row("post_instance", post)
    Slow.trouble = ZeroDivisionError("oh")
    Preparing(bench).prepare(post)
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

    Preparing(bench).prepare(post)

    waiting = factories.row("post_instance", post)
    assert waiting["status"] == "Scheduled" and "cannot be read" in waiting["last_error"]
    assert waiting["prepare_at"] is None  # else the scan would leave it to the preparing for ever
    factories.query("update post_instance set scheduled_for = now()")
    publish_post(post, bench)
    assert factories.row("post_instance", post)["status"] == "Failed"


def test_only_a_quarter_of_the_threads_prepare_at_once(bench: Workbench, post: int, factories: Factories) -> None:
    begin()
    preparing = Preparing(bench)
    preparing.allow(threads=4)
    preparing._slots.acquire()

    preparing.prepare(post)

    assert Slow.calls == []
    assert factories.row("post_instance", post)["prepare_at"] is not None
