"""What becomes of an attempt whose outcome nobody saw, by what its platform offers; time passes in the rows only."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Any

import httpx2
import puppets
import pytest
from factories import Factories
from puppets import POLICY, Puppet, raises, returns

from autoposter.plugins import Host, NoPublisher
from autoposter.publishers import (
    AccountRejected,
    ContentRejected,
    OutcomeUnknown,
    RateLimited,
    Receipt,
    Transient,
)
from autoposter.publishing import publish_post
from autoposter.recovery import look, take_over_expired
from autoposter.store import claims, intents
from autoposter.store.books import audit
from autoposter.workbench import Workbench

SECOND = timedelta(seconds=1)
HOUR = timedelta(hours=1)


@pytest.fixture
def bench(database: Any) -> Workbench:
    return puppets.bench()


class Lost:
    """A post whose attempt may have been published."""

    def __init__(self, factories: Factories, bench: Workbench) -> None:
        self.factories = factories
        self.bench = bench
        self.post = 0

    def by(self, platform: str, *, published: bool = False, seen_to_end: bool = True) -> Lost:
        """Make the attempt; its answer is lost (or, if not `seen_to_end`, its worker)."""
        self.account = self.factories.account(platform=platform)
        self.post = self.factories.post(-SECOND, channel_account_id=self.account)

        def lose(_: Any, post: Any) -> Any:
            if published:
                Puppet.board.append(post)
            raise httpx2.ReadTimeout("no answer")

        Puppet.acts["publish"] = lose
        publish_post(self.post, self.bench)
        Puppet.acts.pop("publish")
        Puppet.asked.clear()
        if not seen_to_end:
            self.factories.query("update publish_job set ended_at = null")
        assert (self.row["status"], self.job["status"]) == ("Publishing", "unknown")
        return self

    def ago(self, passed: timedelta) -> Lost:
        """Let so much time pass since its intent and its end."""
        self.factories.query(
            "update publish_job set intent_at = now() - %(passed)s, look_at = now(),"
            " ended_at = case when ended_at is not null then now() - %(passed)s end,"
            " evidence = evidence - 'sent_again_at'",
            {"passed": passed},
        )
        return self

    def look(self, bench: Workbench | None = None) -> None:
        """As an actor does when the scan has found that its time has come."""
        self.factories.query("update publish_job set look_at = now() where look_at is not null")
        look(self.job["id"], bench or self.bench)

    @property
    def row(self) -> dict[str, Any]:
        return self.factories.row("post_instance", self.post)

    @property
    def job(self) -> dict[str, Any]:
        found = self.factories.query("select id from publish_job where post_instance_id = %s order by id", (self.post,))
        return self.factories.row("publish_job", found[-1][0])

    @property
    def statuses(self) -> tuple[str, str]:
        return self.row["status"], self.job["status"]

    def looks_again_in(self) -> timedelta:
        """From the database's now."""
        assert self.statuses == ("Publishing", "unknown")
        assert self.job["lease_until"] is None
        found: timedelta = self.job["look_at"] - self.factories.query("select now()")[0][0]
        return found


@pytest.fixture
def lost(factories: Factories, bench: Workbench) -> Lost:
    return Lost(factories, bench)


UNKNOWN = ("Publishing", "unknown")
OPEN = ("Scheduled", "failed")

# --- FINDABLE --------------------------------------------------------------------------------------------------------


def test_what_is_found_is_posted(lost: Lost) -> None:
    lost.by("findable", published=True)

    lost.look()

    assert lost.statuses == ("Posted", "completed")
    assert (lost.row["platform_post_id"], lost.row["last_error"]) == (f"p{lost.post}", None)
    assert lost.row["posted_at"] is not None
    assert Puppet.asked.count("publish") == 0


def test_what_is_not_there_yet_is_looked_for_again_and_keeps_its_first_cause(lost: Lost) -> None:
    lost.by("findable").ago(20 * SECOND)
    began = time.monotonic()

    waits = []
    for _ in range(3):
        lost.look()
        waits.append(lost.looks_again_in() / SECOND)

    took = time.monotonic() - began
    assert waits == pytest.approx([5, 15, 40], abs=0.5 + took)  # and once at the moment from which it counts
    assert "no answer" in lost.row["last_error"]


