"""`publish`: one irreversible call, and an honest receipt."""

from __future__ import annotations

import contextlib
import json
from datetime import timedelta
from urllib.parse import quote, quote_plus, urlsplit

from autoposter.publishers import Receipt
from autoposter.publishers.base import overrides
from autoposter.testing.conformance.base import Conformance, can_find, needs
from autoposter.testing.conformance.validation import problems
from autoposter.testing.lab import Lab
from autoposter.testing.rules import slow

LINK = "https://shop.example/menu?day=friday&for=2"


class CallTests(Conformance):
    """`publish`: one irreversible call, and an honest receipt."""

    def test_a_post_is_published_once(self, lab: Lab) -> None:
        """With the platform's own id of it in the receipt, as text."""
        attempt = lab.attempt(lab.post())
        assert attempt.platform_post_id, f"An ordinary post: {attempt}."
        shown = len(lab.platform.published())
        assert shown == 1, f"One post was published, and the platform shows {shown}."
        assert lab.held(attempt.platform_post_id), f"The platform has no post {attempt.platform_post_id!r}."

    def test_a_receipt_has_a_text_as_id_and_an_address(self, lab: Lab) -> None:
        """Numbers lose digits, and an address that cannot be opened helps nobody."""
        post = lab.post()
        prepared = lab.prepare(post)
        with lab.at_work() as (publisher, _wire):
            receipt = publisher.publish(post, prepared)
        assert isinstance(receipt, Receipt), f"publish() returned {type(receipt).__name__}; it must return a Receipt."
        kind = type(receipt.platform_post_id).__name__
        assert kind == "str", f"platform_post_id is {kind}, and must be str."
        if receipt.permalink is not None:
            parts = urlsplit(receipt.permalink)
            assert parts.scheme in ("http", "https") and parts.netloc, f"{receipt.permalink!r} is no web address."

    def test_the_caption_arrives_whole(self, lab: Lab) -> None:
        """Quotes, line ends and emoji too."""
        post = lab.post()
        attempt = lab.attempt(post)
        texts = [published.text for published in lab.platform.published()]
        assert texts, f"Nothing is published: {attempt}."
        assert post.caption in texts[-1], f"The caption is {post.caption!r}, and what is published says {texts[-1]!r}."

    @needs("link", "wire")
    def test_a_link_is_published_or_refused(self, lab: Lab) -> None:
        """It must not be dropped without a word: send it, or let `validate` refuse it."""
        post = lab.post(link=LINK)
        if problems(lab, post):
            return
        lab.attempt(post)
        sent = b"\n".join(lab.server.received)
        forms = {LINK, quote(LINK), quote(LINK, safe=""), quote_plus(LINK), json.dumps(LINK)[1:-1]}
        assert any(form.encode() in sent for form in forms), "The post's link is in no request."

    @needs("wire")
    def test_publish_makes_one_irreversible_call(self, lab: Lab) -> None:
        """Everything else is GET or HEAD; what can be done before belongs into `prepare`."""
        attempt = lab.attempt(lab.post())
        writes = attempt.writes
        assert len(writes) == 1, f"publish() makes {len(writes)} requests that are not GET or HEAD: {writes}"
        assert lab.publishing_requests() == 1, "None of its requests reaches a route of the fake marked @publishes."

    @needs("wire")
    def test_every_request_goes_through_the_client_it_was_handed(self, lab: Lab) -> None:
        """Only there the fence stands, and the deadline."""
        post = lab.post()
        prepared = lab.prepare(post)
        before = len(lab.server.requests)
        attempt = lab.attempt(post, prepared)
        assert len(lab.server.requests) - before == len(attempt.calls), "Some requests do not go through self.http."

    def test_only_publish_publishes(self, lab: Lab) -> None:
        """Not making it, not validate, prepare, find or check."""
        post = lab.post()
        problems(lab, post)
        prepared = lab.prepare(post)
        with contextlib.suppress(Exception):
            if can_find(self.publisher):
                lab.find(post, prepared)
        with contextlib.suppress(Exception):
            if overrides(self.publisher, "check"):
                lab.check()
        assert list(lab.platform.published()) == [], "Something is published before publish() is called."

    @needs("wire")
    def test_a_slow_answer_is_waited_for(self, lab: Lab) -> None:
        """The core ends the call when `publish_timeout` is over; until then an answer may come."""
        post = lab.post()
        prepared = lab.prepare(post)
        lab.follow(slow(300))
        attempt = lab.attempt(post, prepared)
        assert attempt.platform_post_id, f"The answer took 300 ms, and {attempt}."

    def test_the_pause_that_it_asks_for_is_a_time(self, lab: Lab) -> None:
        """None, or longer than nothing; said without a request."""
        post = lab.post()
        prepared = lab.prepare(post)
        with lab.at_work() as (publisher, wire):
            publisher.publish(post, prepared)
            calls = len(wire.evidence["calls"])
            asked = publisher.pause()
            assert asked is None or (isinstance(asked, timedelta) and asked > timedelta(0)), f"pause() says {asked!r}."
            assert len(wire.evidence["calls"]) == calls, "pause() sends requests."

    def test_two_posts_are_two(self, lab: Lab) -> None:
        """Also with the same text: their owner wants both."""
        ids = {lab.attempt(lab.post()).platform_post_id for _ in range(2)}
        shown = len(lab.platform.published())
        assert shown == 2, f"Two posts with the same text were published, and the platform shows {shown}."
        assert None not in ids and len(ids) == 2, f"Two posts are out, and their receipts say {ids}."
