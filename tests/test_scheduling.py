"""What people and applications do with posts, and the races they can lose."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta, timezone

import psycopg2
import psycopg2.extras
import pytest

import autoposter
from autoposter import scheduling
from autoposter.database import connect_once
from autoposter.database import database as pool
from autoposter.errors import AutoposterError, OutOfReach, Refused, WrongUsage
from autoposter.lifecycle import Status
from autoposter.store import posts
from autoposter.store.posts import Resolution
from autoposter.store.reports import Selection, listed, selected

TOMORROW = datetime.now(UTC).replace(microsecond=0) + timedelta(days=1)


@pytest.fixture(autouse=True)
def settings(database, database_url, monkeypatch):
    """The door finds the test's database in the environment, as an application would."""
    for name in [name for name in os.environ if name.startswith("AUTOPOSTER_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AUTOPOSTER_DATABASE_URL", database_url)


@pytest.fixture
def connect(database_url):
    """Opens the application's own connections."""
    opened = []

    def open_one(*, autocommit: bool = False, **how) -> psycopg2.extensions.connection:
        connection = psycopg2.connect(database_url, **how)
        connection.autocommit = autocommit
        opened.append(connection)
        return connection

    yield open_one
    for connection in opened:
        connection.close()


@pytest.fixture
def make_job(factories) -> Callable[..., int]:
    """One attempt of a post, begun a minute ago and still under way if nothing else is said."""

    def make(post_id: int, **columns) -> int:
        post = factories.row("post_instance", post_id)
        minute_ago = datetime.now(UTC) - timedelta(minutes=1)
        return factories.insert(
            "publish_job",
            {
                "post_instance_id": post_id,
                "channel_account_id": post["channel_account_id"],
                "attempt": 1,
                "scheduled_for": post["scheduled_for"],
                "content": {},
                "idempotency_key": "key",
                "started_at": minute_ago,
                "lease_until": datetime.now(UTC) + timedelta(seconds=10),
            }
            | columns,
        )

    return make


@pytest.fixture
def make_unconfirmed(make_post, make_job) -> Callable[[], tuple[int, int]]:
    """A post whose outcome nobody could find out, and its job."""

    def make() -> tuple[int, int]:
        post_id = make_post(status="Unconfirmed", last_error="The answer was lost.")
        intent_at = datetime.now(UTC) - timedelta(minutes=1)
        job_id = make_job(
            post_id, status="unknown", lease_until=None, intent_at=intent_at, error="The answer was lost."
        )
        return post_id, job_id

    return make


def counts(factories) -> tuple[int, int, int]:
    """How many content items, media and posts there are."""
    tables = ("content_item", "media_asset", "post_instance")
    return tuple(factories.query(f"select count(*) from {table}")[0][0] for table in tables)  # noqa: S608


# --- schedule --------------------------------------------------------------------------------------------------------


def test_an_application_schedules_a_post(factories, make_account):
    account_id = make_account(name="Shop")

    post_id = autoposter.schedule(
        "We are open.",
        account="Shop",
        at=TOMORROW,
        link="https://shop.example/open",
        media=["a.jpg", ("https://cdn.example/b.mp4?size=1", "A door opens")],
        options={"facebook": {"feed": True}},
        reference="order-5",
    )

    post = factories.row("post_instance", post_id)
    content = factories.row("content_item", post["content_item_id"])
    media = factories.query("select position, kind, source, alt_text from media_asset order by position")
    assert (post["channel_account_id"], post["status"], post["scheduled_for"]) == (account_id, "Scheduled", TOMORROW)
    assert post["reference"] == "order-5"
    assert (content["caption"], content["link"]) == ("We are open.", "https://shop.example/open")
    assert content["options"] == {"facebook": {"feed": True}}
    assert media == [
        (0, "image", "a.jpg", None),
        (1, "video", "https://cdn.example/b.mp4?size=1", "A door opens"),
    ]


def test_one_content_goes_to_several_accounts_in_their_order(factories, make_account):
    first, second = make_account(), make_account()
    content = scheduling.content_of("Both")

    scheduled = scheduling.schedule(content, [second, first, second], at=TOMORROW)

    accounts = [factories.row("post_instance", post_id)["channel_account_id"] for post_id in scheduled.post_ids]
    assert accounts == [second, first]
    assert counts(factories) == (1, 0, 2)


def test_a_repeated_reference_schedules_nothing_twice(factories, make_account):
    make_account(name="Shop")
    first = autoposter.schedule("One", account="Shop", at=TOMORROW, media=["a.jpg"], reference="order-5")

    second = autoposter.schedule(
        "Two", account="Shop", at=TOMORROW + timedelta(1), media=["b.jpg"], reference="order-5"
    )

    assert second == first
    assert counts(factories) == (1, 1, 1)
    assert factories.row("post_instance", first)["scheduled_for"] == TOMORROW


def test_many_at_once_with_one_reference_leave_one_post_and_one_content(factories, make_account):
    make_account(name="Shop")
    together = threading.Barrier(8)

    def one(number: int) -> int:
        together.wait()
        return autoposter.schedule(f"From {number}", account="Shop", at=TOMORROW, media=["a.jpg"], reference="order-5")

    with ThreadPoolExecutor(8) as threads:
        answers = set(threads.map(one, range(8)))

    assert len(answers) == 1
    assert counts(factories) == (1, 1, 1)


def test_the_second_of_two_waits_for_the_first_and_writes_if_that_fails(connect, factories, make_account, wait_until):
    make_account(name="Shop")
    theirs = connect()
    autoposter.schedule("First", account="Shop", at=TOMORROW, reference="order-5", connection=theirs)

    with ThreadPoolExecutor(1) as thread:
        late = thread.submit(autoposter.schedule, "Second", account="Shop", at=TOMORROW, reference="order-5")
        wait_until(lambda: blocked(factories))
        theirs.rollback()
        post_id = late.result(timeout=5)

    assert autoposter.status(post_id).caption == "Second"
    assert counts(factories) == (1, 0, 1)


def blocked(factories) -> bool:
    return bool(factories.query("select 1 from pg_stat_activity where wait_event_type = 'Lock'"))


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"at": TOMORROW.replace(tzinfo=None)}, "has no time zone"),
        ({"at": "2030-01-01"}, "is a datetime with a time zone, not str"),
        ({"at": datetime(1999, 1, 1, tzinfo=UTC)}, "1999"),
        ({"at": datetime.max.replace(tzinfo=UTC)}, "9999"),
        ({"at": datetime.max.replace(tzinfo=timezone(timedelta(hours=-5)))}, "9999"),
        ({"account": "Shopp"}, "did you mean 'Shop'"),
        ({"account": 12345678901234567890}, "no account 12345678901234567890"),
        ({"account": None}, "by its id, its name"),
        ({"account": "Twin"}, "stub:Twin or twin:Twin"),
        ({"caption": None}, "The caption is a text"),
        ({"caption": "a\0b"}, "NUL"),
        ({"caption": "\udcff"}, "UTF-8"),
        ({"caption": " "}, "nothing to publish"),
        ({"link": "shop.example"}, "https://example.org/page"),
        ({"media": "a.jpg"}, "list of paths"),
        ({"media": [1]}, "path or https address"),
        ({"media": ["a.txt"]}, "picture or a video"),
        ({"media": ["https://cdn.example/1"]}, "picture or a video"),
        ({"media": ["http://cdn.example/1.jpg"]}, "by https, not by http"),
        ({"media": ["ftp://cdn.example/1.jpg"]}, "https addresses"),
        ({"media": ["../a.jpg"]}, "lies outside AUTOPOSTER_MEDIA_ROOT"),
        ({"media": ["/etc/a.jpg"]}, "lies outside AUTOPOSTER_MEDIA_ROOT"),
        ({"options": {"stub": 1}}, "object for each platform"),
        ({"options": {"stub": {"x": float("nan")}}}, "JSON"),
        ({"options": {"stub": {"x": object()}}}, "JSON"),
        ({"options": {"stub": {"x": "\0"}}}, "NUL"),
        ({"reference": " "}, "reference is empty"),
        ({"connection": object()}, "psycopg2"),
    ],
)
def test_nonsense_is_refused_in_one_sentence_and_nothing_is_written(wrong, says, factories, make_account):
    make_account(name="Shop")
    make_account(name="Twin")
    make_account(name="Twin", platform="twin")
    right = {"caption": "Hello", "account": "Shop", "at": TOMORROW}

    with pytest.raises(AutoposterError, match=says) as refusal:
        autoposter.schedule(**right | wrong)

    assert "\n" not in str(refusal.value)
    assert counts(factories) == (0, 0, 0)