def test_not_there_counts_after_find_after_and_the_post_is_tried_again(lost: Lost) -> None:
    lost.by("findable").ago(61 * SECOND)

    lost.look()

    assert lost.statuses == OPEN
    assert lost.job["error_kind"] == "transient" and lost.row["retry_at"] is not None
    assert lost.row["last_error"] == ("It was looked for on the platform, and is not there (ReadTimeout: no answer).")


def test_where_nobody_saw_the_call_end_not_there_counts_from_the_moment_it_cannot_have_gone_on(lost: Lost) -> None:
    lost.by("findable", seen_to_end=False)

    lost.ago(2 * SECOND + puppets.Findable.publish_timeout + 59 * SECOND).look()
    assert lost.statuses == UNKNOWN
    lost.ago(2 * SECOND + puppets.Findable.publish_timeout + 61 * SECOND).look()

    assert lost.statuses == OPEN


def test_what_was_lost_with_its_worker_and_is_not_there_is_tried_again_at_once(
    lost: Lost, factories: Factories
) -> None:
    """The platform has refused nothing: there is nothing to wait for."""
    lost.by("findable", seen_to_end=False)

    lost.ago(2 * SECOND + puppets.Findable.publish_timeout + 61 * SECOND).look()

    assert factories.query(
        "select retry_at - now() <= interval '1 s' from post_instance where id = %s", (lost.post,)
    ) == [(True,)]


def test_what_was_not_there_is_asked_for_once_more_before_it_is_sent_again(lost: Lost, factories: Factories) -> None:
    lost.by("findable").ago(61 * SECOND).look()
    factories.query("update post_instance set retry_at = null")
    Puppet.acts["find"] = returns(Receipt("late"))

    publish_post(lost.post, lost.bench)

    assert lost.statuses == ("Posted", "completed")
    assert Puppet.asked.count("publish") == 0


NO_FIND = {
    "two fit": raises(OutcomeUnknown("two posts fit")),
    "transient": raises(Transient("busy")),
    "rate limited": raises(RateLimited("slowly")),
    "account rejected": raises(AccountRejected("token gone")),
    "timeout": raises(httpx2.ReadTimeout("late")),
    "a bug": raises(KeyError("id")),
    "exit": raises(SystemExit(1)),
    "garbage": returns({"id": "1"}),
    "False": returns(False),
    "an empty receipt": returns(Receipt("")),
}


@pytest.mark.parametrize("find", NO_FIND.values(), ids=NO_FIND.keys())
def test_a_find_that_fails_proves_nothing_and_is_repeated(lost: Lost, find: Any) -> None:
    lost.by("findable").ago(HOUR)
    Puppet.acts["find"] = find

    lost.look()

    assert timedelta(0) < lost.looks_again_in() <= 5 * SECOND
    assert lost.job["looks"] == 1 and lost.job["evidence"]["last_look"]


def test_what_was_taken_and_then_refused_fails_and_can_be_mended(lost: Lost, factories: Factories) -> None:
    lost.by("findable")
    Puppet.acts["find"] = raises(ContentRejected("taken down"))

    lost.look()
    assert lost.statuses == ("Failed", "failed")
    assert (lost.job["error_kind"], lost.row["last_error"]) == ("content", "taken down")

    factories.query("update content_item set caption = 'mended'; update post_instance set status = 'Scheduled'")
    publish_post(lost.post, lost.bench)
    assert lost.statuses == ("Posted", "completed")


def test_an_id_that_another_post_of_the_account_has_is_no_find(lost: Lost, factories: Factories) -> None:
    lost.by("findable").ago(61 * SECOND)
    factories.post(-HOUR, channel_account_id=lost.account, status="Posted", platform_post_id="theirs")
    Puppet.acts["find"] = returns(Receipt("theirs"))

    lost.look()

    assert lost.statuses == OPEN


@pytest.mark.parametrize("find", [returns(None), raises(httpx2.ReadTimeout("late"))], ids=["not there", "fails"])
def test_what_is_not_found_after_a_day_is_handed_to_a_person(lost: Lost, find: Any) -> None:
    lost.by("findable", published=True).ago(24 * HOUR)
    Puppet.acts["find"] = find

    lost.look()

    assert lost.statuses == ("Unconfirmed", "unknown")
    assert Puppet.asked.count("find") == 1


