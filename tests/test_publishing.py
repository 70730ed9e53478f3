"""One attempt, on the real database: what follows from everything that a publisher, an owner or an outage can do."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace
from typing import Any, ClassVar

import httpx2
import peewee
import puppets
import pytest
from cryptography.fernet import Fernet
from factories import Factories
from moves import forge_job
from processes import wait_until
from puppets import Puppet, raises, returns
from pydantic import BaseModel, SecretStr, model_validator
from staging import Stage

from autoposter.clock import Clock
from autoposter.credentials import Keyring
from autoposter.publishers import (
    AccountCheck,
    AccountRejected,
    ContentRejected,
    NotReady,
    OutcomeUnknown,
    Publisher,
    PublishError,
    RateLimited,
    Receipt,
    Transient,
)
from autoposter.publishing import GRACE, publish_post
from autoposter.store import intents
from autoposter.workbench import Workbench

SECOND = timedelta(seconds=1)
HOUR = timedelta(hours=1)


@pytest.fixture
def bench(database: Any) -> Workbench:
    return puppets.bench()


@pytest.fixture
def make(factories: Factories) -> Callable[..., int]:
    """`make(platform="puppet", **columns)`: a post that is due."""

    def post(platform: str = "puppet", **columns: Any) -> int:
        if "channel_account_id" not in columns:
            columns["channel_account_id"] = factories.account(platform=platform)
        return factories.post(-SECOND, **columns)

    return post


@pytest.fixture
def job_of(factories: Factories) -> Callable[[int], dict[str, Any]]:
    """The last job of a post."""

    def last(post: int) -> dict[str, Any]:
        found = factories.query("select max(id) from publish_job where post_instance_id = %s", (post,))
        return factories.row("publish_job", found[0][0])

    return last


@pytest.fixture
def account_of(factories: Factories, post_row: Any) -> Callable[[int], dict[str, Any]]:
    return lambda post: factories.row("channel_account", post_row(post)["channel_account_id"])


@pytest.fixture
def stage(database_url: str) -> Iterator[Stage]:
    made = Stage(database_url)
    yield made
    made.close()


def act(**acts: Callable[..., Any]) -> None:
    """What the puppets do from now on, by method."""
    Puppet.acts.update({{"init": "__init__"}.get(name, name): what for name, what in acts.items()})


def calls() -> int:
    return Puppet.asked.count("publish")


def test_a_publisher_without_prepare_that_hangs_in_validate_counts_as_lost_soon(
    bench: Workbench, make: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [time.monotonic()]
    monkeypatch.setattr("autoposter.leases.time", SimpleNamespace(monotonic=lambda: clock[0]))
    lost: list[tuple[int, int]] = []

    def hang(*_: Any) -> tuple[()]:
        at_once = bench.leases.lost()
        clock[0] += (2 * Puppet.publish_timeout + GRACE).total_seconds() + 1
        lost.append((at_once, bench.leases.lost()))
        return ()

    act(validate=hang)
    publish_post(make("puppet"), bench)
    monkeypatch.setattr(Puppet, "prepare", Publisher.prepare)
    publish_post(make("puppet"), bench)

    assert lost == [(0, 0), (0, 1)]  # one that prepares may take its `prepare_timeout`


# --- what the publisher says of the call -----------------------------------------------------------------------------


def test_a_published_post_is_posted_with_its_receipt(
    bench: Workbench, make: Any, post_row: Any, job_of: Any, factories: Factories
) -> None:
    post = make()

    publish_post(post, bench)

    found, job = post_row(post), job_of(post)
    assert (found["status"], found["platform_post_id"]) == ("Posted", f"p{post}")
    assert job["intent_at"] <= found["posted_at"] == job["ended_at"] <= datetime.now(UTC)
    assert job["prepared"] == {"made": Puppet.board[0].caption}
    assert Puppet.asked == ["__init__", "validate", "prepare", "publish"]
    assert bench.leases.held() == 0


class OddTransient(Transient):
    """A subclass whose author forgot the contract's constructor."""

    def __init__(self) -> None:
        Exception.__init__(self, "busy")


class Unshowable(Exception):
    def __str__(self) -> str:
        raise ValueError("no words")


def status_error(status: int) -> httpx2.HTTPStatusError:
    request = httpx2.Request("POST", "https://example.org")
    return httpx2.HTTPStatusError(f"{status}", request=request, response=httpx2.Response(status, request=request))


REFUSED = {
    "transient": (Transient("busy"), "Scheduled", "transient"),
    "rate limited": (RateLimited("slowly"), "Scheduled", "rate_limited"),
    "account rejected": (AccountRejected("token gone"), "Failed", "account"),
    "content rejected": (ContentRejected("too rude"), "Failed", "content"),
    "a subclass without a message": (OddTransient(), "Scheduled", "transient"),
    "a time that is no time": (Transient("busy", retry_after=5), "Scheduled", "transient"),  # type: ignore[arg-type]
    "a very long time": (Transient("busy", retry_after=timedelta.max), "Scheduled", "transient"),
    "a time in the past": (RateLimited("slowly", retry_after=-HOUR), "Scheduled", "rate_limited"),
    "a message that is no text": (Transient({"busy": 1}), "Scheduled", "transient"),  # type: ignore[arg-type]
}


