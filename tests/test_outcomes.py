"""What a publisher raised, in words that may be kept and shown."""

from __future__ import annotations

import logging

import httpx2
import pytest

from autoposter.outcomes import log_trace, trouble


def refused_at(url: str) -> httpx2.HTTPStatusError:
    """What `raise_for_status` says of an answer from there."""
    try:
        httpx2.Response(400, request=httpx2.Request("POST", url)).raise_for_status()
    except httpx2.HTTPStatusError as error:
        return error
    raise AssertionError


ADDRESSES = [
    ("https://api.example/v1/me?access_token=a-fresh-token", "https://api.example/v1/me?***"),
    ("https://api.example?access_token=a-fresh-token#top", "https://api.example?***#top"),
    ("https://shop:a-fresh-token@api.example/v1/me", "https://api.example/v1/me"),
    ("https://api.example/v1/me", "https://api.example/v1/me"),
]


@pytest.mark.parametrize(("url", "shown"), ADDRESSES)
def test_an_http_error_tells_the_address_without_what_may_be_a_token(
    url: str, shown: str, caplog: pytest.LogCaptureFixture
) -> None:
    error = refused_at(url)  # with a token that was got a moment ago: nobody has told us that it is a secret

    said = trouble(error, ())
    with caplog.at_level(logging.DEBUG):
        log_trace(error, (), "it failed")

    assert said.startswith(f"HTTPStatusError: Client error '400 Bad Request' for url '{shown}'")
    assert "a-fresh-token" not in said + caplog.text and shown in caplog.text


def test_a_lost_answer_is_one_line_and_its_trace_is_for_debug(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        log_trace(httpx2.ReadTimeout("no answer within 60 s"), (), "post %s: its publisher failed in the call", 7)

    told = [(record.levelname, record.getMessage()) for record in caplog.records]
    assert told[0] == ("WARNING", "post 7: its publisher failed in the call: ReadTimeout: no answer within 60 s")
    assert [level for level, _ in told] == ["WARNING", "DEBUG"] and "ReadTimeout" in told[1][1]
