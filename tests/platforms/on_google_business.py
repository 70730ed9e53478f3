"""Google's fake, for the tests beside processes of our own."""

from __future__ import annotations

from collections.abc import Callable, Collection
from datetime import timedelta

from platforms.quick_publishers import QuickGoogleBusiness
from platforms.stages import ANYWHERE, Stage

import google_business_answers as answers
from autoposter.testing import Rule, accept_then_answer, refuse
from autoposter.testing.server import AcceptedPost
from fake_google_business import FakeGoogleBusiness
from google_business_examples import KINDS, PHOTO

WEATHER: list[Rule] = [
    *ANYWHERE,
    accept_then_answer(500, answers.ROWS["an internal error"][1], probability=0.03),
    accept_then_answer(503, answers.ROWS["unavailable"][1], probability=0.03),
    accept_then_answer(404, answers.HTML, probability=0.02),
    refuse(503, answers.ROWS["unavailable"][1], probability=0.03),
    refuse(429, answers.ROWS["too many calls"][1], retry_after="1", probability=0.02),
    refuse(401, answers.ROWS["the token has expired"][1], nth=(3, 25, 150, 300)),
    refuse(400, answers.ROWS["the photo cannot be fetched"][1], probability=0.05),
    refuse(503, answers.ROWS["unavailable"][1], on="other", probability=0.05),
]


def fake() -> FakeGoogleBusiness:
    google = FakeGoogleBusiness()
    google.listing_lag = timedelta(milliseconds=400)
    return google


def can_fetch(google: FakeGoogleBusiness, served: Callable[[str], bytes | None]) -> None:
    google.fetch = served


def effects(google: FakeGoogleBusiness, known: Collection[str]) -> list[AcceptedPost]:
    return [
        AcceptedPost(made.name, made.said["summary"], None, "", made.arrived_at, made.at.timestamp())
        for made in google.made
        if made.state != "REJECTED"
    ]


GOOGLE_BUSINESS = Stage(
    QuickGoogleBusiness.platform,
    fake,
    {name: post for name, (_, post) in KINDS.items()},
    ["an event"],
    {"image": ("terrace.png", PHOTO)},
    effects,
    WEATHER,
    can_fetch,
)