def test_a_file_must_lie_below_the_media_root_where_that_is_known(tmp_path, monkeypatch, make_account):
    make_account(name="Shop")
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "a.jpg").touch()
    (tmp_path / "secret.jpg").touch()
    (tmp_path / "root" / "leads_out.jpg").symlink_to(tmp_path / "secret.jpg")
    root = tmp_path / "root"

    def sources(source: str) -> list[str | None]:
        return [asset["source"] for asset in scheduling.content_of("", media=[source], media_root=root).media]

    assert sources("a.jpg") == ["a.jpg"]
    assert sources(str(root / "a.jpg")) == ["a.jpg"]
    for outside in ("../secret.jpg", str(tmp_path / "secret.jpg")):
        with pytest.raises(WrongUsage, match="outside AUTOPOSTER_MEDIA_ROOT"):
            sources(outside)
    monkeypatch.setenv("AUTOPOSTER_MEDIA_ROOT", str(root))
    for name, why in {"leads_out.jpg": "links are not followed", "b.jpg": r"no file b\.jpg"}.items():
        with pytest.raises(Refused, match=why):
            autoposter.schedule("Hello", account="Shop", at=TOMORROW, media=[name])


# --- the caller's connection, and ours -------------------------------------------------------------------------------


@pytest.mark.parametrize("how", [{}, {"cursor_factory": psycopg2.extras.RealDictCursor}], ids=["tuples", "dicts"])
@pytest.mark.parametrize(("autocommit", "begin"), [(False, False), (False, True), (True, True)])
def test_a_post_is_scheduled_when_the_caller_commits(autocommit, begin, how, connect, factories, make_account):
    make_account(name="Shop")
    theirs = connect(autocommit=autocommit, **how)
    if begin:
        theirs.cursor().execute("begin" if autocommit else "select 1")

    post_id = autoposter.schedule("Hello", account="Shop", at=TOMORROW, reference="a", connection=theirs)
    assert autoposter.schedule("Hello", account="Shop", at=TOMORROW, reference="a", connection=theirs) == post_id
    assert autoposter.reschedule("a", at=TOMORROW + timedelta(1), connection=theirs)
    assert autoposter.status(post_id, connection=theirs).scheduled_for == TOMORROW + timedelta(1)
    assert autoposter.cancel(post_id, connection=theirs)

    assert counts(factories) == (0, 0, 0)
    theirs.cursor().execute("commit")
    assert factories.row("post_instance", post_id)["status"] == "Cancelled"
    assert not theirs.closed


