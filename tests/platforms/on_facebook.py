"""Facebook's fake, for the tests beside processes of our own."""

from __future__ import annotations

from collections.abc import Collection
from datetime import timedelta

from media_files import mp4, picture
from platforms.quick_publishers import QuickFacebook
from platforms.stages import ANYWHERE, Stage

from autoposter.testing import Rule, accept_then_answer, refuse
from autoposter.testing.server import AcceptedPost
from facebook_examples import KINDS
from fake_facebook import FakeFacebook
from fake_graph import error_body

WEATHER: list[Rule] = [
    *ANYWHERE,
    accept_then_answer(500, error_body(2), probability=0.04),
    accept_then_answer(400, error_body(1, 99), probability=0.03),
    accept_then_answer(400, error_body(999, is_transient=True), probability=0.02),
    accept_then_answer(200, "{}", probability=0.02),
    refuse(400, error_body(6001), probability=0.03),
    refuse(429, error_body(4), retry_after="1", probability=0.02),
    refuse(500, error_body(1), probability=0.02),
    refuse(500, error_body(2), on="other", probability=0.05),
]

FILES = {
    "image": ("picture.jpg", picture(size=(640, 640))),
    "video": ("film.mp4", mp4(300_000, header_first=True, width=1080, height=1920)),
}

SEQUENCES = ("reel", "video", "photos", "video story", "photo story", "text")


def fake() -> FakeFacebook:
    facebook = FakeFacebook()
    facebook.listing_lag = timedelta(milliseconds=400)
    return facebook


def effects(facebook: FakeFacebook, known: Collection[str]) -> list[AcceptedPost]:
    made = []
    for post in facebook.published():
        shown = facebook.shown[post.id]
        text = post.text or f"post {facebook.uploads[shown.uploads[0]].mark}"
        made.append(AcceptedPost(post.id, text, None, "", shown.arrived_at, post.at.timestamp()))
    return made


FACEBOOK = Stage(QuickFacebook.platform, fake, KINDS, SEQUENCES, FILES, effects, WEATHER)
