"""Our own publishers pass the conformance suite, and it tells every wrong publisher by what is wrong with it."""

from __future__ import annotations

from typing import ClassVar

from fake_boards import FakeBoard, Journal

from autoposter.publishers import AccountRejected, ContentRejected, RateLimited, Transient
from autoposter.publishers.stub import Stub
from autoposter.testing import PublisherConformance, make_media, refuse
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
