"""Events come to listeners after the commit, with typed values and without credentials; a hanging one harms nobody."""

from __future__ import annotations

import logging
import threading
from datetime import timedelta
from typing import Any

import pytest
from factories import Factories

from autoposter import events
from autoposter.clock import Clock
from autoposter.credentials import Keyring
from autoposter.leases import Leases
from autoposter.lifecycle import RetryPolicy
from autoposter.listening import MOST_HANGING, MOST_WAITING, Listening
from autoposter.media import MediaShelf
from autoposter.plugins import Host
from autoposter.publishing import publish_post
from autoposter.scanning import end_missed_posts
from autoposter.workbench import Workbench

SECOND = timedelta(seconds=1)


class Listener(Host):
    """The real host, that also writes down what it would tell."""

    def __init__(self) -> None:
        super().__init__()
        self.told: list[tuple[str, dict[str, Any]]] = []

    def notify(self, event: str, **arguments: object) -> None:
        self.told.append((event, arguments))


@pytest.fixture
def host() -> Listener:
    return Listener()


@pytest.fixture
def bench(database: Any, host: Listener) -> Workbench:
    made: list[Workbench] = []
    made.append(
        Workbench(
            worker="test",
            host=host,
            keyring=Keyring(()),
            shelf=MediaShelf(None, None),
            policy=RetryPolicy(1, SECOND, SECOND),
            max_lateness=timedelta(hours=24),
            clock=Clock(),
            leases=Leases(),
            announce=lambda event, about: events.tell(event, about, made[0]),
        )
    )
    return made[0]


def test_a_published_post_is_told_with_its_receipt(bench: Workbench, host: Listener, factories: Factories) -> None:
    post = factories.post(-SECOND, content_item_id=factories.content(caption="Hello"))

    publish_post(post, bench)

    [(event, told)] = host.told
    assert event == "autoposter_post_published"
    assert (told["post"].id, told["post"].caption) == (post, "Hello")
    assert told["receipt"].platform_post_id.startswith("stub-")


def test_a_failed_post_is_told_even_where_nobody_brings_its_platform(
    bench: Workbench, host: Listener, factories: Factories
) -> None:
    post = factories.post(-SECOND, channel_account_id=factories.account(platform="myspace"))

    publish_post(post, bench)

    [(event, told)] = host.told
    assert event == "autoposter_post_failed"
    assert told["post"].id == post and "myspace" in told["error"]


def test_a_missed_post_is_told(bench: Workbench, host: Listener, factories: Factories) -> None:
    post = factories.post(-timedelta(hours=25))

    end_missed_posts(bench.max_lateness, bench.announce)

    assert [(event, told["post"].id) for event, told in host.told] == [("autoposter_post_missed", post)]


def test_an_account_is_told_without_its_credentials(bench: Workbench, host: Listener, factories: Factories) -> None:
    account = factories.account(name="Shop", credentials="secret", last_error="The token expired.")

    events.tell("autoposter_account_disconnected", account, bench)

    [(_, told)] = host.told
    assert (told["account"].name, told["error"]) == ("Shop", "The token expired.")
    assert "secret" not in repr(told) and not told["account"].credentials.model_dump()


def test_a_message_about_nothing_tells_nothing(bench: Workbench, host: Listener) -> None:
    events.tell("autoposter_post_published", 999, bench)
    events.tell("os.system", 1, bench)

    assert host.told == []


def test_a_listener_that_hangs_is_left_behind_and_after_some_calls_not_told(caplog: pytest.LogCaptureFixture) -> None:
    listening, release, heard = Listening(timedelta(milliseconds=20)), threading.Event(), []

    with caplog.at_level(logging.ERROR):
        for _ in range(MOST_HANGING + 2):
            listening.call("slow", release.wait, {})
            listening.call("quick", lambda: heard.append(1), {})
        listening.finish(5 * SECOND)
    release.set()

    assert len(heard) == MOST_HANGING + 2
    said = [record.getMessage() for record in caplog.records]
    assert sum("left behind" in line for line in said) == MOST_HANGING
    assert sum("not told" in line for line in said) == 2


def test_a_slow_listener_hears_all_in_order_and_keeps_nobody_who_tells_waiting() -> None:
    listening, told, heard = Listening(), threading.Event(), list[int]()

    def hear(number: int) -> None:
        assert told.wait(5)
        heard.append(number)

    for number in range(50):
        listening.call("slow", hear, {"number": number})
    told.set()  # only now: nobody who tells has waited for the first
    listening.finish(5 * SECOND)

    assert heard == list(range(50))


def test_what_waits_for_a_listener_is_bounded(caplog: pytest.LogCaptureFixture) -> None:
    listening, release = Listening(), threading.Event()

    for _ in range(MOST_WAITING + 5):
        listening.call("slow", release.wait, {})
    release.set()

    assert any(f"{MOST_WAITING} events wait for it already" in record.getMessage() for record in caplog.records)


def test_nobody_waits_for_ever_for_what_a_listener_was_told() -> None:
    listening, release = Listening(), threading.Event()
    listening.call("hanging", release.wait, {})

    listening.finish(timedelta(milliseconds=50))

    assert not release.is_set()
    release.set()