def test_nothing_is_scheduled_when_the_caller_rolls_back(connect, factories, make_account):
    make_account(name="Shop")
    theirs = connect()

    autoposter.schedule("Hello", account="Shop", at=TOMORROW, connection=theirs)
    theirs.rollback()

    assert counts(factories) == (0, 0, 0)


def test_a_refusal_leaves_the_callers_transaction_as_it_was(connect, factories, make_account):
    make_account(name="Shop")
    theirs = connect()
    theirs.cursor().execute("insert into content_item (caption) values ('theirs')")

    with pytest.raises(Refused):
        autoposter.schedule("Hello", account="Nobody", at=TOMORROW, connection=theirs)
    with pytest.raises(Exception, match="violates foreign key"), pool.borrow(theirs):
        posts.insert(scheduling.content_of("Hello"), [4711], at=TOMORROW, reference=None)
    theirs.commit()

    assert counts(factories) == (1, 0, 0)


def test_a_connection_in_autocommit_mode_keeps_nothing_half_written(connect, factories, make_account):
    make_account(name="Shop")
    theirs = connect(autocommit=True)

    autoposter.schedule("Hello", account="Shop", at=TOMORROW, media=["a.jpg"], connection=theirs)

    assert counts(factories) == (1, 1, 1)
    assert theirs.info.transaction_status == psycopg2.extensions.TRANSACTION_STATUS_IDLE


def test_our_own_connections_are_not_touched_by_a_borrowed_one(connect, make_account):
    make_account(name="Shop")

    autoposter.schedule("Hello", account="Shop", at=TOMORROW, connection=connect())

    assert pool.is_closed()
    assert autoposter.schedule("Hello", account="Shop", at=TOMORROW) > 0


