"""`prepare`: a cache of what was uploaded, never more."""

from __future__ import annotations

from typing import Any

import pytest

from autoposter.lifecycle import ErrorKind, Reach
from autoposter.outcomes import before_the_call
from autoposter.publishers import NotReady, Post
from autoposter.testing.conformance.base import Conformance, needs
from autoposter.testing.lab import Lab
from autoposter.testing.rules import Rule, outage, refuse

#: What is kept of a post is no longer than this, as JSON.
LARGEST_PREPARED = 100_000  # characters


class PreparationTests(Conformance):
    """`prepare`: a cache of what was uploaded, never more."""

    def full(self, lab: Lab) -> Post:
        """The post that gives `prepare` the most to do."""
        return lab.post(media=(*lab.post().media, *self.media[:1]))

    @needs("prepare")
    def test_what_is_prepared_is_small_json(self, lab: Lab) -> None:
        """It is kept in a row, and comes back from there."""
        size = len(str(lab.prepare(self.full(lab))))
        assert size < LARGEST_PREPARED, f"It has {size:,} characters; a row keeps {LARGEST_PREPARED:,}."

    @needs("prepare")
    def test_preparing_publishes_nothing(self, lab: Lab) -> None:
        """It runs ahead of the due time, and again whenever it was lost."""
        lab.prepare(self.full(lab))
        shown = list(lab.platform.published())
        assert shown == [], f"prepare() has published: {shown}"

    @needs("prepare")
    def test_preparing_may_be_repeated_from_the_beginning(self, lab: Lab) -> None:
        """What was prepared may be lost; that costs time only."""
        post = self.full(lab)
        lab.prepare(post)
        attempt = lab.attempt(post, lab.prepare(post))
        assert attempt.platform_post_id, f"Prepared twice, {attempt}."
        shown = len(lab.platform.published())
        assert shown == 1, f"Prepared twice and published once, the platform shows {shown} posts."

    @needs("prepare", "wire")
    def test_what_is_ready_is_not_uploaded_again(self, lab: Lab) -> None:
        """An attempt calls it once more right before the due time: it must be quick then."""
        post = self.full(lab)
        prepared = lab.prepare(post)
        before = _writes(lab)
        lab.prepare(post, prepared)
        assert _writes(lab) == before, "prepare() uploads again what it had prepared."

    @needs("prepare")
    def test_preparing_goes_by_what_it_was_handed_only(self, lab: Lab) -> None:
        """Two posts in turn, each with its own: no state is left on the class."""
        posts = [self.full(lab), self.full(lab)]
        prepared = [lab.prepare(post) for post in posts]
        attempts = [lab.attempt(post, ready) for post, ready in zip(posts, prepared, strict=True)]
        for attempt in attempts:
            assert attempt.platform_post_id, f"Two posts were prepared before the first went out: {attempt}."
        shown = len(lab.platform.published())
        assert shown == 2, f"Two posts were published, and the platform shows {shown}."

    @needs("prepare", "wire")
    @pytest.mark.parametrize("rule", [outage(times=1), refuse(500, "{}", times=1)], ids=["502", "500"])
    def test_trouble_while_preparing_is_no_lasting_failure(self, lab: Lab, rule: Rule) -> None:
        """Nothing is published yet: let a 5xx pass as it is, or raise Transient.  Then it goes on."""
        post = self.full(lab)
        lab.follow(rule.model_copy(update={"on": "other"}))
        error = _error(lab, post, {})
        if error is not None:
            refused = before_the_call(error, lab.secrets)
            assert refused.kind is not ErrorKind.BUG, f"A broken platform ends the post as a bug: {refused.message}"
            assert refused.kind is ErrorKind.TRANSIENT, f"A broken platform ends the post as {refused.kind}."
        lab.follow()
        assert lab.attempt(post).platform_post_id, "After the trouble it must go on."

    @needs("prepare", "wire")
    def test_preparing_leaves_the_publishing_request_alone(self, lab: Lab) -> None:
        """Exactly one irreversible call, and only in publish()."""
        lab.prepare(self.full(lab))
        assert lab.publishing_requests() == 0, "prepare() sends the publishing request."


def _writes(lab: Lab) -> int:
    return sum(request["method"] not in ("GET", "HEAD") for request in lab.server.requests)


def _error(lab: Lab, post: Post, prepared: dict[str, Any]) -> BaseException | None:
    with lab.at_work() as (publisher, wire):
        try:
            publisher.prepare(post, prepared)
        except NotReady:
            return None
        except Exception as error:
            return error
        finally:
            assert wire.record.reach is Reach.NEVER_BEGUN
    return None
