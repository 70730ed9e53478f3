"""Every kind of post, with its requests in their order.  `pytest -s` prints them."""

from __future__ import annotations

import pytest

from facebook_examples import KINDS, LINK, facebook, requests
from fake_facebook import FakeFacebook

P = "/v25.0/104200000000001"
FEED, PHOTO, VIDEOS, REELS, STORIES = (
    f"POST {P}/{edge}" for edge in ("feed", "photos", "videos", "video_reels", "video_stories")
)
BYTES, STATE = "POST /video-upload/v25.0/<upload 1>", "GET /v25.0/<upload 1>"

ORDER = {
    "text": [FEED],
    "link": [FEED],
    "photo": [PHOTO, FEED],
    "photos": [PHOTO, PHOTO, PHOTO, FEED],
    "video": [VIDEOS, VIDEOS, VIDEOS, VIDEOS, VIDEOS, STATE],
    "reel": [REELS, BYTES, STATE, REELS, STATE],
    "photo story": [PHOTO, f"POST {P}/photo_stories"],
    "video story": [STORIES, BYTES, STATE, STORIES, STATE],
}
#: A start, three pieces and a finish.
IRREVERSIBLE = {"video": VIDEOS, "reel": REELS, "video story": STORIES, "photo story": f"POST {P}/photo_stories"}


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_is_made_ready_and_published_by_one_request(kind: str) -> None:
    with facebook() as (fake, lab):
        prepared = lab.prepare(own := lab.own(KINDS[kind]))
        assert fake.published() == ()

        attempt = lab.attempt(own, prepared)

        print(f"\n{kind}\n  " + "\n  ".join(requests(fake)))
        assert requests(fake) == ORDER[kind]
        assert [attempt.platform_post_id] == [published.id for published in fake.published()]
        assert attempt.writes == [IRREVERSIBLE.get(kind, FEED)]


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_is_shown_as_it_was_meant(kind: str) -> None:
    with facebook() as (fake, lab):
        lab.attempt(lab.own(KINDS[kind]))

        ((name, shown),) = fake.shown.items()

    expected = {"photo": "photos", "photo story": "story", "video story": "story"}.get(kind, kind)
    assert (shown.kind, len(shown.uploads)) == (expected, len(KINDS[kind].media))
    assert shown.link == (LINK if kind == "link" else "")
    assert all(fake.uploads[upload].used for upload in shown.uploads), name


def test_the_alt_text_of_a_photo_arrives() -> None:
    with facebook() as (fake, lab):
        lab.prepare(lab.own(KINDS["photo"]))

        (photo,) = fake.uploads.values()

    assert photo.alt_text == "The café from outside"


def test_the_permalink_is_a_whole_address() -> None:
    for kind, address in (
        ("text", f"https://www.facebook.com/{P[7:]}_1"),
        ("reel", "https://www.facebook.com/reel/55000001/"),
    ):
        with facebook() as (_fake, lab):
            own = lab.own(KINDS[kind])
            prepared = lab.prepare(own)
            with lab.at_work() as (publisher, _wire):
                assert publisher.publish(own, prepared).permalink == address


def test_the_token_stays_out_of_addresses_and_bodies() -> None:
    for kind in KINDS:
        with facebook() as (fake, lab):
            lab.attempt(lab.own(KINDS[kind]))

            told = b"".join(fake.received).decode("latin-1")

        assert FakeFacebook.credentials["access_token"] not in told
