"""Our own publishers pass the conformance suite, and it tells every wrong publisher by what is wrong with it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from typing import ClassVar

import pytest
from fake_boards import FakeBoard, Journal
from lighthouse import FakeLighthouse, Lighthouse, OnTheLighthouse
from pinboard import KeyedPinboard, OnThePinboard, Pinboard
from puppets import raises, returns

from autoposter.publishers import AccountRejected, ContentRejected, NotReady, RateLimited, Transient
from autoposter.publishers.stub import Stub
from autoposter.testing import Lab, PublisherConformance, make_media, make_post, refuse
from autoposter.testing.publishers import FakeBlind, FakeFindable, FakeKeyed
from autoposter.testing.rules import not_ok, rate_limit, refuse_content, refuse_for_now, reject_token


class OnTheBoard(PublisherConformance):
    """What is known of the fake board."""

    fake = FakeBoard
    refusals: ClassVar = {
        AccountRejected: [reject_token()],
        ContentRejected: [refuse_content(), not_ok("content")],
        RateLimited: [rate_limit(), rate_limit("7"), rate_limit("date+7")],
        Transient: [refuse_for_now(), not_ok("later"), refuse(503, '{"error": "later"}', retry_after="7")],
    }
    installed = False
    drops = ("link", "media")


class TestFakeKeyed(OnTheBoard):
    publisher = FakeKeyed


class TestFakeFindable(OnTheBoard):
    publisher = FakeFindable


class TestFakeBlind(OnTheBoard):
    publisher = FakeBlind


class TestStub(PublisherConformance):
    publisher = Stub
    fake = Journal
    media = (make_media("image"), make_media("video"))
    drops = ("link", "media")


class TestPinboard(OnThePinboard):
    publisher = Pinboard


class TestKeyedPinboard(OnThePinboard):
    publisher = KeyedPinboard


class TestLighthouse(OnTheLighthouse):
    """The example of the docs."""


def test_a_suite_says_what_it_leaves_out_and_why() -> None:
    assert TestFakeKeyed.left_out["test_find_finds_what_went_out"] == "it has no find(), or is BLIND"
    assert TestFakeKeyed.test_find_finds_what_went_out is None
    assert TestKeyedPinboard.left_out == {
        "test_an_installed_plugin_brings_it": "it says that no installed plugin brings it",
        "test_choices_tell_one_account_from_another": "it has no choices()",
        "test_media_that_it_does_not_take_are_refused": "it takes `media`",
    }


def test_a_suite_that_says_too_little_is_told_so() -> None:
    with pytest.raises(TypeError, match="TestNothing must say `publisher"):
        type("TestNothing", (PublisherConformance,), {})


@pytest.mark.parametrize(
    ("prepare", "why"),
    [
        (raises(NotReady({}, 30)), "NotReady needs a timedelta, and has 30"),  # type: ignore[arg-type]  # meant
        (raises(NotReady({"a": {1}}, timedelta(0))), "must be JSON"),
        (returns({"a": "\ud800"}), "must be JSON"),
        (returns({"a": "\0"}), "contains NUL"),
        (returns({1: "a"}), "comes back from JSON as something else"),
    ],
)
def test_what_prepare_says_wrongly_is_told_as_it_is_prepared(prepare: Callable[..., object], why: str) -> None:
    publisher = type("Wrong", (Lighthouse,), {"prepare": prepare})

    with FakeLighthouse() as fake, pytest.raises(AssertionError, match=why):
        Lab(publisher, fake, make_post()).prepare(make_post())


def test_a_fake_platform_needs_no_pytest() -> None:
    script = "import sys, autoposter.testing.platform, autoposter.testing.publishers; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)

    assert "pytest" not in loaded.stdout.split()
