"""Instagram's fake, for the tests beside processes of our own."""

from __future__ import annotations

from collections.abc import Collection
from datetime import timedelta

from platforms.on_facebook import FILES
from platforms.quick_publishers import QuickInstagram
from platforms.stages import ANYWHERE, Stage

from autoposter.testing import Rule, accept_then_answer, refuse
from autoposter.testing.server import AcceptedPost
from fake_graph import error_body
from fake_instagram import FakeInstagram
from instagram_examples import KINDS

WEATHER: list[Rule] = [
    *ANYWHERE,
    accept_then_answer(400, error_body(4, 2207051), probability=0.03),
    accept_then_answer(400, error_body(-1, 2207001), probability=0.03),
    accept_then_answer(500, error_body(2), probability=0.03),
    accept_then_answer(200, '{"id": null}', probability=0.02),
    refuse(400, error_body(9007, 2207027), probability=0.03),
    refuse(400, error_body(24, 2207008), probability=0.02),
    refuse(429, error_body(4), retry_after="1", probability=0.02),
    refuse(400, error_body(24, 2207006), probability=0.02),
    refuse(500, error_body(2), on="other", probability=0.05),
]

SEQUENCES = ("reel from a file", "carousel with a file", "carousel", "photo", "photo story")


def fake() -> FakeInstagram:
    instagram = FakeInstagram()
    instagram.listing_lag = timedelta(milliseconds=400)
    instagram.quota = instagram.most_containers = 10_000
    instagram.hides_every = 50
    instagram.house["film.mp4"] = FILES["video"][1]
    return instagram


def effects(instagram: FakeInstagram, known: Collection[str]) -> list[AcceptedPost]:
    made = []
    for post in instagram.published():
        container = instagram.containers[post.key or ""]
        by_container = f"container:{container.id}"
        name = by_container if by_container in known else post.id
        text = post.text or f"post {container.about}"
        made.append(AcceptedPost(name, text, None, "", instagram.arrived[post.id], post.at.timestamp()))
    return made


INSTAGRAM = Stage(QuickInstagram.platform, fake, KINDS, SEQUENCES, FILES, effects, WEATHER)