def test_what_nobody_looked_for_all_day_is_found_all_the_same(lost: Lost) -> None:
    """As after a weekend without any worker."""
    lost.by("findable", published=True).ago(60 * HOUR)

    lost.look()

    assert lost.statuses == ("Posted", "completed")


# --- BLIND -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("platform", ["puppet", "blind_with_find"])
def test_a_blind_attempt_is_handed_to_a_person_when_its_call_has_ended(lost: Lost, platform: str) -> None:
    lost.by(platform, published=True)

    lost.look()

    assert lost.statuses == ("Unconfirmed", "unknown")
    assert "no answer" in lost.row["last_error"] and lost.job["look_at"] is None
    assert "find" not in Puppet.asked and "publish" not in Puppet.asked


def test_a_blind_attempt_waits_for_the_end_of_a_call_that_may_still_run(lost: Lost) -> None:
    lost.by("puppet", seen_to_end=False).ago(3 * SECOND)

    lost.look()
    assert lost.looks_again_in() / SECOND == pytest.approx(9, abs=1.5)  # 2 s + publish_timeout after its intent
    lost.ago(12 * SECOND).look()

    assert lost.statuses == ("Unconfirmed", "unknown")


# --- KEYED -----------------------------------------------------------------------------------------------------------


def test_a_keyed_attempt_is_sent_again_with_its_own_snapshot_and_key(lost: Lost, factories: Factories) -> None:
    lost.by("keyed")
    before = lost.job
    factories.query('update content_item set caption = \'edited since\', options = \'{"keyed": {"colour": "red"}}\'')
    factories.query("update post_instance set caption = 'edited since', scheduled_for = now() + interval '1 day'")

    lost.look()

    assert lost.statuses == ("Posted", "completed")
    assert [(sent.idempotency_key, sent.caption, sent.id) for sent in Puppet.board] == [
        (before["idempotency_key"], before["content"]["caption"], lost.post)
    ]
    assert Puppet.board[0].attempted_at == before["intent_at"]
    assert factories.query("select count(*) from publish_job") == [(1,)]


REFUSALS = {
    "content": raises(ContentRejected("too rude")),
    "account": raises(AccountRejected("token gone")),
    "rate": raises(RateLimited("slowly", HOUR)),
    "transient": raises(Transient("busy")),
    "timeout": raises(httpx2.ReadTimeout("late")),
    "garbage": returns(None),
    "exit": raises(SystemExit(1)),
}


@pytest.mark.parametrize("publish", REFUSALS.values(), ids=REFUSALS.keys())
def test_a_refusal_of_the_second_request_says_nothing_about_the_first(
    lost: Lost, factories: Factories, publish: Any
) -> None:
    lost.by("keyed")
    Puppet.acts["publish"] = publish

    lost.look()

    assert 3 * SECOND < lost.looks_again_in() <= 5 * SECOND
    assert factories.row("channel_account", lost.account)["status"] == "active"
    Puppet.acts.clear()
    lost.look()
    assert lost.statuses == ("Posted", "completed")


@pytest.mark.parametrize(
    "change",
    [
        "update post_instance set autopost_enabled = false",
        "update channel_account set status = 'disabled'",
        "update channel_account set status = 'disconnected'",
        "update channel_account set paused_until = now() + interval '1 min'",
    ],
)
def test_a_keyed_attempt_is_not_sent_again_where_something_forbids_it(
    lost: Lost, factories: Factories, change: str
) -> None:
    lost.by("keyed")
    factories.query(change)

    lost.look()

    assert timedelta(0) < lost.looks_again_in()
    assert "publish" not in Puppet.asked
    assert lost.job["ended_at"] is not None


def test_a_keyed_attempt_that_was_only_held_back_is_tried_again_soon_however_often_it_was_looked_at(
    lost: Lost, factories: Factories
) -> None:
    """A pause of a second met the look, and the next one was a quarter of an hour away."""
    lost.by("keyed")
    factories.query("update publish_job set looks = 8")
    factories.query("update channel_account set paused_until = now() + interval '1 s'")

    lost.look()

    assert lost.looks_again_in() <= 30 * SECOND


