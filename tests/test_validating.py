"""What a platform would refuse is said when a post is scheduled, and ahead of time, not when it is due."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from factories import Factories
from pydantic import BaseModel, ConfigDict

from autoposter import scheduling
from autoposter.clock import Clock
from autoposter.database import database as pool
from autoposter.errors import Refused
from autoposter.media import MediaShelf
from autoposter.plugins import Host
from autoposter.publishers import Delivery, Post, Publisher, Receipt
from autoposter.validating import Validating, refuse_problems, validate

SHELF = MediaShelf(None, None)
HOUR = timedelta(hours=1)


class Frame(BaseModel):
    model_config = ConfigDict(extra="forbid")
    width: int = 1


class Short(Publisher):
    """Takes five characters."""

    platform = "short"
    delivery = Delivery.BLIND
    trouble: BaseException | None = None

    class Options(BaseModel):
        model_config = ConfigDict(extra="forbid")
        colour: str = "red"
        frame: Frame | None = None
        pins: list[Frame] = []

    def validate(self, post: Post) -> Iterable[str]:
        if Short.trouble:
            raise Short.trouble
        if len(post.caption) > 5:
            yield f"The caption has {len(post.caption)} characters; Short takes 5."

    def publish(self, post: Post, prepared: dict[str, Any]) -> Receipt:
        raise NotImplementedError


class ShortHost(Host):
    def platforms(self) -> list[str]:
        return ["short"]

    def publisher_for(self, platform: str) -> type[Publisher]:
        return Short if platform == "short" else super().publisher_for(platform)


@pytest.fixture
def host() -> Host:
    Short.trouble = None
    return ShortHost()


@pytest.fixture
def account(database: Any, factories: Factories) -> int:
    return factories.account(platform="short")


def soon(factories: Factories, account: int, **content: Any) -> int:
    return factories.post(HOUR, channel_account_id=account, content_item_id=factories.content(**content))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"caption": "Far too long"}, "12 characters; Short takes 5"),
        ({"caption": "ok", "options": {"short": {"color": "blue"}}}, "color is none of them (did you mean colour?)"),
        (
            {"caption": "ok", "options": {"short": {"frame": {"with": 7}}}},
            "frame.with is none of them (did you mean width?)",
        ),
        (
            {"caption": "ok", "options": {"short": {"frame": {"colour": 7}}}},
            "frame.colour is none of them; there are width",
        ),
        (
            {"caption": "ok", "options": {"short": {"pins": [{"wide": 7}]}}},
            "pins.0.wide is none of them (did you mean wi",
        ),
        ({"caption": "ok", "options": {"short": {"colour": 7}}}, "colour: Input should be a valid string"),
        (
            {"caption": "ok", "options": {"short": {"frame": {"with": 7}, "color": "blue"}}},
            "frame.with is none of them (did you mean width?); color is none of them (did you mean colour?)",
        ),
        (
            {"caption": "ok", "options": {"shrot": {"colour": "blue"}}},
            "for shrot, which is no platform here (did you mean s",
        ),
    ],
)
def test_what_the_platform_would_refuse_is_not_scheduled_and_nothing_is_written(
    factories: Factories, host: Host, account: int, content: dict[str, Any], said: str
) -> None:
    new = scheduling.content_of(content["caption"], options=content.get("options"))

    with pytest.raises(Refused) as refused:
        scheduling.schedule(
            new, [account], at=Clock().now() + HOUR, check=partial(refuse_problems, host=host, shelf=SHELF)
        )

    assert said in str(refused.value)
    assert factories.query("select (select count(*) from post_instance), (select count(*) from content_item)") == [
        (0, 0)
    ]


def test_a_platform_whose_plugin_is_not_here_is_not_judged(factories: Factories, host: Host, database: Any) -> None:
    account = factories.account(platform="elsewhere")
    content = scheduling.content_of("Far too long")

    scheduled = scheduling.schedule(
        content, [account], at=Clock().now() + HOUR, check=partial(refuse_problems, host=host, shelf=SHELF)
    )

    assert factories.row("post_instance", scheduled.post_ids[0])["status"] == "Scheduled"


def test_a_post_that_would_be_refused_is_flagged_and_unflagged_when_it_is_mended(
    factories: Factories, host: Host, account: int
) -> None:
    post = soon(factories, account, caption="Far too long")

    validate(post, host, SHELF)
    flagged = factories.row("post_instance", post)
    factories.query("update post_instance set caption = 'short'")
    validate(post, host, SHELF)
    mended = factories.row("post_instance", post)

    assert flagged["status"] == "Scheduled" and "Short takes 5" in flagged["last_error"]
    assert mended["last_error"] is None


def test_what_an_attempt_noted_is_not_taken_back(factories: Factories, host: Host, account: int) -> None:
    post = soon(factories, account, caption="ok")
    factories.query("update post_instance set last_error = 'The platform was busy.'")

    validate(post, host, SHELF)

    assert factories.row("post_instance", post)["last_error"] == "The platform was busy."


def test_a_validate_that_fails_itself_is_no_reason(factories: Factories, host: Host, account: int) -> None:
    post = soon(factories, account, caption="ok")
    Short.trouble = ZeroDivisionError("oh")

    assert validate(post, host, SHELF) == []
    assert factories.row("post_instance", post)["last_error"] is None


@pytest.mark.parametrize("trouble", [ZeroDivisionError("oh"), SystemExit("oh")])
def test_a_validate_that_fails_itself_keeps_nobody_from_scheduling(
    factories: Factories, host: Host, account: int, trouble: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    Short.trouble = trouble

    scheduling.schedule(
        scheduling.content_of("ok"),
        [account],
        at=Clock().now() + HOUR,
        check=partial(refuse_problems, host=host, shelf=SHELF),
    )

    assert factories.query("select status from post_instance") == [("Scheduled",)]
    assert "on short failed" in caplog.text and "oh" in caplog.text


def test_options_for_a_platform_that_is_known_elsewhere_are_left_alone(
    factories: Factories, host: Host, account: int
) -> None:
    post = soon(factories, account, caption="ok", options={"mastodon": {"colour": "blue"}})

    assert validate(post, host, SHELF) == []


def test_the_minute_scan_validates_each_content_of_the_next_day_once(
    factories: Factories, host: Host, account: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("autoposter.store.validations.OVERLAP", timedelta(0))
    first, _later = soon(factories, account), factories.post(30 * HOUR, channel_account_id=account)
    validating = Validating()

    assert validating.due() == [first]
    assert validating.due() == []
    second = soon(factories, account)
    factories.query(
        "update content_item set caption = 'other' where id = (select content_item_id from post_instance"
        " where id = %s)",
        (first,),
    )
    assert sorted(validating.due()) == [first, second]
    pool.close_all()
