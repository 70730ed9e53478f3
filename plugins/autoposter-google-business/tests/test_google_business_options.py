"""Mistakes in the options are named when a post is scheduled, each in words that say what to do."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from autoposter.testing import Lab, make_post
from autoposter_google_business.limits import is_public_address, problems
from autoposter_google_business.options import PostOptions
from fake_google_business import FakeGoogleBusiness
from google_business_examples import KINDS, event

TIMES = {"start": "2026-05-01T09:00", "end": "2026-05-01T18:00"}
EVENT = {"title": "Tasting", **TIMES}


def mistake(given: dict[str, Any]) -> str:
    """What is said of these options."""
    with pytest.raises(ValidationError) as raised:
        PostOptions.model_validate(given)
    first = raised.value.errors()[0]
    print(f"{'.'.join(map(str, first['loc']))}: {first['msg']}")
    return f"{'.'.join(map(str, first['loc']))}: {first['msg']}"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"event": TIMES}, "event.title: Field required"),
        ({"event": {"title": "Tasting", "start": "2026-05-01"}}, "event.end: Field required"),
        ({"event": {**EVENT, "start": "2026-02-30"}}, "event.start: 2026-02-30 does not exist"),
        ({"event": {**EVENT, "start": "2026-05-01T24:30"}}, "event.start: 2026-05-01T24:30 does not exist"),
        ({"event": {**EVENT, "start": "1 May"}}, "event.start: this must be a date (2026-05-01) or a time"),
        ({"event": {**EVENT, "start": "2026-05-01T09:00Z"}}, "without a zone"),
        ({"event": {**EVENT, "start": "2026-05-01T09:00+02:00"}}, "without a zone"),
        ({"event": {**EVENT, "start": 1777626000}}, "event.start: this must be a date"),
        ({"event": {**EVENT, "end": "2026-05-01T09:00"}}, "ends (2026-05-01 09:00) before it has begun"),
        ({"event": {**EVENT, "end": "2026-04-30"}}, "ends (2026-04-30 23:59) before it has begun"),
        ({"event": {**EVENT, "coupon_code": "A"}}, "event.coupon_code: Extra inputs are not permitted"),
        ({"event": EVENT, "offer": EVENT}, "a post is an `event` or an `offer`, not both"),
        ({"offer": {}}, "offer.title: Field required"),
        ({"offer": EVENT, "call_to_action": {"action": "BOOK"}}, "an offer has no `call_to_action`"),
        ({"call_to_action": {"action": "CALL", "url": "https://shop.example"}}, "leave out its `url`"),
        ({"call_to_action": {"action": "GET_OFFER"}}, "call_to_action.action: Input should be 'BOOK', 'ORDER'"),
        ({"call_to_action": {"url": "https://shop.example"}}, "call_to_action.action: Field required"),
        ({"language": "Deutsch, bitte"}, "language: a language is a code such as en, de-AT or pt-BR"),
        ({"topicType": "ALERT"}, "topicType: Extra inputs are not permitted"),
    ],
)
def test_a_mistake_is_named_with_its_place(given: dict[str, Any], said: str) -> None:
    assert said in mistake(given)


def test_the_last_minute_of_a_day_is_its_end() -> None:
    read = PostOptions.model_validate({"event": {"title": "Fair", "start": "2026-05-01", "end": "2026-05-01"}}).event

    assert read and (read.start.isoformat(), read.end.isoformat()) == ("2026-05-01T00:00:00", "2026-05-01T23:59:00")


def test_a_midnight_is_a_midnight_and_no_whole_day() -> None:
    given = {"event": {"title": "Ball", "start": "2026-05-01T20:00", "end": "2026-05-02T00:00"}}
    read = PostOptions.model_validate(given).event

    assert read and read.end.isoformat() == "2026-05-02T00:00:00"


@pytest.mark.parametrize("name", KINDS)
def test_options_come_back_from_json_as_they_were(name: str) -> None:
    given = KINDS[name][1].options

    if isinstance(given, PostOptions):
        assert PostOptions.model_validate(given.model_dump(mode="json")) == given


# --- What depends on the post too ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("due", "is_over"),
    [("2026-05-01 17:00", False), ("2026-05-02 05:59", False), ("2026-05-02 06:00", False), ("2026-05-02 06:01", True)],
)
def test_an_event_that_would_be_over_everywhere_is_refused(due: str, is_over: bool) -> None:
    when = datetime.fromisoformat(due).replace(tzinfo=UTC)
    said = [*problems(make_post(options=event(**TIMES), scheduled_for=when))]

    assert said == (
        ["It ends on 2026-05-01 at 18:00, and is to be published on 2026-05-02: it would be over."] if is_over else []
    )


@pytest.mark.parametrize(
    "text",
    [
        "+49 30 1234567",
        "+4930123456",
        "(555) 123-4567",
        "555-123-4567",
        "555.123.4567",
        "Call: +1 (555) 123-4567!",
    ],
)
def test_a_phone_number_in_the_text_is_refused(text: str) -> None:
    assert any("phone number" in problem for problem in problems(make_post(f"Ring {text}", options=PostOptions())))


@pytest.mark.parametrize(
    "text",
    [
        "2026-05-01",
        "10-12 and 14-18:30",
        "+50 %",
        "1 000 000 thanks",
        "order 123-456",
        "ISBN 978-3-16-148410-0",
        "+2026",
    ],
)
def test_other_numbers_are_no_phone_numbers(text: str) -> None:
    assert [*problems(make_post(text, options=PostOptions()))] == []


@pytest.mark.parametrize(
    "address",
    ["https://shop.example", "http://shop.example:8080/a?b=c#d", "https://münchen.example/ä", "https://a.b.c./"],
)
def test_a_web_address_with_a_named_host_is_taken(address: str) -> None:
    assert is_public_address(address)


@pytest.mark.parametrize(
    "address",
    [
        "",
        "shop.example",
        "//shop.example",
        "ftp://shop.example",
        "mailto:a@shop.example",
        "https://",
        "https://[",
        "https://localhost/",
        "https://203.0.113.7/",
        "https://[2001:db8::1]/",
        "https://1.2.3/",
        "https://shop.example/a b",
        "javascript:alert(1)",
    ],
)
def test_anything_else_is_no_address_for_a_button(address: str) -> None:
    assert not is_public_address(address)


def test_every_reason_is_told_at_once() -> None:
    post = make_post("", link="nowhere", options=event(title=""), scheduled_for=datetime(2026, 1, 1, tzinfo=UTC))

    assert len([*problems(post)]) == 3


def test_what_is_valid_is_what_google_takes() -> None:
    from autoposter_google_business.publisher import GoogleBusiness

    with FakeGoogleBusiness() as google:
        lab = Lab(GoogleBusiness, google, make_post())
        for _, post in KINDS.values():
            own = lab.own(post)
            assert [*problems(own)] == []
            assert lab.attempt(own).platform_post_id


README = Path(__file__).parent.parent / "README.md"


@pytest.mark.parametrize("text", re.findall(r"^```json\n(.*?)^```$", README.read_text(), re.DOTALL | re.MULTILINE))
def test_what_the_readme_shows_is_taken(text: str) -> None:
    post = make_post(options=PostOptions.model_validate_json(text))

    assert [*problems(post)] == []