@pytest.mark.parametrize(("error", "status", "kind"), REFUSED.values(), ids=REFUSED.keys())
def test_a_declared_refusal_is_believed(
    bench: Workbench, make: Any, post_row: Any, job_of: Any, error: PublishError, status: str, kind: str
) -> None:
    post = make()
    act(publish=raises(error))

    publish_post(post, bench)

    found, job = post_row(post), job_of(post)
    assert (found["status"], job["status"], job["error_kind"]) == (status, "failed", kind)
    assert found["last_error"] == job["error"] != ""
    if status == "Scheduled":
        assert SECOND <= found["retry_at"] - job["finished_at"] <= HOUR + 30 * SECOND
    else:
        assert found["retry_at"] is None


UNKNOWN = {
    "declared": raises(OutcomeUnknown("who knows")),
    "not ready in the call": raises(NotReady({}, SECOND)),
    "a bare PublishError": raises(PublishError("what")),
    "timeout": raises(TimeoutError("late")),
    "read timeout": raises(httpx2.ReadTimeout("late")),
    "reset": raises(ConnectionResetError()),
    "HTTP 400": raises(status_error(400)),
    "HTTP 500": raises(status_error(500)),
    "unreadable answer": raises(json.JSONDecodeError("Expecting value", "<html>", 0)),
    "a bug": raises(KeyError("id")),
    "recursion": raises(RecursionError()),
    "memory": raises(MemoryError()),
    "exit": raises(SystemExit(1)),
    "interrupt": raises(KeyboardInterrupt()),
    "generator exit": raises(GeneratorExit()),
    "a base exception of its own": raises(type("Killed", (BaseException,), {})()),
    "no words": raises(Unshowable()),
    "database trouble of its own": raises(peewee.OperationalError("their database")),
    "None": returns(None),
    "a dict": returns({"id": 1}),
    "an id": returns("12345"),
    "the class": returns(Receipt),
    "an empty id": returns(Receipt("")),
    "a blank id": returns(Receipt(" \x00 ")),
    "an id that is no text": returns(Receipt(5)),  # type: ignore[arg-type]
    "no id": returns(Receipt(None)),  # type: ignore[arg-type]
}


@pytest.mark.parametrize("what", UNKNOWN.values(), ids=UNKNOWN.keys())
def test_anything_else_from_the_call_may_have_been_published(
    bench: Workbench, make: Any, post_row: Any, job_of: Any, what: Any
) -> None:
    post = make()
    act(publish=what)

    publish_post(post, bench)

    found, job = post_row(post), job_of(post)
    assert (found["status"], job["status"], job["error_kind"]) == ("Publishing", "unknown", "unknown")
    assert found["last_error"] == job["error"]
    assert job["ended_at"] is not None and job["look_at"] is not None
    assert calls() == 1


@pytest.mark.parametrize(
    ("permalink", "kept"),
    [(None, None), ("", None), (5, None), ("https://e.org/\x00a\ud800", "https://e.org/a?")],
)
def test_a_permalink_that_makes_no_sense_harms_no_receipt(
    bench: Workbench, make: Any, post_row: Any, permalink: Any, kept: Any
) -> None:
    post = make()
    act(publish=returns(Receipt("1\ud800\x00", permalink)))

    publish_post(post, bench)

    found = post_row(post)
    assert (found["status"], found["platform_post_id"], found["permalink"]) == ("Posted", "1?", kept)


# --- the wire outranks the exception ---------------------------------------------------------------------------------


class Platform(BaseHTTPRequestHandler):
    """Answers a POST with the status that its path names, `/0` with nothing; and any GET."""

    protocol_version = "HTTP/1.1"
    posts: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        self._answer(200)

    def do_POST(self) -> None:
        self.posts.append(self.path)
        status = int(self.path.strip("/"))
        if status:
            self._answer(status)
        else:
            self.close_connection = True

    def _answer(self, status: int) -> None:
        self.send_response(status)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def platform() -> Iterator[str]:
    """Its address."""
    Platform.posts.clear()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Platform)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


NOBODY = "http://127.0.0.1:1/"

WIRE = {
    "nothing left, said to be refused for good": ([("POST", NOBODY)], ContentRejected("no"), "Scheduled", "transient"),
    "nothing left, said to be unknown": ([("POST", NOBODY)], OutcomeUnknown("?"), "Scheduled", "transient"),
    "nothing left, and a bug": ([("POST", NOBODY)], KeyError("id"), "Scheduled", "transient"),
    "unanswered, said to be refused for good": ([("POST", "/0")], ContentRejected("no"), "Publishing", "unknown"),
    "unanswered, said to be refused for now": ([("POST", "/0")], Transient("busy"), "Publishing", "unknown"),
    "unanswered, and a bug": ([("POST", "/0")], KeyError("id"), "Publishing", "unknown"),
    "taken, and said to be refused": ([("POST", "/200")], ContentRejected("ok: false"), "Failed", "content"),
    "taken, and a bug": ([("POST", "/200")], KeyError("id"), "Publishing", "unknown"),
    "taken, and refused after a look-up": (
        [("POST", "/200"), ("GET", "/1")],
        ContentRejected("no permalink"),
        "Publishing",
        "unknown",
    ),
    "taken, and busy after a look-up": ([("POST", "/200"), ("GET", "/1")], Transient("busy"), "Publishing", "unknown"),
    "taken, and sent once more": ([("POST", "/200"), ("POST", "/200")], KeyError("id"), "Publishing", "unknown"),
    "refused, and said so": ([("POST", "/400")], ContentRejected("code 17"), "Failed", "content"),
    "refused for now, and said so": ([("POST", "/503")], Transient("busy"), "Scheduled", "transient"),
    "refused, and nothing said": ([("POST", "/400")], KeyError("code"), "Publishing", "unknown"),
    "only asked, and refused": ([("GET", "/1")], ContentRejected("no"), "Failed", "content"),
    "only asked, and a bug": ([("GET", "/1")], KeyError("id"), "Publishing", "unknown"),
}


