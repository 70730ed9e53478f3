"""Every code of the fact sheet: what it becomes in `prepare`, and in `publish`.  `pytest -s` prints the table."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from autoposter.publishers import (
    AccountRejected,
    ContentRejected,
    NotReady,
    OutcomeUnknown,
    PublishError,
    RateLimited,
    Transient,
)
from autoposter.testing import Lab, refuse
from fake_graph import error, error_body
from fake_instagram import FakeInstagram
from instagram_examples import KINDS, instagram

LETTERS = {
    "T": (Transient, NotReady),  # NotReady: another container is made
    "R": (RateLimited,),
    "A": (AccountRejected,),
    "C": (ContentRejected,),
    "U": (OutcomeUnknown,),
}

#: code, subcode, in prepare, in publish
SHEET = """
    -2 2207003 T U
    -2 2207020 T T
    -1 2207001 T U
    -1 2207032 T U
    -1 2207053 T U
    1 2207057 C C
    4 2207051 R U
    9 2207042 R R
    24 2207006 T U
    24 2207008 T T
    25 2207050 A A
    100 2207023 C C
    100 2207028 C C
    100 2207035 C C
    100 2207036 C C
    100 2207037 C C
    100 2207040 C C
    352 2207026 C C
    9004 2207052 T U
    9007 2207027 T T
    36000 2207004 C C
    36001 2207005 C C
    36003 2207009 C C
    36004 2207010 C C
    24 2207076 T U
    24 2207077 T U
    24 2207085 T U
    24 2207081 C C
    24 2207082 T U
    100 33 A A
    110 - C C
    36002 - C C
    36005 - C C
    36006 - C C
    36007 - C C
    24 2207024 C C
    1 - T U
    1 99 T U
    2 - T U
    4 - R R
    17 - R R
    32 - R R
    613 - R R
    80002 - R R
    80001 - R R
    341 - R R
    368 - R R
    102 - A A
    190 - A A
    190 458 A A
    190 459 A A
    190 460 A A
    190 463 A A
    190 464 A A
    190 467 A A
    190 490 A A
    190 492 A A
    3 - A A
    10 - A A
    200 - A A
    299 - A A
    104 - A A
    2500 - A A
    803 - A A
    100 - C C
    987654 - C U
"""
ROWS = [line.split() for line in SHEET.split("\n") if line.strip()]


def numbers(code: str, subcode: str) -> tuple[int, int | None]:
    return int(code), None if subcode == "-" else int(subcode)


Bench = tuple[FakeInstagram, Lab]


@pytest.fixture(scope="module")
def bench() -> Iterator[Bench]:
    """One fake for all of them: none publishes anything."""
    with instagram() as made:
        yield made


def in_prepare(bench: Bench, code: int, subcode: int | None, message: str = "Refused", **more: Any) -> PublishError:
    """What `prepare` raises when a container is refused so."""
    fake, lab = bench
    fake.instead["create"] = [error(code, subcode, message, **more)]
    with lab.at_work() as (publisher, _wire), pytest.raises(PublishError) as raised:
        publisher.prepare(lab.own(KINDS["photo"]), {})
    return raised.value


def in_publish(bench: Bench, code: int, subcode: int | None, message: str = "Refused", **more: Any) -> object:
    """What `publish` raises when its call is refused so."""
    _fake, lab = bench
    prepared = lab.prepare(own := lab.own(KINDS["photo"]))
    lab.follow(refuse(400, error_body(code, subcode, message, **more)))
    attempt = lab.attempt(own, prepared)
    lab.follow()
    return attempt.error


@pytest.mark.parametrize(("code", "subcode", "prepare", "publish"), ROWS, ids=["/".join(row[:2]) for row in ROWS])
def test_each_code_becomes_what_the_sheet_says(
    bench: Bench, code: str, subcode: str, prepare: str, publish: str
) -> None:
    before, during = in_prepare(bench, *numbers(code, subcode)), in_publish(bench, *numbers(code, subcode))

    print(f"\n{code}/{subcode}: {type(before).__name__}; {type(during).__name__}: {during}")
    assert isinstance(before, LETTERS[prepare]), before
    assert isinstance(during, LETTERS[publish]), during


@pytest.mark.parametrize(
    ("message", "letter"),
    [
        ("The user is not an Instagram Business Account", "A"),
        ("Not enough permissions to post", "A"),
        ("The session has been invalidated because the user changed the password", "A"),
        ("INSTAGRAM_PLATFORM_API__INVALID_LOCATION_ID", "C"),
    ],
)
def test_what_is_known_by_its_words_only(bench: Bench, message: str, letter: str) -> None:
    assert isinstance(in_prepare(bench, 999, None, message), LETTERS[letter])
    assert isinstance(in_publish(bench, 999, None, message), LETTERS[letter])


def test_a_passing_trouble_that_is_not_listed(bench: Bench) -> None:
    assert isinstance(in_prepare(bench, 999, None, is_transient=True), Transient)
    assert isinstance(in_publish(bench, 999, None, is_transient=True), OutcomeUnknown)


def test_an_error_tells_its_code_and_the_platforms_trace(bench: Bench) -> None:
    error = in_prepare(bench, 36001, 2207005, "The image format is not supported.")

    assert error.message == (
        "Instagram takes JPEG pictures only. The image format is not supported (code 36001/2207005, trace AbC1)."
    )
