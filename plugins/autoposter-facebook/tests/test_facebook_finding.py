"""After an unknown outcome: by the ids of the media, or by the text."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from autoposter.publishers import ContentRejected, OutcomeUnknown, Post
from autoposter.testing import Lab, Reply, accept_then, accept_then_answer, refuse
from facebook_examples import KINDS, LINK, facebook, post
from fake_graph import error_body


def lost(lab: Lab, own: Post) -> dict:
    """Publish with the answer lost; what was prepared."""
    prepared = lab.prepare(own)
    lab.follow(accept_then(Reply.RESET))
    assert lab.attempt(own, prepared).is_unknown
    lab.follow()
    return prepared


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_is_found(kind: str) -> None:
    with facebook() as (fake, lab):
        own = lab.own(KINDS[kind])

        found = lab.find(own, lost(lab, own))

        assert found is not None and found.platform_post_id == fake.published()[0].id
        assert found.permalink and found.permalink.startswith("https://")


@pytest.mark.parametrize("kind", KINDS)
def test_what_was_not_published_is_not_found(kind: str) -> None:
    with facebook() as (_fake, lab):
        own = lab.own(KINDS[kind])

        assert lab.find(own, lab.prepare(own)) is None


@pytest.mark.parametrize("kind", ["photo", "photos", "reel", "video", "photo story", "video story"])
def test_what_has_ids_is_told_from_its_twin(kind: str) -> None:
    with facebook() as (fake, lab):
        twins = [lab.own(KINDS[kind]) for _ in range(2)]
        prepared = [lost(lab, one) for one in twins]

        found = [lab.find(one, ready) for one, ready in zip(twins, prepared, strict=True)]

        assert [one.platform_post_id for one in found if one] == [published.id for published in fake.published()]


def test_a_link_alone_is_told_by_its_address() -> None:
    with facebook() as (fake, lab):
        other, own = lab.own(post(caption="", link=LINK + "?b")), lab.own(post(caption="", link=LINK))
        lost(lab, other)

        found = lab.find(own, lost(lab, own))

        assert found is not None and found.platform_post_id == fake.published()[1].id


@pytest.mark.parametrize(
    ("status", "body"), [(500, error_body(2)), (400, error_body(1, 99)), (400, error_body(987654))]
)
def test_an_answer_that_was_given_to_published_posts_is_looked_into(status: int, body: str) -> None:
    with facebook() as (fake, lab):
        own = lab.own(KINDS["text"])
        lab.follow(accept_then_answer(status, body))

        assert lab.attempt(own, {}).is_unknown
        lab.follow()
        assert lab.find(own, {}).platform_post_id == fake.published()[0].id


@pytest.mark.parametrize("body", [error_body(506), error_body(1, 1366051)])
def test_a_repetition_that_is_refused_is_the_contents_fault_at_first_and_then_a_doubt(body: str) -> None:
    with facebook() as (_fake, lab):
        own = lab.own(KINDS["text"])
        lab.follow(refuse(400, body))

        assert lab.attempt(own, {}).kind == "content"
        assert lab.attempt(replace(own, attempted_at=datetime.now(UTC)), {}).is_unknown


def test_a_video_that_was_taken_and_then_refused_is_told() -> None:
    with facebook() as (fake, lab):
        own = lab.own(KINDS["reel"])
        prepared = lab.prepare(own)
        next(iter(fake.uploads.values())).refused = "Copyright."

        with pytest.raises(ContentRejected, match="did not publish it: Copyright"):
            lab.find(own, prepared)


def test_a_video_that_is_not_shown_is_unknown() -> None:
    with facebook() as (fake, lab):
        own = lab.own(KINDS["reel"])
        prepared = lab.prepare(own)
        fake.uploads.clear()

        with pytest.raises(Exception, match="100/33"):
            lab.find(own, prepared)


def test_two_posts_of_one_text_are_not_told_apart() -> None:
    with facebook() as (_fake, lab):
        first, second = lab.own(KINDS["text"]), lab.own(KINDS["text"])
        lab.find(second, {})
        lost(lab, first)
        lost(lab, second)

        with pytest.raises(OutcomeUnknown, match="2 posts of the Page fit"):
            lab.find(second, {})


def test_a_listing_that_lags_says_not_there_before_find_after_only() -> None:
    with facebook() as (fake, lab):
        fake.listing_lag = timedelta(minutes=1)
        own = lab.own(KINDS["text"])

        assert lab.find(own, lost(lab, own)) is None
        assert lab.kind.find_after > fake.listing_lag