@pytest.mark.parametrize(("requests", "error", "status", "kind"), WIRE.values(), ids=WIRE.keys())
def test_what_the_wire_saw_outranks_what_the_publisher_says(
    bench: Workbench,
    make: Any,
    post_row: Any,
    job_of: Any,
    platform: str,
    requests: Any,
    error: Any,
    status: str,
    kind: str,
) -> None:
    post = make()

    def publish(self: Puppet, _: Any) -> Receipt:
        try:
            for method, path in requests:
                self.http.request(method, path if "://" in path else platform + path)
        except Exception as failed:
            raise error from failed
        raise error

    act(publish=publish)

    publish_post(post, bench)

    assert (post_row(post)["status"], job_of(post)["error_kind"]) == (status, kind)
    assert len(Platform.posts) <= 1
    assert job_of(post)["evidence"]


def test_a_receipt_is_believed_whatever_the_wire_saw(
    bench: Workbench, make: Any, post_row: Any, job_of: Any, platform: str
) -> None:
    post = make()

    def publish(self: Puppet, _: Any) -> Receipt:
        self.http.post(platform + "/500")
        self.http.get(platform + "/1")
        return Receipt("7")

    act(publish=publish)

    publish_post(post, bench)

    assert (post_row(post)["status"], post_row(post)["platform_post_id"]) == ("Posted", "7")


@pytest.mark.parametrize("odd", ["\x00", "\ud800"], ids=["NUL", "half a character"])
@pytest.mark.parametrize("where", ["method", "path", "host", "header"])
def test_what_a_publisher_asks_for_is_kept_in_words_that_postgresql_takes(
    bench: Workbench, make: Any, post_row: Any, job_of: Any, platform: str, where: str, odd: str, stage: Stage
) -> None:
    """A settlement is repeated until it is written: one that never can be would hold its thread for ever."""
    post = make()
    asked = {"method": "POST", "url": f"{platform}/200", "headers": {"a": "b"}} | {
        "method": {"method": f"PO{odd}ST"},
        "path": {"url": f"{platform}/200{odd}"},
        "host": {"url": f"http://a{odd}b/200"},
        "header": {"headers": {"a": f"b{odd}"}},
    }[where]

    def publish(self: Puppet, _: Any) -> Receipt:
        self.http.request(**asked)
        return Receipt("7")

    act(publish=publish)

    attempt = stage.begin(publish_post, post, bench)
    wait_until(attempt.done, 5)

    assert job_of(post)["status"] in ("completed", "failed", "unknown")


# --- before the call nothing can have been published -----------------------------------------------------------------

BEFORE = {
    "transient": (raises(Transient("busy")), "Scheduled", "transient"),
    "rate limited": (raises(RateLimited("slowly")), "Scheduled", "rate_limited"),
    "account rejected": (raises(AccountRejected("token gone")), "Failed", "account"),
    "content rejected": (raises(ContentRejected("too rude")), "Failed", "content"),
    "outcome unknown": (raises(OutcomeUnknown("who knows")), "Scheduled", "transient"),
    "a subclass without a message": (raises(OddTransient()), "Scheduled", "transient"),
    "connect timeout": (raises(httpx2.ConnectTimeout("late")), "Scheduled", "transient"),
    "HTTP 503": (raises(status_error(503)), "Scheduled", "transient"),
    "HTTP 404": (raises(status_error(404)), "Failed", "bug"),
    "a bug": (raises(KeyError("id")), "Failed", "bug"),
    "exit": (raises(SystemExit(1)), "Failed", "bug"),
    "interrupt": (raises(KeyboardInterrupt()), "Failed", "bug"),
    "no words": (raises(Unshowable()), "Failed", "bug"),
}


@pytest.mark.parametrize("method", ["init", "validate", "prepare"])
@pytest.mark.parametrize(("what", "status", "kind"), BEFORE.values(), ids=BEFORE.keys())
def test_what_fails_before_the_call_publishes_nothing(
    bench: Workbench, make: Any, post_row: Any, job_of: Any, method: str, what: Any, status: str, kind: str
) -> None:
    post = make()
    act(**{method: what})

    publish_post(post, bench)

    job = job_of(post)
    assert (post_row(post)["status"], job["status"], job["error_kind"]) == (status, "failed", kind)
    assert job["intent_at"] is None and job["ended_at"] is None
    assert post_row(post)["last_error"]
    assert calls() == 0


def failing_generator(*_: Any) -> Iterator[str]:
    yield "One reason."
    raise KeyError("the second")


GARBAGE = {
    "validate returns None": ("validate", returns(None)),
    "validate returns a number": ("validate", returns(7)),
    "validate fails while it lists": ("validate", failing_generator),
    "prepare returns None": ("prepare", returns(None)),
    "prepare returns a list": ("prepare", returns([])),
    "prepare returns no JSON": ("prepare", returns({"a": object()})),
    "prepare returns NaN": ("prepare", returns({"a": float("nan")})),
    "prepare returns NUL": ("prepare", returns({"a": "\x00"})),
    "prepare returns half a character": ("prepare", returns({"a": "\ud800"})),
    "prepare returns too much": ("prepare", returns({"a": "x" * 200_000})),
    "prepare returns a deep hole": ("prepare", lambda *_: nested(5000)),
    "not ready with garbage": ("prepare", raises(NotReady([], SECOND))),  # type: ignore[arg-type]
    "not ready without a time": ("prepare", raises(NotReady({}, None))),  # type: ignore[arg-type]
}


