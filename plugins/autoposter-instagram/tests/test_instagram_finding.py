"""After an unknown outcome: the container, then the listing."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from autoposter.publishers import OutcomeUnknown, Post, Receipt
from autoposter.testing import Lab, Reply, accept_then, accept_then_answer
from fake_graph import error_body
from instagram_examples import KINDS, instagram, post


def lost(lab: Lab, own: Post) -> dict:
    """Publish with the answer lost; what was prepared."""
    prepared = lab.prepare(own)
    lab.follow(accept_then(Reply.RESET))
    assert lab.attempt(own, prepared).is_unknown
    lab.follow()
    return prepared


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_is_found(kind: str) -> None:
    with instagram() as (fake, lab):
        own = lab.own(KINDS[kind])

        found = lab.find(own, lost(lab, own))

        assert found is not None and found.platform_post_id == fake.published()[0].id
        assert found.permalink and found.permalink.startswith("https://www.instagram.com/")


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (400, error_body(4, 2207051)),
        (400, error_body(-1, 2207001)),
        (500, error_body(2)),
        (400, error_body(24, 2207006)),
    ],
)
def test_an_answer_that_was_given_to_published_posts_is_looked_into(status: int, body: str) -> None:
    with instagram() as (fake, lab):
        own = lab.own(KINDS["photo"])
        prepared = lab.prepare(own)
        lab.follow(accept_then_answer(status, body))

        assert lab.attempt(own, prepared).is_unknown
        lab.follow()
        assert lab.find(own, prepared) == Receipt(
            fake.published()[0].id, f"https://www.instagram.com/p/{fake.published()[0].id}/"
        )


def test_a_finished_container_was_not_published() -> None:
    with instagram() as (_fake, lab):
        own = lab.own(KINDS["photo"])

        assert lab.find(own, lab.prepare(own)) is None


def test_a_published_post_that_is_not_listed_yet_is_unknown() -> None:
    with instagram() as (fake, lab):
        own = lab.own(KINDS["photo"])
        fake.listing_lag = timedelta(minutes=1)

        with pytest.raises(OutcomeUnknown, match="not listed yet"):
            lab.find(own, lost(lab, own))


def test_a_published_post_that_is_never_listed_is_called_by_its_container() -> None:
    with instagram() as (fake, lab):
        own = lab.own(KINDS["photo"])
        prepared = lost(lab, own)
        fake.listing_lag = timedelta(days=1)
        long_ago = replace(own, attempted_at=datetime.now(UTC) - timedelta(minutes=16))

        with lab.at_work() as (publisher, _wire):
            found = publisher.find(long_ago, prepared)

        assert found == Receipt(f"container:{prepared['creation']['id']}")


def test_a_container_that_cannot_be_read_is_looked_for_in_the_listing() -> None:
    with instagram() as (fake, lab):
        own = lab.own(KINDS["photo"])
        prepared = lost(lab, own)
        fake.hidden = True

        found = lab.find(own, prepared)

        assert found is not None and found.platform_post_id == fake.published()[0].id


def test_a_text_that_the_platform_has_tidied_is_recognised() -> None:
    with instagram() as (fake, lab):
        own = lab.own(post(caption="Cafe\u0301 \r\n\r\n\r\n\r\nopen\n"))
        prepared = lost(lab, own)
        fake.tidy = lambda text: "Café\n\nopen"

        assert lab.find(own, prepared)


def test_a_text_of_which_only_the_beginning_is_left_is_recognised() -> None:
    with instagram() as (fake, lab):
        own = lab.own(post(caption="word " * 100))
        prepared = lost(lab, own)
        fake.tidy = lambda text: text[:300] + "..."

        assert lab.find(own, prepared)


def test_another_kind_with_the_same_text_is_none() -> None:
    with instagram() as (fake, lab):
        lost(lab, lab.own(KINDS["reel"]))
        own = lab.own(KINDS["photo"])
        prepared = lab.prepare(own)
        fake.hidden = True

        assert lab.find(own, prepared) is None


def test_a_listing_of_several_pages_is_read_to_where_it_is_too_old() -> None:
    with instagram() as (fake, lab):
        own = lab.own(KINDS["photo"])
        prepared = lost(lab, own)
        for _ in range(30):
            fake.kinds[fake.publish("Another one").id] = "IMAGE"

        found = lab.find(own, prepared)

        assert found is not None and found.platform_post_id == fake.published()[0].id