def test_a_closed_connection_is_refused(connect):
    theirs = connect()
    theirs.close()

    with pytest.raises(WrongUsage, match="closed"):
        autoposter.status(1, connection=theirs)


def test_without_a_database_the_setting_is_named(monkeypatch):
    monkeypatch.delenv("AUTOPOSTER_DATABASE_URL")

    with pytest.raises(WrongUsage, match="AUTOPOSTER_DATABASE_URL"):
        autoposter.status(1)


def test_a_database_that_is_away_is_one_sentence_without_its_password(monkeypatch, database_url):
    monkeypatch.setenv("AUTOPOSTER_DATABASE_URL", "postgresql://ana:s3cret@127.0.0.1:1/shop")
    try:
        with pytest.raises(OutOfReach) as refusal:
            autoposter.status(1)
    finally:
        connect_once(database_url)

    assert "s3cret" not in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_a_forked_child_opens_connections_of_its_own(make_account):
    make_account(name="Shop")
    autoposter.schedule("Parent", account="Shop", at=TOMORROW, reference="parent")

    child = os.fork()
    if child == 0:
        try:
            autoposter.schedule("Child", account="Shop", at=TOMORROW, reference="child")
            os._exit(0)
        finally:
            os._exit(1)
    _, code = os.waitpid(child, 0)

    assert code == 0
    assert autoposter.status("parent").caption == "Parent"
    assert autoposter.status("child").caption == "Child"


# --- cancel ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [Status.DRAFT, Status.SCHEDULED])
def test_a_post_is_cancelled_before_its_intent(status, make_post, factories):
    post_id = make_post(status=status)

    assert autoposter.cancel(post_id)
    assert factories.row("post_instance", post_id)["status"] == "Cancelled"


def test_a_cancel_that_comes_too_late_switches_the_post_off(make_post, factories):
    post_id = make_post(status="Publishing")

    [verdict] = scheduling.cancel([post_id])

    post = factories.row("post_instance", post_id)
    assert (verdict.moved, verdict.status) == (False, Status.PUBLISHING)
    assert (post["status"], post["autopost_enabled"]) == ("Publishing", False)


def test_a_cancel_that_waited_for_an_intent_comes_too_late(connect, make_post, factories, wait_until):
    post_id = make_post()
    worker = connect()
    worker.cursor().execute("update post_instance set status = 'Publishing' where id = %s", (post_id,))

    with ThreadPoolExecutor(1) as thread:
        late = thread.submit(scheduling.cancel, [post_id])
        wait_until(lambda: blocked(factories))
        worker.commit()
        [verdict] = late.result(timeout=5)

    post = factories.row("post_instance", post_id)
    assert not verdict.moved
    assert (post["status"], post["autopost_enabled"]) == ("Publishing", False)


# --- every move from every status ------------------------------------------------------------------------------------

MOVES = {
    "cancel": (scheduling.cancel, {Status.DRAFT: Status.CANCELLED, Status.SCHEDULED: Status.CANCELLED}),
    "reschedule": (
        lambda ids: scheduling.reschedule(ids, TOMORROW),
        {Status.DRAFT: Status.DRAFT, Status.SCHEDULED: Status.SCHEDULED},
    ),
    "retry": (
        scheduling.retry,
        dict.fromkeys([Status.FAILED, Status.MISSED, Status.CANCELLED], Status.SCHEDULED),
    ),
    "resolve": (lambda ids: scheduling.resolve(ids, Resolution.POSTED, by="ana"), {}),
}


@pytest.mark.parametrize("status", Status)
@pytest.mark.parametrize("move", MOVES)
def test_a_move_wins_only_from_the_statuses_it_is_made_for(move, status, make_post, factories):
    act, allowed = MOVES[move]
    post_id = make_post(status=status)

    [verdict] = act([post_id])

    now = Status(factories.row("post_instance", post_id)["status"])
    assert verdict.moved == (status in allowed)
    assert now == allowed.get(status, status) == verdict.status


@pytest.mark.parametrize("move", MOVES)
def test_a_post_that_does_not_exist_is_said_so(move):
    act, _ = MOVES[move]

    assert [verdict.status for verdict in act([4711, 2**70])] == [None, None]


