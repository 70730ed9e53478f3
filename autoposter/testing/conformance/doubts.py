"""After an unknown outcome: finding it, or sending it again with its key."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from autoposter.publishers import ContentRejected, OutcomeUnknown, Post, PublishError, Receipt
from autoposter.testing.conformance.base import Conformance, needs
from autoposter.testing.fake import FakeServer
from autoposter.testing.lab import Attempt, Lab
from autoposter.testing.rules import Reply, Rule, accept_then, outage, refuse

LONG_AGO = timedelta(hours=1)


class DoubtTests(Conformance):
    """After an unknown outcome: finding it, or sending it again with its key."""

    def published(self, lab: Lab, post: Post, prepared: dict[str, object]) -> str:
        """Publish a post, with its answer lost where the fake can do that; its id on the platform."""
        before = len(lab.platform.published())
        if isinstance(lab.platform, FakeServer):
            lab.platform.listing_lag = timedelta(0)
            lab.follow(accept_then(Reply.RESET, times=1))
        attempt = lab.attempt(post, prepared)
        posts = lab.platform.published()
        assert len(posts) == before + 1, f"The platform shows {len(posts)} posts; it showed {before} before: {attempt}."
        return posts[-1].id

    @needs("find")
    def test_find_finds_what_went_out(self, lab: Lab) -> None:
        """By another process than the one that sent it: all it has is the post and what was prepared."""
        post = lab.post()
        prepared = lab.prepare(post)
        there = self.published(lab, post, prepared)
        found = lab.find(post, prepared)
        assert isinstance(found, Receipt), "It is there, and find() says that it is not: it would be sent again."
        assert found.platform_post_id == there, f"It is {there}, and find() says {found.platform_post_id}."

    @needs("find")
    def test_find_finds_nothing_where_nothing_went_out(self, lab: Lab) -> None:
        """None, and no error: nothing went out, and it can be sent again."""
        found = lab.find(lab.post())
        assert found is None, f"Nothing went out, and find() says {found}."

    @needs("find")
    def test_find_is_not_fooled_by_an_older_post_with_the_same_text(self, lab: Lab) -> None:
        """Shops say the same each Friday: look only since `attempted_at`."""
        self.published(lab, old := lab.post(), lab.prepare(old))
        lab.platform.age(LONG_AGO)
        assert lab.find(lab.post()) is None, "find() takes a post of an hour ago for the one that is looked for."

    @needs("find")
    def test_find_is_not_fooled_by_another_post(self, lab: Lab) -> None:
        """Somebody may have published something else in the meantime."""
        post = lab.post()
        prepared = lab.prepare(post)
        lab.find(post, prepared)
        other = lab.post(caption=lab.post().caption + " And more.")
        self.published(lab, other, lab.prepare(other))
        assert lab.find(post, prepared) is None, "find() takes another text for the one that is looked for."

    @needs("find")
    def test_find_does_not_choose_between_two_that_fit(self, lab: Lab) -> None:
        """Raise OutcomeUnknown, unless it can tell them apart."""
        posts = [lab.post(), lab.post()]
        prepared = [lab.prepare(post) for post in posts]
        for post in posts:
            lab.find(post, prepared[0])
        ids = [self.published(lab, post, ready) for post, ready in zip(posts, prepared, strict=True)]
        for post, ready, own in zip(posts, prepared, ids, strict=True):
            try:
                found = lab.find(post, ready)
            except OutcomeUnknown:
                continue
            assert found is not None and found.platform_post_id == own, "Of two that fit, find() picked the wrong one."

    @needs("find", "wire")
    @pytest.mark.parametrize(
        "rule",
        [
            outage(),
            refuse(500, "{}"),
            refuse(200, "<html>"),
            refuse(429, "{}"),
            accept_then(Reply.TRUNCATE),
        ],
        ids=["502", "500", "html", "429", "truncated"],
    )
    def test_find_does_not_take_trouble_for_absence(self, lab: Lab, rule: Rule) -> None:
        """Where the platform does not answer, raise: None would send the post a second time."""
        post = lab.post()
        prepared = lab.prepare(post)
        there = self.published(lab, post, prepared)
        lab.follow(rule.model_copy(update={"on": "other"}))
        try:
            found = lab.find(post, prepared)
        except Exception:
            return
        assert found is not None, "The platform gave no answer, and find() says that nothing went out."
        assert found.platform_post_id == there, f"It is {there}, and find() says {found.platform_post_id}."

    @needs("find", "refusals")
    def test_find_does_not_take_a_refused_question_for_a_refused_post(
        self, lab: Lab, refusal: tuple[type[PublishError], Rule]
    ) -> None:
        """ContentRejected says that the platform took the post and rejected it later; else raise another."""
        rule = refusal[1]
        if rule.status is None or rule.status < 400:
            return  # such an answer may mean something else where a listing is asked for
        post = lab.post()
        prepared = lab.prepare(post)
        there = self.published(lab, post, prepared)
        lab.follow(rule.model_copy(update={"on": "other"}))
        try:
            found = lab.find(post, prepared)
        except ContentRejected as error:
            pytest.fail(f"The post is out, and find() ends it as refused: {error}")
        except Exception:
            return
        assert found is not None, "The platform refused to answer, and find() says that nothing went out."
        assert found.platform_post_id == there, f"It is {there}, and find() says {found.platform_post_id}."

    @needs("find", "wire")
    def test_find_after_is_longer_than_the_listing_lags(self, lab: Lab) -> None:
        """`listing_lag` of the fake is the platform's; "not there" counts after `find_after`."""
        after, lag = self.publisher.find_after, lab.server.listing_lag
        assert after >= lag, f"A new post may be missing for {lag} (`listing_lag`); find_after is {after}: too early."

    @needs("find", "wire")
    def test_find_sends_no_publishing_request(self, lab: Lab) -> None:
        """It is asked many times."""
        post = lab.post()
        prepared = lab.prepare(post)
        before = lab.publishing_requests()
        lab.find(post, prepared)
        assert lab.publishing_requests() == before, "find() sends the publishing request."

    @needs("keys")
    def test_a_repeated_request_makes_no_second_post(self, lab: Lab) -> None:
        """KEYED: the same key, the same post, the same receipt."""
        post = lab.post()
        prepared = lab.prepare(post)
        attempts: list[Attempt] = [lab.attempt(post, prepared) for _ in range(2)]
        assert len(lab.platform.published()) == 1, "Sent twice with one key, it is out twice."
        assert attempts[0].platform_post_id == attempts[1].platform_post_id, f"The second time, {attempts[1]}."

    @needs("keys", "wire")
    def test_a_lost_answer_is_heard_by_sending_again(self, lab: Lab) -> None:
        """KEYED: that is how its outcome is found out."""
        post = lab.post()
        prepared = lab.prepare(post)
        there = self.published(lab, post, prepared)
        again = lab.attempt(post, prepared)
        assert len(lab.platform.published()) == 1, "Sent again after a lost answer, it is out twice."
        assert again.platform_post_id == there, f"Sent again after a lost answer, {again}."

    @needs("keys")
    def test_an_edited_post_is_another_one(self, lab: Lab) -> None:
        """Send `post.idempotency_key`, nothing of your own: it changes with the content."""
        post = lab.post()
        edited = replace(post, caption=post.caption + " Edited.", idempotency_key=post.idempotency_key + "-edited")
        for one in (post, edited):
            lab.attempt(one)
        texts = [published.text for published in lab.platform.published()]
        assert texts and texts[-1].endswith("Edited."), f"The edited post went out as {texts[-1:]}."
