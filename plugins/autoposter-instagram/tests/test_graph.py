"""What the products of the Graph API share: usage, versions, texts."""

from __future__ import annotations

import json
from datetime import date, timedelta

import pytest

from autoposter_instagram.graph.texts import begins_alike, normalised, utf16_length
from autoposter_instagram.graph.usage import pause_for, regained_in
from autoposter_instagram.graph.versions import DEFAULT, ENDS, version_of

BUSINESS = "X-Business-Use-Case-Usage"


def business(call_count: int, minutes: int = 0) -> dict[str, str]:
    usage = {"type": "instagram", "call_count": call_count, "total_cputime": 5, "total_time": 5}
    return {BUSINESS: json.dumps({"1784": [usage | {"estimated_time_to_regain_access": minutes}]})}


@pytest.mark.parametrize(
    ("headers", "pause"),
    [
        ({}, None),
        ({"X-App-Usage": '{"call_count": 94, "total_time": 25, "total_cputime": 25}'}, None),
        ({"X-App-Usage": '{"call_count": 28, "total_time": 95, "total_cputime": 25}'}, timedelta(minutes=5)),
        (business(80), None),
        (business(96), timedelta(minutes=5)),
        (business(100, minutes=19), timedelta(minutes=19)),
        (business(100, minutes=1), timedelta(minutes=5)),
        ({BUSINESS: "<html>"}, None),
        ({BUSINESS: "[[[1, true, null]]]"}, None),
        ({BUSINESS: '{"1": [{"call_count": "many"}]}'}, None),
        ({BUSINESS: "[" * 100_000}, None),
    ],
)
def test_the_account_pauses_before_its_limits_are_used_up(headers: dict[str, str], pause: timedelta | None) -> None:
    assert pause_for(headers) == pause


def test_the_longest_estimate_counts() -> None:
    both = {BUSINESS: json.dumps({"1": json.loads(business(1, 7)[BUSINESS])["1784"] * 2, "2": [{}]})}

    assert regained_in(both) == timedelta(minutes=7)
    assert regained_in(business(100)) is None


def test_the_default_version_lives() -> None:
    assert ENDS[DEFAULT] == date(2028, 7, 29)
    assert version_of("https://graph.facebook.com/v25.0/") == "v25.0"
    assert version_of("https://graph.facebook.com/me") == ""


def test_texts_are_compared_as_platforms_change_them() -> None:
    assert normalised("Cafe\u0301 \r\n\r\n\r\nopen \n") == normalised("Café\n\nopen")
    assert begins_alike("x" * 200, "x" * 100 + "...")
    assert not begins_alike("x" * 99, "x" * 100)


def test_an_emoji_counts_as_two() -> None:
    assert utf16_length("ab\N{PARTY POPPER}") == 4
    assert utf16_length("\ud800") == 1
