"""The publisher keeps autoposter's contract."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import ClassVar

from autoposter.publishers import AccountRejected, ContentRejected, Post, RateLimited, Transient
from autoposter.testing import PublisherConformance, make_post, refuse
from autoposter_facebook.publisher import Facebook
from facebook_examples import FILM, LINK, PICTURE
from facebook_examples import post as one
from fake_facebook import FakeFacebook
from fake_graph import error_body

CAPTION = 'Open until 8 & "later": 1 < 2, ünïcödé \N{PARTY POPPER}\nSecond line, 100 %'

REFUSALS = {
    AccountRejected: [
        refuse(400, error_body(190, 460)),
        refuse(403, error_body(200)),
        refuse(404, error_body(803)),
        refuse(400, error_body(1, 1404078)),
    ],
    ContentRejected: [
        refuse(400, error_body(506)),
        refuse(400, error_body(100)),
        refuse(400, error_body(1, 1346003)),
        refuse(400, error_body(368, None, "This was already posted")),
    ],
    RateLimited: [
        refuse(400, error_body(32), retry_after="7"),
        refuse(400, error_body(368), retry_after="date+7"),
        refuse(429, retry_after="7"),
    ],
    Transient: [refuse(400, error_body(6001))],
}


def film(kind: str = "video", **facts: object) -> Post:
    """A post with one video that is so."""
    return one(replace(FILM, **facts), caption="", kind=kind)


class TestFacebook(PublisherConformance):
    """Texts, and what the platform takes and says."""

    publisher = Facebook
    fake = FakeFacebook
    post = make_post(CAPTION)
    media = (PICTURE, FILM)
    refusals = REFUSALS
    limits: ClassVar = {
        "nothing to say": make_post(" "),
        "63,206": make_post("x" * 63_207),
        "counts as two": make_post("\N{PARTY POPPER}" * 31_604),
        "1 to 10 photos": one(*[PICTURE] * 11),
        "not both": one(PICTURE, FILM),
        "exactly 1 video": one(FILM, FILM),
        "takes no media": one(PICTURE, kind="text"),
        "has a link": one(kind="link"),
        "no place for the link": one(PICTURE, link=LINK),
        "no http or https": make_post(link="ftp://cafe.example"),
        "no links to itself": make_post(link="https://www.facebook.com/cafe"),
        "only JPEG or PNG": one(replace(PICTURE, mime_type="image/webp")),
        "10,000,000": one(replace(PICTURE, size=10_000_001)),
        "story takes no text": one(PICTURE, kind="story"),
        "a story takes none": one(PICTURE, caption="", kind="story"),
        "exactly 1 medium": one(PICTURE, PICTURE, caption="", kind="story"),
        "alt texts of photos only": film(alt_text="A film"),
        "2,200": one(FILM, caption="x" * 2201, kind="reel"),
        "no `title`": one(title="Menu"),
        "255": one(FILM, title="x" * 256),
        "a reel takes MP4": film("reel", mime_type="video/quicktime"),
        "3 to 90 s": film("reel", duration=timedelta(seconds=91)),
        "540 x 960": film("reel", width=500, height=890),
        "takes 9:16.": film("reel", width=1080, height=1080),
        "3 to 60 s": film("story", duration=timedelta(seconds=61)),
        "9:16 to 16:9": film(width=1900, height=900),
        "10,000 MB": film(size=11_000_000_000),
        "14400 s": film(duration=timedelta(hours=5)),
    }


class TestFacebookPhotos(PublisherConformance):
    """A post that has something to prepare, and that is found by its photo."""

    publisher = Facebook
    fake = FakeFacebook
    post = one(PICTURE, caption=CAPTION)
    media = (PICTURE,)
    refusals = REFUSALS
    limits: ClassVar = {"63,206": one(PICTURE, caption="x" * 63_207)}


class TestFacebookReels(PublisherConformance):
    """A post whose one irreversible call finishes its video."""

    publisher = Facebook
    fake = FakeFacebook
    post = one(FILM, caption=CAPTION, kind="reel")
    media = (FILM,)
    refusals = REFUSALS
    limits: ClassVar = {"2,200": one(FILM, caption="x" * 2201, kind="reel")}