def test_many_posts_are_moved_in_the_order_they_were_named(make_post, monkeypatch):
    monkeypatch.setattr(scheduling, "CHUNK", 2)
    ids = [make_post() for _ in range(3)] + [make_post(status="Posted"), make_post()]

    verdicts = scheduling.cancel([*reversed(ids), ids[0]])

    assert [verdict.post_id for verdict in verdicts] == ids[::-1]
    assert [verdict.moved for verdict in verdicts] == [True, False, True, True, True]


# --- reschedule, retry -----------------------------------------------------------------------------------------------

ENDED = {
    "retry_at": TOMORROW,
    "dispatched_for": TOMORROW,
    "dispatched_at": TOMORROW,
    "last_error": "The platform was away.",
}


def test_a_rescheduled_post_begins_anew_at_its_new_time(make_post, factories):
    post_id = make_post(**ENDED)

    assert autoposter.reschedule(post_id, at=TOMORROW + timedelta(hours=1))

    post = factories.row("post_instance", post_id)
    assert post["due_at"] == post["scheduled_for"] == TOMORROW + timedelta(hours=1)
    assert [post[column] for column in ENDED] == [None] * len(ENDED)


def test_a_retried_post_is_due_now_with_a_new_budget(make_post, factories):
    post_id = make_post(status="Failed", due_in=timedelta(days=-3), autopost_enabled=False, **ENDED)

    [verdict] = scheduling.retry([post_id])

    post = factories.row("post_instance", post_id)
    assert verdict.moved
    assert abs(post["due_at"] - datetime.now(UTC)) < timedelta(seconds=5)
    assert (post["status"], post["autopost_enabled"]) == ("Scheduled", True)
    assert [post[column] for column in ENDED] == [None] * len(ENDED)


def test_only_one_of_two_retries_wins(connect, make_post, factories, wait_until):
    post_id = make_post(status="Failed")
    other = connect()
    with pool.borrow(other):
        [first] = scheduling.retry([post_id])

    with ThreadPoolExecutor(1) as thread:
        late = thread.submit(scheduling.retry, [post_id], TOMORROW)
        wait_until(lambda: blocked(factories))
        other.commit()
        [second] = late.result(timeout=5)

    assert (first.moved, second.moved) == (True, False)
    assert factories.row("post_instance", post_id)["scheduled_for"] < TOMORROW


# --- resolve ---------------------------------------------------------------------------------------------------------


def test_a_person_says_that_it_is_there(make_unconfirmed, factories):
    post_id, job_id = make_unconfirmed()

    [verdict] = scheduling.resolve([post_id], Resolution.POSTED, by="ana", platform_post_id="77")

    post, job = factories.row("post_instance", post_id), factories.row("publish_job", job_id)
    assert verdict.moved
    assert (post["status"], post["platform_post_id"], post["last_error"]) == ("Posted", "77", None)
    assert post["posted_at"] == job["intent_at"]
    assert (job["status"], job["platform_post_id"]) == ("completed", "77")
    assert job["evidence"]["resolved_by"] == "ana"


def test_a_person_says_that_it_is_not_there(make_unconfirmed, factories):
    post_id, job_id = make_unconfirmed()

    scheduling.resolve([post_id], Resolution.NOT_POSTED, by="ana")

    post, job = factories.row("post_instance", post_id), factories.row("publish_job", job_id)
    assert (post["status"], post["last_error"]) == ("Failed", "The answer was lost.")
    assert (job["status"], job["error_kind"], job["evidence"]["resolved_by"]) == ("failed", "unknown", "ana")


def test_a_person_lets_it_be_sent_again(make_unconfirmed, factories):
    post_id, job_id = make_unconfirmed()

    scheduling.resolve([post_id], Resolution.RETRY, by="ana")

    post = factories.row("post_instance", post_id)
    assert post["status"] == "Scheduled"
    assert abs(post["due_at"] - datetime.now(UTC)) < timedelta(seconds=5)
    assert factories.row("publish_job", job_id)["status"] == "failed"