@pytest.mark.parametrize(("passed", "sent"), [(200, True), (295, False), (400, False)])
def test_a_key_that_is_forgotten_is_not_sent_again(lost: Lost, passed: int, sent: bool) -> None:
    """Nor is one that could be forgotten before the request is over (10 s)."""
    lost.by("forgetful").ago(passed * SECOND)

    lost.look()

    assert Puppet.asked.count("publish") == sent
    assert lost.statuses == (("Posted", "completed") if sent else ("Unconfirmed", "unknown"))


def test_a_forgotten_key_of_a_publisher_that_can_find_is_looked_for(lost: Lost) -> None:
    lost.by("forgetful_findable").ago(400 * SECOND)

    lost.look()

    assert "find" in Puppet.asked and "publish" not in Puppet.asked
    assert lost.statuses == OPEN


def test_after_a_day_a_keyed_attempt_is_handed_to_a_person(lost: Lost) -> None:
    lost.by("keyed").ago(24 * HOUR)

    lost.look()

    assert lost.statuses == ("Unconfirmed", "unknown")
    assert "publish" not in Puppet.asked


def test_a_worker_that_dies_while_it_sends_again_leaves_a_call_that_may_still_run(
    lost: Lost, factories: Factories
) -> None:
    lost.by("forgetful").ago(200 * SECOND)

    def die(*_: Any) -> Any:
        factories.query("update publish_job set worker = 'somebody else'")  # its settlement will not be written
        raise httpx2.ReadTimeout("late")

    Puppet.acts["publish"] = die
    lost.look()
    job = lost.job
    assert job["ended_at"] is None and job["evidence"]["sent_again_at"]

    factories.query("update publish_job set intent_at = now() - interval '400 s', lease_until = now() - interval '1 s'")
    lost.look()

    # The key is forgotten, and the second call counts from when it was allowed, not from the intent.
    assert lost.looks_again_in() / SECOND == pytest.approx(12, abs=1.5)


def test_a_worker_that_was_held_up_before_it_sends_again_sends_nothing(lost: Lost, factories: Factories) -> None:
    lost.by("keyed")
    factories.query(
        "create function hold_up() returns trigger language plpgsql as"
        " $$ begin perform pg_sleep(2.05); return new; end $$;"
        " create trigger hold_up before update on publish_job for each row"
        " when (new.evidence ? 'sent_again_at' and not old.evidence ? 'sent_again_at') execute function hold_up()"
    )
    try:
        lost.look()
    finally:
        factories.query("drop function hold_up cascade")

    assert lost.statuses == UNKNOWN
    assert "publish" not in Puppet.asked


# --- publishers that are not there, or cannot be made ----------------------------------------------------------------


class NobodyThere(Host):
    def publisher_for(self, platform: str) -> Any:
        raise NoPublisher(f"No installed plugin publishes on {platform}.")


@pytest.mark.parametrize("platform", ["findable", "puppet", "keyed"])
def test_a_lost_attempt_waits_for_a_publisher_that_is_not_installed_and_a_day_at_most(
    lost: Lost, platform: str
) -> None:
    lost.by(platform)
    without = replace(lost.bench, host=NobodyThere())

    lost.look(without)
    assert lost.looks_again_in() / SECOND == pytest.approx(300, abs=2)
    lost.ago(24 * HOUR).look(without)

    assert lost.statuses == ("Unconfirmed", "unknown")


@pytest.mark.parametrize("error", [KeyError("x"), SystemExit(1), AccountRejected("gone"), ContentRejected("no")])
def test_a_lost_attempt_whose_publisher_cannot_be_made_is_looked_at_again_and_a_day_at_most(
    lost: Lost, error: BaseException
) -> None:
    lost.by("findable", published=True)
    Puppet.acts["__init__"] = raises(error)

    lost.look()
    assert timedelta(0) < lost.looks_again_in()
    lost.ago(24 * HOUR).look()

    assert lost.statuses == ("Unconfirmed", "unknown")


def test_a_lost_attempt_of_a_disconnected_or_disabled_account_is_still_looked_for(
    lost: Lost, factories: Factories
) -> None:
    for status in ("disconnected", "disabled"):
        lost.by("findable", published=True)
        factories.query("update channel_account set status = %s", (status,))
        lost.look()
        assert lost.statuses == ("Posted", "completed")
        factories.query("update post_instance set status = 'Draft'; delete from post_instance")


UNREADABLE = "update channel_account set settings = jsonb_build_object('page', repeat('9', 5000)::numeric)"


