"""Every kind of post, with its requests in their order.  `pytest -s` prints them."""

from __future__ import annotations

import pytest

from fake_instagram import FakeInstagram
from instagram_examples import KINDS, instagram, post, requests, step

I = "/v25.0/17841400000000000"  # noqa: E741 # as the fact sheet calls it
MAKE, PUBLISH, SEE = f"POST {I}/media", f"POST {I}/media_publish", "GET /v25.0/<post>"


def ask(*numbers: int) -> list[str]:
    """The state of these containers."""
    return [f"GET /v25.0/<container {number}>" for number in numbers]


def upload(number: int) -> str:
    """The bytes of a video."""
    return f"POST /ig-api-upload/v25.0/<container {number}>"


#: The fake says IN_PROGRESS once to each container.
ORDER = {
    "photo": [MAKE, *ask(1, 1), PUBLISH, SEE],
    "reel": [MAKE, *ask(1, 1), PUBLISH, SEE],
    "reel from a file": [MAKE, upload(1), *ask(1, 1), PUBLISH, SEE],
    "photo story": [MAKE, *ask(1, 1), PUBLISH, SEE],
    "video story": [MAKE, *ask(1, 1), PUBLISH, SEE],
    "carousel": [MAKE, MAKE, MAKE, *ask(1, 2, 3, 1, 2, 3), MAKE, *ask(4, 4), PUBLISH, SEE],
    "carousel with a file": [MAKE, MAKE, upload(2), *ask(1, 2, 1, 2), MAKE, *ask(3, 3), PUBLISH, SEE],
}


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_is_made_ready_and_published_by_one_request(kind: str) -> None:
    with instagram() as (fake, lab):
        prepared = lab.prepare(own := lab.own(KINDS[kind]))
        assert fake.published() == ()

        attempt = lab.attempt(own, prepared)

        print(f"\n{kind}\n  " + "\n  ".join(requests(fake)))
        assert requests(fake) == ORDER[kind]
        assert [attempt.platform_post_id] == [published.id for published in fake.published()]
        assert attempt.writes == [f"POST {I}/media_publish"]


def test_what_a_post_asks_for_arrives() -> None:
    tag = {"username": "cafe", "x": 0.5, "y": 0.25}
    asked = {"collaborators": ["baker", "butcher"], "user_tags": [tag], "location_id": "77"}
    with instagram() as (fake, lab):
        lab.prepare(lab.own(post(caption="#open & free", **asked)))

        sent = fake.received[0].decode()

    for text in ("caption=%23open+%26+free", "location_id=77", "alt_text=The+shop+from+outside"):
        assert text in sent
    for text in ("baker", "butcher", "cafe", "0.25"):
        assert text in sent


def test_the_children_of_a_carousel_keep_their_order() -> None:
    with instagram() as (fake, lab):
        lab.prepare(lab.own(KINDS["carousel"]))

        *children, carousel = fake.containers.values()

    assert carousel.children == [child.id for child in children]
    assert [child.kind for child in children] == ["IMAGE", "VIDEO", "IMAGE"]


def test_a_carousel_is_made_when_all_its_children_are_ready() -> None:
    with instagram() as (fake, lab):
        fake.asks_until_finished = 2
        own, prepared = lab.own(KINDS["carousel"]), {}

        for _ in range(3):
            assert len(fake.containers) in (0, 3)
            prepared = step(lab, own, prepared)

        assert [container.kind for container in fake.containers.values()][3:] == ["CAROUSEL"]


def test_the_token_stays_out_of_addresses() -> None:
    with instagram() as (fake, lab):
        lab.attempt(lab.own(KINDS["reel from a file"]))

        told = b"".join(fake.received).decode("latin-1")

    assert FakeInstagram.credentials["access_token"] not in told
