"""Every code of the fact sheet: what it becomes in `prepare`, and in `publish`.  `pytest -s` prints the table."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from autoposter.publishers import (
    AccountRejected,
    ContentRejected,
    OutcomeUnknown,
    PublishError,
    RateLimited,
    Transient,
)
from autoposter.testing import Lab, refuse
from facebook_examples import KINDS, facebook
from fake_facebook import FakeFacebook
from fake_graph import error, error_body

LETTERS = {"T": Transient, "R": RateLimited, "A": AccountRejected, "C": ContentRejected, "U": OutcomeUnknown}

#: code, subcode, in prepare, in publish
SHEET = """
    1 - T U
    1 99 T U
    2 - T U
    4 - R R
    17 - R R
    32 - R R
    613 - R R
    80001 - R R
    80002 - R R
    341 - R R
    368 - R R
    506 - C C
    999 1390008 R R
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
    10 - A A
    200 - A A
    299 - A A
    3 - A A
    283 - A A
    104 - A A
    2500 - A A
    100 33 A A
    100 - C C
    803 - A A
    324 - C C
    1 1366046 C C
    1 2069019 C C
    389 - T T
    6000 - C C
    6001 - T T
    382 - C C
    1 1363040 C C
    1 1363127 C C
    1 1363128 C C
    1 1363129 C C
    1 1609005 C C
    1 1609008 C C
    1 2061006 C C
    1 1346003 C C
    1 1404102 C C
    1 1404006 A A
    1 1404112 A A
    1 1404078 A A
    1 4854002 A A
    1 1366051 C C
    1 1363047 T U
    1 1609010 T U
    987654 - C U
"""
ROWS = [line.split() for line in SHEET.split("\n") if line.strip()]

Bench = tuple[FakeFacebook, Lab]


@pytest.fixture(scope="module")
def bench() -> Iterator[Bench]:
    """One fake for all of them: none publishes anything."""
    with facebook() as made:
        yield made


def numbers(code: str, subcode: str) -> tuple[int, int | None]:
    return int(code), None if subcode == "-" else int(subcode)


def in_prepare(bench: Bench, code: int, subcode: int | None, message: str = "Refused", **more: Any) -> PublishError:
    """What `prepare` raises when a photo is refused so."""
    fake, lab = bench
    fake.instead["photos"] = [error(code, subcode, message, **more)]
    with lab.at_work() as (publisher, _wire), pytest.raises(PublishError) as raised:
        publisher.prepare(lab.own(KINDS["photo"]), {})
    return raised.value


def in_publish(bench: Bench, code: int, subcode: int | None, message: str = "Refused", **more: Any) -> object:
    """What `publish` raises when its call is refused so."""
    _fake, lab = bench
    lab.follow(refuse(400, error_body(code, subcode, message, **more)))
    attempt = lab.attempt(lab.own(KINDS["text"]), {})
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


@pytest.mark.parametrize("message", ["Duplicate status message", "This content was already posted"])
def test_a_block_for_a_repetition_is_the_contents_fault(bench: Bench, message: str) -> None:
    assert isinstance(in_publish(bench, 368, None, message), ContentRejected)


def test_a_passing_trouble_that_is_not_listed(bench: Bench) -> None:
    assert isinstance(in_prepare(bench, 999, None, is_transient=True), Transient)
    assert isinstance(in_publish(bench, 999, None, is_transient=True), OutcomeUnknown)