def nested(depth: int) -> dict[str, Any]:
    inner: dict[str, Any] = {}
    for _ in range(depth):
        inner = {"a": inner}
    return inner


@pytest.mark.parametrize(("method", "what"), GARBAGE.values(), ids=GARBAGE.keys())
def test_garbage_before_the_call_is_a_bug_that_ends_its_own_post(
    bench: Workbench, make: Any, post_row: Any, job_of: Any, method: str, what: Any, caplog: pytest.LogCaptureFixture
) -> None:
    post = make()
    act(**{method: what})

    publish_post(post, bench)

    assert (post_row(post)["status"], job_of(post)["error_kind"]) == ("Failed", "bug")
    assert "Traceback" in caplog.text
    assert calls() == 0


def test_what_validate_says_is_told_in_its_words(bench: Workbench, make: Any, post_row: Any, job_of: Any) -> None:
    post = make()
    act(validate=returns(f"Reason {number}." for number in range(10**9)))

    publish_post(post, bench)

    assert post_row(post)["last_error"] == " ".join(f"Reason {number}." for number in range(10))
    assert (post_row(post)["status"], job_of(post)["error_kind"]) == ("Failed", "content")


@pytest.mark.parametrize(
    ("asked", "believed"),
    [(2 * SECOND, 2 * SECOND), (-HOUR, SECOND), (timedelta(days=30), 3 * SECOND), (timedelta.max, 3 * SECOND)],
)
def test_what_is_not_ready_is_asked_again_and_uses_up_no_attempt(
    bench: Workbench, make: Any, post_row: Any, job_of: Any, asked: timedelta, believed: timedelta
) -> None:
    post = make()
    act(prepare=raises(NotReady({"upload": 7}, asked)))

    publish_post(post, bench)

    found, job = post_row(post), job_of(post)
    assert (found["status"], job["status"], found["prepared"]) == ("Scheduled", "cancelled", {"upload": 7})
    assert believed - SECOND < found["prepare_at"] - job["finished_at"] <= believed + SECOND
    assert job["intent_at"] is None and job["ended_at"] is None


# --- rows that make no sense -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rows", "kind", "named"),
    [
        ({"options": {"puppet": {"color": "red"}}}, "content", "color"),
        ({"options": {"puppet": {"colour": 7}}}, "content", "colour"),
        ({"options": {"puppet": [1]}}, "content", "options"),
        ({"settings": {"pages": "a"}}, "account", "pages"),
        ({"settings": {"page": []}}, "account", "page"),
    ],
)
def test_rows_that_make_no_sense_to_the_publisher_end_their_own_post(
    bench: Workbench, make: Any, factories: Factories, post_row: Any, job_of: Any, rows: Any, kind: str, named: str
) -> None:
    columns: dict[str, Any] = {}
    if "options" in rows:
        columns["content_item_id"] = factories.content(**rows)
    else:
        columns["channel_account_id"] = factories.account(platform="puppet", **rows)
    post = make(**columns)

    publish_post(post, bench)

    assert (post_row(post)["status"], job_of(post)["error_kind"]) == ("Failed", kind)
    assert named in post_row(post)["last_error"]
    assert calls() == 0


def test_wrong_credentials_end_their_own_post_without_being_told(
    bench: Workbench, make: Any, factories: Factories, post_row: Any, caplog: pytest.LogCaptureFixture
) -> None:
    account = factories.account(platform="puppet")
    secret = bench.keyring.encrypt(account, {"token": {"very": "secret words"}})
    factories.query("update channel_account set credentials = %s where id = %s", (secret, account))
    post = make(channel_account_id=account)

    publish_post(post, bench)

    assert post_row(post)["status"] == "Failed"
    assert "token" in post_row(post)["last_error"]
    assert "secret words" not in caplog.text + post_row(post)["last_error"]


def test_a_post_whose_credentials_do_not_open_waits_for_the_key_and_uses_up_no_attempt(
    bench: Workbench, make: Any, factories: Factories, post_row: Any, job_of: Any
) -> None:
    """A wrong key is our own mistake, and may be noticed days later."""
    account = factories.account(platform="puppet")
    sealed = Keyring([SecretStr(Fernet.generate_key().decode())]).encrypt(account, {"token": "t"})
    factories.query("update channel_account set credentials = %s where id = %s", (sealed, account))
    post = make(channel_account_id=account)

    for _ in range(10):
        publish_post(post, bench)
        waiting, job = post_row(post), job_of(post)
        factories.query("update post_instance set retry_at = now()")
    factories.query(
        "update channel_account set credentials = %s where id = %s", (bench.keyring.encrypt(account, {}), account)
    )
    publish_post(post, bench)

    assert (waiting["status"], job["status"], job["attempt"]) == ("Scheduled", "cancelled", 10)
    assert "do not open with AUTOPOSTER_SECRET_KEYS" in waiting["last_error"]
    assert timedelta(0) < waiting["retry_at"] - job["finished_at"] <= bench.policy.retry_cap
    assert (post_row(post)["status"], post_row(post)["last_error"]) == ("Posted", None)


class Exploding(BaseModel):
    """A model with a bug in its own code."""

    @model_validator(mode="before")
    @classmethod
    def _explode(cls, values: Any) -> Any:
        raise KeyError("inside")