def test_a_lost_attempt_whose_row_cannot_be_read_is_looked_at_again_and_a_day_at_most(
    lost: Lost, factories: Factories
) -> None:
    """It may be mended; until then it harms no other, and no thread is bothered with it each second."""
    lost.by("findable", published=True)
    told: list[str] = []
    telling = replace(lost.bench, announce=lambda event, _: told.append(event))
    factories.query(UNREADABLE)

    lost.look(telling)
    assert lost.looks_again_in() / SECOND == pytest.approx(300, abs=2)
    lost.ago(24 * HOUR).look(telling)

    assert lost.statuses == ("Unconfirmed", "unknown")
    assert told == ["autoposter_post_unconfirmed"]


def test_a_lost_attempt_whose_row_was_mended_is_found(lost: Lost, factories: Factories) -> None:
    lost.by("findable", published=True)
    factories.query(UNREADABLE)
    lost.look()

    factories.query("update channel_account set settings = '{}'")
    lost.look()

    assert lost.statuses == ("Posted", "completed")


# --- looks -----------------------------------------------------------------------------------------------------------


def test_a_look_that_takes_long_keeps_its_lease_and_a_second_one_is_not_begun(lost: Lost) -> None:
    lost.by("findable", published=True)
    seen = []

    def find(_: Any, post: Any) -> Any:
        seen.append(lost.bench.leases.to_renew())
        look(lost.job["id"], replace(lost.bench, worker="w2"))
        return Receipt(f"p{post.id}")

    Puppet.acts["find"] = find
    lost.look()

    assert seen == [[lost.job["id"]]]
    assert Puppet.asked.count("find") == 1
    assert lost.statuses == ("Posted", "completed")


@pytest.mark.parametrize("job_id", [0, -1, 2**62])
def test_a_look_at_nothing_is_no_trouble(bench: Workbench, job_id: int) -> None:
    look(job_id, bench)


# --- dead workers ----------------------------------------------------------------------------------------------------


@pytest.fixture
def dead(factories: Factories, database: Any) -> Callable[..., int]:
    """`dead(intended=True)`: a post whose worker died; its lease is over."""

    def make(*, intended: bool, platform: str = "findable") -> int:
        post = factories.post(-SECOND, channel_account_id=factories.account(platform=platform))
        attempt = claims.claim(post, worker="dead", max_lateness=None)
        assert attempt is not None
        if intended:
            assert intents.intend(attempt, {})
        factories.query("update publish_job set lease_until = now() - interval '1 s' where id = %s", (attempt.job_id,))
        return post

    return make


def test_a_worker_that_died_before_its_intent_leaves_a_post_that_goes_out_at_once(
    bench: Workbench, dead: Any, factories: Factories
) -> None:
    post = dead(intended=False)

    assert take_over_expired(POLICY) == 1
    publish_post(post, bench)

    assert factories.row("post_instance", post)["status"] == "Posted"
    assert factories.query("select attempt, status, error_kind from publish_job order by attempt") == [
        (1, "failed", "worker_lost"),
        (2, "completed", None),
    ]


def test_a_worker_that_died_after_its_intent_leaves_a_post_that_is_never_blindly_sent_again(
    bench: Workbench, dead: Any, factories: Factories
) -> None:
    post = dead(intended=True)

    assert take_over_expired(POLICY) == 1
    publish_post(post, bench)

    row = partial(factories.row, "post_instance", post)
    assert row()["status"] == "Publishing" and "may have been published" in row()["last_error"]
    assert "publish" not in Puppet.asked


def overtaken(lost: Lost, platform: str, then: Callable[[], Any]) -> None:
    """Publish; while the call runs, its worker is taken for dead, `then` happens, and the call goes on."""
    lost.account = lost.factories.account(platform=platform)
    lost.post = lost.factories.post(-SECOND, channel_account_id=lost.account)

    def call(*_: Any) -> Any:
        Puppet.acts.pop("publish")
        lost.factories.query("update publish_job set lease_until = now() - interval '1 s'")
        assert take_over_expired(POLICY) == 1
        return then()

    Puppet.acts["publish"] = call
    publish_post(lost.post, lost.bench)


def test_a_receipt_that_comes_after_its_worker_was_taken_for_dead_wins(lost: Lost) -> None:
    overtaken(lost, "findable", lambda: Receipt("late"))

    assert lost.statuses == ("Posted", "completed")
    assert (lost.row["platform_post_id"], lost.row["last_error"]) == ("late", None)


