"""The publisher keeps autoposter's contract."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import ClassVar

from autoposter.publishers import AccountRejected, ContentRejected, Media, Post, RateLimited, Transient
from autoposter.testing import PublisherConformance, make_media, make_post, refuse
from autoposter_instagram.models import Options, UserTag
from autoposter_instagram.publisher import Instagram
from fake_graph import error_body
from fake_instagram import FakeInstagram

PICTURE = make_media("image", mime_type="image/jpeg", public_url="https://media.example/picture.jpg")
FILM = make_media("video", alt_text="", width=1080, height=1920)
CAPTION = 'Open until 8 & "later": 1 < 2, ünïcödé \N{PARTY POPPER}\nSecond line, 100 %'


def picture(**facts: object) -> Post:
    """A post with one picture that is so."""
    return make_post(media=[replace(PICTURE, **facts)])


def film(options: Options | None = None, caption: str = "", **facts: object) -> Post:
    """A post with one video that is so."""
    return make_post(caption, media=[replace(FILM, **facts)], options=options)


def asking(caption: str = "", media: Media = PICTURE, **options: object) -> Post:
    """A post with options."""
    return make_post(caption, media=[media], options=Options.model_validate(options))


STORY = Options(kind="story")


class TestInstagram(PublisherConformance):
    """A photo, a video by its address; what the platform takes and says."""

    publisher = Instagram
    fake = FakeInstagram
    post = make_post(CAPTION, media=[PICTURE])
    media = (PICTURE, FILM)
    limits: ClassVar = {
        "without media": make_post(),
        "https://shop.example": make_post(media=[PICTURE], link="https://shop.example"),
        "2,200": make_post("x" * 2201, media=[PICTURE]),
        "counts as two": make_post("\N{PARTY POPPER}" * 1101, media=[PICTURE]),
        "31 hashtags": make_post("#tag " * 31, media=[PICTURE]),
        "21 mentions": make_post("@shop " * 21, media=[PICTURE]),
        "1,001 characters; Instagram takes 1,000": picture(alt_text="x" * 1001),
        "only JPEG": picture(mime_type="image/png"),
        "8,388,608": picture(size=8 * 1024 * 1024 + 60_000),
        "0.8 (4:5)": picture(width=640, height=900),
        "to 1.91": picture(width=2000, height=1000),
        "cannot be fetched": picture(_public_url=lambda: _nowhere()),
        "plain characters": picture(_public_url=lambda: "https://media.example/bücher.jpg"),
        "public https": picture(_public_url=lambda: "http://media.example/a.jpg"),
        "11": make_post(media=[PICTURE] * 11),
        "video/webm": film(mime_type="video/webm"),
        "300 MB": film(size=301_000_000),
        "3 to 900 s": film(duration=timedelta(minutes=16)),
        "2.9 s": film(duration=timedelta(seconds=2.9)),
        "1920": film(width=2000),
        "ratio of 20.00": film(width=1900, height=95),
        "alt texts of pictures only": film(alt_text="A film"),
        "Medium 2 is a video of 61 s": make_post(media=[PICTURE, replace(FILM, duration=timedelta(seconds=61))]),
        "100 MB": film(STORY, size=101_000_000),
        "3 to 60 s": film(STORY, duration=timedelta(seconds=61)),
        "story takes no caption": asking("Hello", kind="story"),
        "a story takes none": asking(kind="story"),
        "2 to 10": asking(kind="carousel"),
        "exactly 1": make_post("", media=[PICTURE] * 2, options=Options(kind="photo")),
        "a picture only": asking(kind="photo", media=FILM),
        "a video only": asking(kind="reel"),
        "4 collaborators": asking(collaborators=["a", "b", "c", "d"]),
        "no `collaborators`": asking(kind="story", collaborators=["a"]),
        "21 accounts": asking(user_tags=[{"username": "a", "x": 0, "y": 0}] * 21),
        "needs x and y": make_post(media=[PICTURE], options=Options(user_tags=(UserTag(username="a"),))),
        "no `cover_url`": asking(cover_url="https://media.example/cover.jpg"),
        "`cover_url` must be": asking(media=FILM, cover_url="http://media.example/cover.jpg"),
        "the video lasts 5 s": asking(media=FILM, thumb_offset=5001),
    }
    refusals: ClassVar = {
        AccountRejected: [
            refuse(400, error_body(190, 463)),
            refuse(403, error_body(200)),
            refuse(400, error_body(25, 2207050)),
            refuse(400, error_body(1000, None, "The user is not an Instagram business account")),
        ],
        ContentRejected: [refuse(400, error_body(36003, 2207009)), refuse(400, error_body(100))],
        RateLimited: [
            refuse(400, error_body(4), retry_after="7"),
            refuse(400, error_body(9, 2207042), retry_after="date+7"),
            refuse(429, retry_after="7"),
        ],
        Transient: [refuse(400, error_body(9007, 2207027)), refuse(400, error_body(24, 2207008))],
    }


def _nowhere() -> str:
    raise ContentRejected("film.jpg has no public address: set AUTOPOSTER_MEDIA_BASE_URL.")