@pytest.mark.parametrize("model", ["Options", "Settings", "Credentials"])
def test_a_bug_in_a_publishers_model_is_a_bug_that_ends_its_own_post(
    bench: Workbench, make: Any, post_row: Any, job_of: Any, monkeypatch: pytest.MonkeyPatch, model: str
) -> None:
    monkeypatch.setattr(Puppet, model, Exploding)
    post = make()

    publish_post(post, bench)

    assert (post_row(post)["status"], job_of(post)["error_kind"]) == ("Failed", "bug")


@pytest.mark.parametrize("source", ["https://[", "https://127.0.0.1/" + "a" * 5000, "../../etc/passwd", "a" * 5000])
def test_a_medium_whose_source_makes_no_sense_leaves_the_attempt_whole(
    bench: Workbench, make: Any, factories: Factories, post_row: Any, job_of: Any, source: str
) -> None:
    content = factories.content()
    factories.media(content, source=source)
    post = make(content_item_id=content)

    publish_post(post, bench)

    assert job_of(post)["status"] in ("completed", "failed")
    assert post_row(post)["status"] in ("Posted", "Failed")


UNREADABLE = {
    "a number of 5,000 digits": '{"puppet": {"colour": ' + "9" * 5000 + "}}",
    "a hole of 3,000 levels": '{"puppet": ' + "[" * 3000 + "]" * 3000 + "}",
}


@pytest.mark.parametrize("options", UNREADABLE.values(), ids=UNREADABLE.keys())
def test_a_row_that_cannot_be_read_ends_its_own_post(
    bench: Workbench, make: Any, factories: Factories, post_row: Any, options: str
) -> None:
    content = factories.content()
    factories.query("update content_item set options = %s where id = %s", (options, content))
    post, healthy = make(content_item_id=content), make()

    for due in (post, healthy):
        publish_post(due, bench)

    assert post_row(post)["status"] == "Failed" and "cannot be read" in post_row(post)["last_error"]
    assert post_row(healthy)["status"] == "Posted"
    assert factories.query("select 1 from publish_job where post_instance_id = %s", (post,)) == []


def test_a_platform_that_nobody_brings_fails_by_name(bench: Workbench, make: Any, post_row: Any, job_of: Any) -> None:
    post = make("myspace")

    publish_post(post, bench)

    assert (post_row(post)["status"], job_of(post)["error_kind"]) == ("Failed", "no_publisher")
    assert "myspace" in post_row(post)["last_error"] and "there are" in post_row(post)["last_error"]


class Garbled(BaseModel):
    """A model whose refusals are no text that PostgreSQL takes."""

    @model_validator(mode="before")
    @classmethod
    def _refuse(cls, values: Any) -> Any:
        raise ValueError("no\x00 way")