def test_a_receipt_that_comes_when_a_person_was_already_asked_wins(lost: Lost) -> None:
    def ask_a_person() -> Receipt:
        lost.ago(12 * SECOND).look(replace(lost.bench, worker="w2"))
        assert lost.statuses == ("Unconfirmed", "unknown")
        return Receipt("late")

    overtaken(lost, "puppet", ask_a_person)

    assert lost.statuses == ("Posted", "completed")


def test_a_receipt_that_comes_after_not_there_is_kept_and_reported_as_out_twice(
    lost: Lost, caplog: pytest.LogCaptureFixture
) -> None:
    def find_nothing() -> Receipt:
        lost.ago(12 * SECOND + 61 * SECOND).look(replace(lost.bench, worker="w2"))
        assert lost.statuses == OPEN
        return Receipt("late")

    overtaken(lost, "findable", find_nothing)

    assert lost.statuses == OPEN and lost.job["platform_post_id"] == "late"
    assert "may be out twice" in caplog.text
    assert [finding.check for finding in audit()] == ["out twice"]


def test_an_answer_with_another_id_than_was_found_is_reported_as_out_twice(
    lost: Lost, caplog: pytest.LogCaptureFixture
) -> None:
    def find_another() -> Receipt:
        Puppet.acts["find"] = returns(Receipt("found"))
        lost.look(replace(lost.bench, worker="w2"))
        assert lost.statuses == ("Posted", "completed")
        return Receipt("answered")

    overtaken(lost, "findable", find_another)

    assert lost.row["platform_post_id"] == "found"
    assert "a receipt (answered) came after its attempt had ended otherwise" in caplog.text
    assert [finding.check for finding in audit()] == ["out twice"]


@pytest.mark.parametrize(
    "then",
    [
        raises(ContentRejected("too rude")),
        raises(Transient("busy")),
        raises(RateLimited("slowly")),
        raises(httpx2.ReadTimeout("late")),
        raises(SystemExit(1)),
    ],
    ids=["content", "transient", "rate", "timeout", "exit"],
)
def test_whatever_else_comes_after_its_worker_was_taken_for_dead_changes_nothing(lost: Lost, then: Any) -> None:
    overtaken(lost, "findable", then)

    assert lost.statuses == UNKNOWN
    assert "may have been published" in lost.row["last_error"]
    assert lost.job["ended_at"] is None


def test_a_post_that_kills_its_workers_ends_failed_and_is_told(
    bench: Workbench, dead: Any, factories: Factories
) -> None:
    post = dead(intended=False)
    told: list[tuple[str, int]] = []
    once = replace(POLICY, max_attempts=1)

    assert take_over_expired(once, lambda event, about: told.append((event, about))) == 1

    assert factories.row("post_instance", post)["status"] == "Failed"
    assert [event for event, _ in told] == ["autoposter_post_failed"]


def test_a_post_that_a_trigger_of_its_owner_holds_fast_keeps_no_other_from_being_taken_over(
    bench: Workbench, dead: Any, factories: Factories, caplog: pytest.LogCaptureFixture
) -> None:
    held, other = dead(intended=True), dead(intended=True)
    factories.query(
        "create function theirs() returns trigger language plpgsql as"
        " $$ begin raise exception 'not without my word'; end $$;"
        f" create trigger theirs before update on post_instance for each row when (new.id = {held})"
        " execute function theirs()"
    )
    try:
        assert take_over_expired(POLICY) == 1
    finally:
        factories.query("drop function theirs cascade")

    assert f"post {held} cannot be taken over from the worker dead: not without my word" in caplog.text
    assert factories.query("select post_instance_id from publish_job where status = 'unknown'") == [(other,)]
    assert take_over_expired(POLICY) == 1


def test_every_worker_may_take_over_at_once(bench: Workbench, dead: Any, factories: Factories) -> None:
    for number in range(20):
        dead(intended=number % 2 == 0)
    won: list[int] = []
    threads = [threading.Thread(target=lambda: won.append(take_over_expired(POLICY))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)

    assert sum(won) == 20
    assert factories.query("select status, count(*) from publish_job group by status order by status") == [
        ("failed", 10),
        ("unknown", 10),
    ]
