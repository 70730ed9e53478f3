"""Media and posts for the tests of Facebook."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from autoposter.publishers import Media, NotReady, Post
from autoposter.testing import Lab, make_media, make_post
from autoposter_facebook.models import Options
from autoposter_facebook.publisher import Facebook
from fake_facebook import FakeFacebook

PICTURE = make_media("image", alt_text="The café from outside")
FILM = make_media("video", bytes(250_000), alt_text="", width=1080, height=1920)

CAPTION = "We are open."
LINK = "https://cafe.example/menu"


def post(*media: Media, caption: str = CAPTION, link: str | None = None, **options: Any) -> Post:
    """A post with these media."""
    return make_post(caption, media=media, link=link, options=Options.model_validate(options))


STORY = replace(PICTURE, alt_text="")

KINDS = {
    "text": post(),
    "link": post(link=LINK),
    "photo": post(PICTURE),
    "photos": post(PICTURE, PICTURE, PICTURE),
    "video": post(FILM),
    "reel": post(FILM, kind="reel"),
    "photo story": post(STORY, caption="", kind="story"),
    "video story": post(FILM, caption="", kind="story"),
}


@contextmanager
def facebook() -> Iterator[tuple[FakeFacebook, Lab]]:
    """A fake and what works on it."""
    with FakeFacebook() as fake:
        fake.listing_lag = fake.listing_lag * 0
        yield fake, Lab(Facebook, fake, KINDS["text"])
        assert fake.troubles == []


def step(lab: Lab, post: Post, prepared: dict[str, Any] | None = None) -> dict[str, Any]:
    """One call of `prepare`; what is kept of it, ready or not."""
    with lab.at_work() as (publisher, _wire):
        try:
            return publisher.prepare(post, prepared or {})
        except NotReady as not_ready:
            return not_ready.prepared


def requests(fake: FakeFacebook) -> list[str]:
    """Every request so far, as a person reads them: the numbers of uploads are counted from 1."""
    lines = []
    for request in fake.requests:
        path = request["path"]
        for name in fake.uploads:
            path = path.replace(name, f"<upload {int(name[2:])}>")
        lines.append(f"{request['method']} {path}")
    return lines