def test_a_reason_that_postgresql_does_not_take_ends_its_post_all_the_same(
    bench: Workbench, make: Any, post_row: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A settlement is repeated until it is written: one that never can be would hold its thread for ever."""
    monkeypatch.setattr(Puppet, "Options", Garbled)
    post = make()

    publish_post(post, bench)

    assert post_row(post)["status"] == "Failed" and "no way" in post_row(post)["last_error"]


@pytest.mark.parametrize("post_id", [2**62, 2**80, -1, 0])
def test_a_post_that_is_not_there_is_no_trouble(bench: Workbench, factories: Factories, post_id: int) -> None:
    try:
        publish_post(post_id, bench)
    except peewee.DataError as error:  # what a forged message may ask for is refused by the database
        assert post_id > 2**63 and "out of range" in str(error)

    assert factories.query("select 1 from publish_job") == []


# --- texts -----------------------------------------------------------------------------------------------------------

TEXTS = {
    "NUL": ("a\x00b", "ab"),
    "half a character": ("a\ud800b", "a?b"),
    "an endless text": ("x" * 10_000_000, "x" * 1999 + "…"),
    "nothing": ("", ""),
}


@pytest.mark.parametrize(("said", "kept"), TEXTS.values(), ids=TEXTS.keys())
@pytest.mark.parametrize("error", [Transient, ContentRejected, OutcomeUnknown, RateLimited, AccountRejected])
def test_what_a_publisher_says_is_kept_in_words_that_postgresql_takes(
    bench: Workbench, make: Any, post_row: Any, error: Callable[[str], PublishError], said: str, kept: str
) -> None:
    post = make()
    act(publish=raises(error(said)))

    publish_post(post, bench)

    assert post_row(post)["last_error"] == kept


def test_no_secret_gets_into_a_row_or_a_log(
    bench: Workbench, make: Any, factories: Factories, post_row: Any, job_of: Any, caplog: pytest.LogCaptureFixture
) -> None:
    secret = "s3cret/with+odd=signs"
    account = factories.account(platform="checked")
    sealed = bench.keyring.encrypt(account, {"token": secret})
    factories.query("update channel_account set credentials = %s where id = %s", (sealed, account))
    caplog.set_level(logging.DEBUG)
    said = f"{secret} and https://example.org/?token=s3cret%2Fwith%2Bodd%3Dsigns " + secret * 200
    said += " and in two bytes each: " + "\x00".join(secret)
    for method, error in [
        ("publish", KeyError(said)),
        ("publish", AccountRejected(said)),
        ("validate", KeyError(said)),
        ("prepare", Transient(said)),
        ("init", ValueError(said)),
    ]:
        bench = puppets.bench()
        act(**{method: raises(error)}, check=raises(ValueError(said)))
        factories.query("update channel_account set status = 'active', paused_until = null")
        post = make(channel_account_id=account)

        publish_post(post, bench)

        told = json.dumps([post_row(post), job_of(post), factories.row("channel_account", account)], default=str)
        for form in ("s3cret/with", "s3cret%2F", "with+odd", "\x00w\x00i\x00t\x00h", "\\u0000w"):
            assert form not in told.replace("\\", ""), (method, error)
            assert form not in caplog.text, (method, error)


# --- accounts --------------------------------------------------------------------------------------------------------


def test_a_rejected_account_without_a_check_is_believed_and_disconnected(
    bench: Workbench, make: Any, post_row: Any, account_of: Any
) -> None:
    post = make()
    act(publish=raises(AccountRejected("token gone")))

    publish_post(post, bench)

    assert (post_row(post)["status"], account_of(post)["status"]) == ("Failed", "disconnected")
    assert account_of(post)["last_error"] == "token gone"


@pytest.mark.parametrize(
    ("check", "account"),
    [
        (returns(AccountCheck(ok=False, problem="revoked")), "disconnected"),
        (raises(AccountRejected("revoked")), "disconnected"),
        (returns(AccountCheck(ok=True)), "active"),
        (raises(TimeoutError()), "active"),
        (raises(SystemExit(1)), "active"),
        (returns(None), "active"),
    ],
    ids=["not ok", "rejected", "ok", "timeout", "exit", "garbage"],
)
def test_a_rejected_account_is_disconnected_if_its_check_fails_too(
    bench: Workbench, make: Any, post_row: Any, job_of: Any, account_of: Any, check: Any, account: str
) -> None:
    post = make("checked")
    act(publish=raises(AccountRejected("token gone")), check=check)

    publish_post(post, bench)

    assert (post_row(post)["status"], job_of(post)["error_kind"]) == ("Failed", "account")
    assert account_of(post)["status"] == account


def test_an_account_that_was_reconnected_meanwhile_is_tried_again_once(
    bench: Workbench, make: Any, factories: Factories, post_row: Any, job_of: Any, account_of: Any
) -> None:
    post = make()

    def reject(*_: Any) -> Any:
        factories.query("update channel_account set credentials_version = credentials_version + 1")
        raise AccountRejected("token gone")

    act(publish=reject)

    publish_post(post, bench)
    assert (post_row(post)["status"], job_of(post)["error_kind"]) == ("Scheduled", "transient")
    factories.query("update post_instance set retry_at = now()")
    publish_post(post, bench)

    assert (post_row(post)["status"], job_of(post)["error_kind"]) == ("Failed", "account")
    assert account_of(post)["status"] == "active"  # these credentials are not the rejected ones


def test_the_post_of_a_disconnected_account_fails_in_one_line_without_a_call(
    bench: Workbench, make: Any, factories: Factories, post_row: Any, job_of: Any, caplog: pytest.LogCaptureFixture
) -> None:
    post = make(channel_account_id=factories.account(platform="puppet", name="Shop", status="disconnected"))

    publish_post(post, bench)

    assert (post_row(post)["status"], job_of(post)["error_kind"]) == ("Failed", "account")
    assert "accounts reconnect Shop" in post_row(post)["last_error"]
    assert Puppet.asked == [] and "Traceback" not in caplog.text


@pytest.mark.parametrize("method", ["publish", "prepare", "validate"])
def test_a_rate_limit_pauses_the_account_and_spreads_its_posts(
    bench: Workbench, make: Any, factories: Factories, post_row: Any, job_of: Any, account_of: Any, method: str
) -> None:
    account = factories.account(platform="puppet")
    posts = [make(channel_account_id=account) for _ in range(5)]
    act(**{method: raises(RateLimited("slowly", 60 * SECOND))})

    for post in posts:
        publish_post(post, bench)

    until = account_of(posts[0])["paused_until"]
    assert 58 * SECOND < until - datetime.now(UTC) <= 60 * SECOND
    assert all(until - SECOND <= post_row(post)["retry_at"] <= until + 31 * SECOND for post in posts)
    assert len({post_row(post)["retry_at"] for post in posts}) == 5
    assert Puppet.asked.count(method) == 1
    assert factories.query("select count(*) from publish_job") == [(1,)]


@pytest.mark.parametrize(("asked", "pause"), [(60 * SECOND, 60 * SECOND), (24 * HOUR, HOUR)])
def test_an_account_rests_when_its_limits_are_nearly_used_up_although_the_post_is_out(
    bench: Workbench, make: Any, post_row: Any, account_of: Any, asked: timedelta, pause: timedelta
) -> None:
    act(pause=returns(asked))
    post = make("thrifty")

    publish_post(post, bench)

    assert post_row(post)["status"] == "Posted"
    assert -5 * SECOND < account_of(post)["paused_until"] - datetime.now(UTC) - pause <= timedelta(0)


@pytest.mark.parametrize(
    "act_of_pause",
    [returns(None), returns(-SECOND), returns("soon"), raises(RuntimeError("oops")), raises(SystemExit(1))],
)
def test_an_account_that_asks_for_no_rest_goes_on(
    bench: Workbench, make: Any, post_row: Any, account_of: Any, act_of_pause: Any
) -> None:
    act(pause=act_of_pause)
    post = make("thrifty")

    publish_post(post, bench)

    assert (post_row(post)["status"], account_of(post)["paused_until"]) == ("Posted", None)


def test_a_publisher_that_fails_when_it_is_asked_for_a_pause_harms_nothing(
    bench: Workbench, make: Any, post_row: Any, account_of: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Puppet, "pause", raises(SystemExit(1)))
    post = make()

    publish_post(post, bench)

    assert post_row(post)["status"] == "Posted"
    assert account_of(post)["paused_until"] is None


def test_rate_limits_use_up_no_attempt(bench: Workbench, make: Any, factories: Factories, post_row: Any) -> None:
    post = make()
    act(publish=raises(RateLimited("slowly", SECOND)))

    for _ in range(POLICY_ATTEMPTS + 2):
        factories.query("update channel_account set paused_until = null; update post_instance set retry_at = null")
        publish_post(post, bench)

    assert post_row(post)["status"] == "Scheduled"
    assert calls() == POLICY_ATTEMPTS + 2


def test_rate_limits_without_a_time_pause_the_account_longer_and_longer(
    bench: Workbench, make: Any, factories: Factories, account_of: Any
) -> None:
    post = make()
    act(publish=raises(RateLimited("slowly")))
    pauses = []

    for _ in range(12):
        factories.query("update channel_account set paused_until = null; update post_instance set retry_at = null")
        publish_post(post, bench)
        pauses.append(account_of(post)["paused_until"] - datetime.now(UTC))

    assert max(pauses) > bench.policy.retry_base


POLICY_ATTEMPTS = puppets.POLICY.max_attempts


def test_the_last_of_its_attempts_fails_the_post(
    bench: Workbench, make: Any, factories: Factories, post_row: Any
) -> None:
    post = make()
    act(publish=raises(Transient("busy")))

    for attempt in range(1, POLICY_ATTEMPTS + 2):
        factories.query("update post_instance set retry_at = null")
        publish_post(post, bench)
        assert post_row(post)["status"] == ("Scheduled" if attempt < POLICY_ATTEMPTS else "Failed")

    assert calls() == POLICY_ATTEMPTS


# --- between claim and call ------------------------------------------------------------------------------------------


def test_what_its_owner_takes_back_while_it_is_prepared_is_not_sent(
    bench: Workbench, make: Any, factories: Factories, post_row: Any, job_of: Any
) -> None:
    post = make()
    act(prepare=lambda *_: (factories.query("update post_instance set status = 'Cancelled'") and {}) or {})

    publish_post(post, bench)

    assert (post_row(post)["status"], job_of(post)["status"], calls()) == ("Cancelled", "cancelled", 0)


def test_what_the_content_says_at_the_claim_is_published(
    bench: Workbench, make: Any, factories: Factories, post_row: Any
) -> None:
    post = make(content_item_id=factories.content(caption="at the claim"))
    act(prepare=lambda *_: (factories.query("update content_item set caption = 'later'") and {}) or {})

    publish_post(post, bench)

    assert [shown.caption for shown in Puppet.board] == ["at the claim"]


def test_nothing_is_sent_early(bench: Workbench, factories: Factories) -> None:
    post = factories.post(0.7 * SECOND, channel_account_id=factories.account(platform="puppet"))
    sent: list[datetime] = []
    act(publish=lambda self, _: sent.append(datetime.now(UTC)) or Receipt("1"))

    publish_post(post, bench)

    due = factories.row("post_instance", post)["scheduled_for"]
    assert timedelta(0) <= sent[0] - due < 0.5 * SECOND
    assert factories.query("select intent_at < scheduled_for from publish_job") == [(True,)]


class HeldUp(Clock):
    """Belongs to a process that is frozen for a moment when it should go on with its call."""

    holds = 0

    def hold_until(self, moment: datetime) -> None:
        self.holds += 1
        if self.holds == 2:
            threading.Event().wait(2.05)


def test_a_worker_that_was_held_up_between_intent_and_call_sends_nothing(
    bench: Workbench, make: Any, post_row: Any, job_of: Any
) -> None:
    post = make()

    publish_post(post, replace(bench, clock=HeldUp()))

    assert calls() == 0
    job = job_of(post)
    assert (post_row(post)["status"], job["status"], job["error_kind"]) == ("Scheduled", "failed", "transient")
    assert job["intent_at"] is not None


KILL = "select pg_terminate_backend(pid) from pg_stat_activity where cardinality(pg_blocking_pids(pid)) > 0"


def test_an_intent_that_was_not_confirmed_sends_nothing(
    bench: Workbench, make: Any, post_row: Any, job_of: Any, stage: Stage
) -> None:
    post = make()
    claimed, go_on = threading.Event(), threading.Event()

    def prepare(*_: Any) -> dict[str, Any]:
        claimed.set()
        go_on.wait(5)
        return {}

    act(prepare=prepare)
    attempt = stage.begin(publish_post, post, bench)
    assert claimed.wait(5)
    Puppet.acts.pop("prepare")

    with stage.program() as owner:
        owner("select 1 from post_instance for update")
        go_on.set()
        stage.wait_until_blocked()
        owner(KILL)
    attempt.result(timeout=10)

    assert calls() == 0
    assert (post_row(post)["status"], job_of(post)["status"]) == ("Scheduled", "failed")
    assert job_of(post)["intent_at"] is None


@pytest.mark.parametrize("intend", ["intend", "intend_free"])
def test_an_intent_that_was_committed_but_not_confirmed_sends_nothing(
    bench: Workbench, make: Any, post_row: Any, job_of: Any, monkeypatch: pytest.MonkeyPatch, intend: str
) -> None:
    """The connection is lost after the commit: the row has an intent, and only this process knows that nothing went."""
    post, move = make(), getattr(intents, intend)

    def lose_the_answer(*arguments: Any, **options: Any) -> None:
        assert move(*arguments, **options)
        assert post_row(post)["status"] == "Publishing"
        raise peewee.OperationalError("server closed the connection unexpectedly")

    if intend == "intend":
        monkeypatch.setattr(intents, "intend_free", lambda *_, **__: {})
    monkeypatch.setattr(intents, intend, lose_the_answer)
    publish_post(post, bench)

    assert calls() == 0
    job = job_of(post)
    assert (post_row(post)["status"], job["status"], job["error_kind"]) == ("Scheduled", "failed", "transient")
    assert job["intent_at"] is not None and post_row(post)["retry_at"] is not None


@pytest.mark.parametrize("state", ["P0001", "55000", "22012"])
def test_a_post_whose_publishing_a_trigger_of_its_owner_refuses_is_told_and_waits(
    bench: Workbench, make: Any, factories: Factories, post_row: Any, job_of: Any, state: str
) -> None:
    post = make()
    factories.query(
        "create function theirs() returns trigger language plpgsql as"
        f" $$ begin raise exception 'the campaign is closed' using errcode = '{state}'; end $$;"
        " create trigger theirs before update on post_instance for each row when (new.status = 'Publishing')"
        " execute function theirs()"
    )
    try:
        publish_post(post, bench)
    finally:
        factories.query("drop function theirs cascade")

    assert calls() == 0
    assert (post_row(post)["status"], job_of(post)["status"]) == ("Scheduled", "cancelled")
    assert "the campaign is closed" in post_row(post)["last_error"]
    assert post_row(post)["retry_at"] > datetime.now(UTC)


def test_messages_that_name_a_post_twice_at_the_same_moment_publish_it_once(
    bench: Workbench, make: Any, stage: Stage
) -> None:
    due = [make() for _ in range(40)]

    for each in [stage.begin(publish_post, post, bench) for post in due for _ in range(3)]:
        each.result(timeout=30)

    assert sorted(post.id for post in Puppet.board) == due
    assert calls() == len(due)


def test_a_message_that_names_no_number_takes_nothing_from_those_beside_it(
    bench: Workbench, make: Any, stage: Stage, factories: Factories
) -> None:
    due = [make() for _ in range(20)]

    several: list[Any] = [each for post in due for each in (post, [post, post], {"id": post})]
    for each in [stage.begin(publish_post, post, bench) for post in several]:
        each.exception(timeout=30)

    assert sorted(post.id for post in Puppet.board) == due
    assert factories.query("select count(*) from publish_job") == [(20,)]


def test_an_outcome_is_kept_while_the_database_is_away(
    bench: Workbench, make: Any, factories: Factories, post_row: Any, stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    post = make()
    act(publish=lambda *_: factories.query("alter table publish_job rename to elsewhere") or Receipt("1"))

    attempt = stage.begin(publish_post, post, bench)
    wait_until(lambda: "waits for the database" in caplog.text, 5)
    factories.query("alter table elsewhere rename to publish_job")
    attempt.result(timeout=10)

    assert post_row(post)["status"] == "Posted"
    assert calls() == 1


def test_trouble_of_our_own_before_the_intent_is_left_to_the_lease(
    bench: Workbench, make: Any, post_row: Any, job_of: Any
) -> None:
    post = make()
    act(prepare=raises(peewee.OperationalError("server closed the connection")))

    publish_post(post, bench)

    assert (post_row(post)["status"], job_of(post)["status"]) == ("Scheduled", "running")
    assert bench.leases.held() == 0


# --- after "not there" -----------------------------------------------------------------------------------------------


@pytest.fixture
def absent(make: Any, factories: Factories) -> int:
    """A post with an attempt that was looked for and not found."""
    post: int = make("findable")
    forge_job(
        factories,
        post,
        looks=2,
        content={"caption": "earlier", "link": None, "options": None, "media": [], "content_item_id": 1},
    )
    return post


def test_an_attempt_after_not_there_asks_once_more_and_sends_nothing_if_it_is_there(
    bench: Workbench, absent: int, post_row: Any
) -> None:
    asked: list[str] = []
    act(find=lambda _, post: asked.append(post.caption) or Receipt("late"))

    publish_post(absent, bench)

    assert asked == ["earlier"]
    assert (post_row(absent)["status"], post_row(absent)["platform_post_id"], calls()) == ("Posted", "late", 0)


def test_an_attempt_after_not_there_is_made_if_it_is_still_not_there(
    bench: Workbench, absent: int, post_row: Any
) -> None:
    publish_post(absent, bench)

    assert "find" in Puppet.asked
    assert (post_row(absent)["status"], calls()) == ("Posted", 1)


@pytest.mark.parametrize(
    "error", [TimeoutError(), OutcomeUnknown("two fit"), Transient("busy"), KeyError("x"), ValueError("HTML")]
)
def test_an_attempt_after_not_there_sends_nothing_and_comes_back_if_it_cannot_be_asked(
    bench: Workbench, absent: int, post_row: Any, error: Exception
) -> None:
    act(find=raises(error))

    publish_post(absent, bench)

    assert (post_row(absent)["status"], calls()) == ("Scheduled", 0)
    assert str(error) in post_row(absent)["last_error"]


def test_a_blind_publisher_is_never_asked_to_find(
    bench: Workbench, make: Any, factories: Factories, post_row: Any
) -> None:
    post = make("blind_with_find")
    forge_job(factories, post, looks=1, content={"caption": "", "link": None, "options": None, "media": []})

    publish_post(post, bench)

    assert post_row(post)["status"] == "Posted"
    assert "find" not in Puppet.asked