def test_a_late_receipt_comes_before_a_person(connect, make_unconfirmed, factories, wait_until):
    post_id, job_id = make_unconfirmed()
    worker = connect()
    worker.cursor().execute(
        "update publish_job set status = 'completed', platform_post_id = '1', finished_at = now() where id = %s",
        (job_id,),
    )

    with ThreadPoolExecutor(1) as thread:
        late = thread.submit(scheduling.resolve, [post_id], Resolution.RETRY, by="ana")
        wait_until(lambda: blocked(factories))
        worker.cursor().execute("update post_instance set status = 'Posted' where id = %s", (post_id,))
        worker.commit()
        [verdict] = late.result(timeout=5)

    assert (verdict.moved, verdict.status) == (False, Status.POSTED)
    assert factories.row("publish_job", job_id)["status"] == "completed"


def test_an_unknown_outcome_that_is_still_looked_for_is_nobodys_to_resolve(make_post, make_job, factories):
    post_id = make_post(status="Publishing")
    job_id = make_job(post_id, status="unknown", intent_at=datetime.now(UTC), look_at=datetime.now(UTC))

    [verdict] = scheduling.resolve([post_id], Resolution.RETRY, by="ana")

    job = factories.row("publish_job", job_id)
    assert not verdict.moved
    assert (job["status"], job["evidence"]) == ("unknown", None)


def test_a_platform_id_belongs_to_one_post_that_is_there(make_unconfirmed):
    (first, _), (second, _) = make_unconfirmed(), make_unconfirmed()

    for ids, resolution in (([first, second], Resolution.POSTED), ([first], Resolution.RETRY)):
        with pytest.raises(WrongUsage, match="one post"):
            scheduling.resolve(ids, resolution, by="ana", platform_post_id="77")


# --- ask -------------------------------------------------------------------------------------------------------------


def test_a_selection_takes_what_all_of_it_is_true_of(make_account, make_post, make_job):
    account_id = make_account()
    wanted = make_post(
        channel_account_id=account_id,
        status="Failed",
        last_error="Facebook: token 100% expired",
        scheduled_for=TOMORROW,
    )
    make_job(wanted, status="failed", error_kind="account", finished_at=TOMORROW)
    make_post(status="Failed", last_error="Facebook: token 100% expired", scheduled_for=TOMORROW)
    make_post(channel_account_id=account_id, status="Failed", last_error="something else", scheduled_for=TOMORROW)
    make_post(channel_account_id=account_id, status="Missed", last_error="token 100% expired", scheduled_for=TOMORROW)

    by_text = Selection(account_id=account_id, because="TOKEN 100% E", since=TOMORROW, statuses=[Status.FAILED])
    by_kind = Selection(because="account")

    assert selected(by_text) == selected(by_kind) == [wanted]
    assert selected(Selection(because="account", since=TOMORROW + timedelta(1))) == []


def test_problems_are_what_needs_a_person_or_is_late(make_post):
    late = make_post(due_in=timedelta(minutes=-2))
    failed = make_post(status="Failed")
    retrying = make_post(last_error="The platform was away.", due_in=timedelta(hours=1))
    make_post()
    make_post(status="Posted")
    make_post(due_in=timedelta(minutes=-2), autopost_enabled=False)
    make_post(due_in=timedelta(minutes=-2), content_item_id=None)

    problems = listed(Selection(problems=True), limit=10)

    assert {post.id for post in problems} == {late, failed, retrying}


def test_a_story_tells_every_attempt(make_post, make_media, make_job, factories):
    post_id = make_post(status="Posted")
    make_media(factories.row("post_instance", post_id)["content_item_id"], source="a.jpg")
    now = datetime.now(UTC)
    make_job(post_id, status="failed", error="No answer.", error_kind="transient", finished_at=now)
    make_job(post_id, attempt=2, status="completed", platform_post_id="77", finished_at=now, intent_at=now)

    story = scheduling.story(post_id)

    assert [(job.attempt, job.error, job.platform_post_id) for job in story.jobs] == [
        (1, "No answer.", None),
        (2, None, "77"),
    ]
    assert [asset.source for asset in story.media] == ["a.jpg"]
    assert story.post.attempts == 2


@pytest.mark.parametrize(
    "source",
    ["https://ann:s3cret@cdn.example/door", "https://cdn.example/door?sig=s3cret", "ftp://a:s3cret@b/door.png"],
)
def test_an_address_that_is_refused_is_shown_without_what_it_may_hold(source, make_account):
    with pytest.raises(WrongUsage) as refused:
        scheduling.schedule(scheduling.content_of("", media=[source]), [make_account()], at=TOMORROW)

    assert "s3cret" not in str(refused.value)
