"""What is made of answers that may be anything."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import httpx2
import pytest

from autoposter.publishers import json_object, retry_after


@pytest.mark.parametrize(
    ("header", "wait"),
    [
        ("120", timedelta(seconds=120)),
        (" 1.5 ", timedelta(seconds=1.5)),
        ("0", timedelta(0)),
        ("-5", timedelta(0)),
        ("", None),
        ("soon", None),
        ("inf", None),
        ("9" * 400, None),
        ("Wed, 99 Foo 2026 10:00:00 GMT", None),
        ("Wed, 21 Oct 99999 07:28:00 GMT", None),
    ],
)
def test_a_wait_in_seconds_is_read_and_garbage_is_none(header: str, wait: timedelta | None) -> None:
    assert retry_after(httpx2.Response(429, headers={"Retry-After": header})) == wait


def test_an_answer_without_a_wait_names_none() -> None:
    assert retry_after(httpx2.Response(429)) is None


def test_a_date_is_measured_by_the_clock_of_the_answer() -> None:
    headers = {"Date": "Wed, 21 Oct 2015 07:28:00 GMT", "Retry-After": "Wed, 21 Oct 2015 07:30:00 GMT"}

    assert retry_after(httpx2.Response(503, headers=headers)) == timedelta(minutes=2)


def test_a_date_in_an_answer_without_a_clock_is_measured_by_ours() -> None:
    until = format_datetime(datetime.now(UTC) + timedelta(minutes=5), usegmt=True)
    wait = retry_after(httpx2.Response(503, headers={"Retry-After": until}))

    assert wait is not None
    assert timedelta(minutes=4) < wait <= timedelta(minutes=5)


def test_a_date_that_is_over_is_no_wait() -> None:
    assert retry_after(httpx2.Response(503, headers={"Retry-After": "Wed, 21 Oct 2015 07:28:00 -0000"})) == timedelta(0)


@pytest.mark.parametrize("content", [b"", b"<html>", b"[1]", b"null", b'"ok"', b"\xff\xfe\x00", b"[" * 100_000, b"{"])
def test_what_is_no_json_object_is_an_empty_one(content: bytes) -> None:
    assert json_object(httpx2.Response(502, content=content)) == {}


def test_a_json_object_is_read() -> None:
    assert json_object(httpx2.Response(200, json={"id": 7})) == {"id": 7}
