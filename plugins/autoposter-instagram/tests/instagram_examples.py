"""Media and posts for the tests of Instagram."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from autoposter.publishers import ContentRejected, Media, NotReady, Post
from autoposter.testing import Lab, make_media, make_post
from autoposter_instagram.models import Options
from autoposter_instagram.publisher import Instagram
from fake_instagram import FakeInstagram

PICTURE = make_media("image", mime_type="image/jpeg", public_url="https://media.example/picture.jpg")
FILM = make_media("video", alt_text="", width=1080, height=1920)

CAPTION = "We are open."


def nowhere() -> str:
    """The address of a file that has none."""
    raise ContentRejected("film.mp4 has no public address: set AUTOPOSTER_MEDIA_BASE_URL.")


#: A film that has to be uploaded.
FILE = replace(FILM, _public_url=nowhere)


def post(*media: Media, caption: str = CAPTION, **options: Any) -> Post:
    """A post with these media."""
    return make_post(caption, media=media or [PICTURE], options=Options.model_validate(options))


KINDS = {
    "photo": post(PICTURE),
    "reel": post(FILM),
    "reel from a file": post(FILE),
    "photo story": post(replace(PICTURE, alt_text=""), caption="", kind="story"),
    "video story": post(FILM, caption="", kind="story"),
    "carousel": post(PICTURE, FILM, PICTURE),
    "carousel with a file": post(PICTURE, FILE),
}


@contextmanager
def instagram() -> Iterator[tuple[FakeInstagram, Lab]]:
    """A fake and what works on it."""
    with FakeInstagram() as fake:
        fake.listing_lag = fake.listing_lag * 0
        yield fake, Lab(Instagram, fake, KINDS["photo"])
        assert fake.troubles == []


def step(lab: Lab, post: Post, prepared: dict[str, Any] | None = None) -> dict[str, Any]:
    """One call of `prepare`; what is kept of it, ready or not."""
    with lab.at_work() as (publisher, _wire):
        try:
            return publisher.prepare(post, prepared or {})
        except NotReady as not_ready:
            return not_ready.prepared


def requests(fake: FakeInstagram) -> list[str]:
    """Every request so far, as a person reads them: the container's numbers are left out."""
    lines = []
    for request in fake.requests:
        path = request["path"]
        for name in sorted(fake.containers, reverse=True):
            path = path.replace(name, f"<container {int(name[4:])}>")
        for published in fake.published():
            path = path.replace(published.id, "<post>")
        lines.append(f"{request['method']} {path}")
    return lines
