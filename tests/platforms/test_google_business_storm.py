"""Posts of every kind on Google's fake, while workers are killed and answers break: none twice, none lost, none open.

pytest tests/platforms/test_google_business_storm.py -s                     40 posts
pytest tests/platforms/test_google_business_storm.py -s --long --seed 7     500 posts, another storm
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from faults.figures import Figures
from faults.machines import OwnServers
from faults.test_storm import Storm
from platforms.beside_a_fake import Beside, PlatformMachines
from platforms.quick_publishers import QuickGoogleBusiness

import google_business_answers as answers
from autoposter.testing import Reply, Rule, accept_then, accept_then_answer, outage, refuse, slow
from autoposter.testing.rules import drop_unread, slow_to_publish
from autoposter.testing.server import AcceptedPost
from fake_google_business import FakeGoogleBusiness
from google_business_examples import KINDS, PHOTO

#: What Google does meanwhile.
WEATHER: list[Rule] = [
    slow(300, probability=0.1),
    slow_to_publish(700, probability=0.05),
    accept_then(Reply.RESET, probability=0.05),
    accept_then(Reply.TRUNCATE, probability=0.03),
    accept_then(Reply.SILENCE, probability=0.02),
    accept_then(Reply.CLOSE, probability=0.03),
    accept_then_answer(500, answers.ROWS["an internal error"][1], probability=0.03),
    accept_then_answer(503, answers.ROWS["unavailable"][1], probability=0.03),
    accept_then_answer(404, answers.HTML, probability=0.02),
    refuse(503, answers.ROWS["unavailable"][1], probability=0.03),
    refuse(429, answers.ROWS["too many calls"][1], retry_after="1", probability=0.02),
    refuse(401, answers.ROWS["the token has expired"][1], nth=(3, 25, 150, 300)),
    refuse(400, answers.ROWS["the photo cannot be fetched"][1], probability=0.05),
    outage(probability=0.03),
    drop_unread(probability=0.02),
    refuse(503, answers.ROWS["unavailable"][1], on="other", probability=0.05),
    Rule(on="other", reply=Reply.RESET, probability=0.03),
    refuse(200, "<html>", on="other", probability=0.02),
]


@pytest.fixture
def google() -> Iterator[FakeGoogleBusiness]:
    with FakeGoogleBusiness() as google:
        google.listing_lag = timedelta(milliseconds=400)
        yield google
        assert google.troubles == []


@pytest.fixture
def machines(own_servers: OwnServers, google: FakeGoogleBusiness, tmp_path: Path) -> Iterator[PlatformMachines]:
    """Everything but workers."""
    own_servers.start_postgres()
    own_servers.start_valkey()
    own_servers.redis().flushall()
    kinds = [post for _, post in KINDS.values()]
    beside = Beside(google, lambda: effects(google))
    made = PlatformMachines(
        own_servers, beside, tmp_path, QuickGoogleBusiness.platform, kinds, {"image": ("terrace.png", PHOTO)}
    )
    google.fetch = made.served
    yield made
    made.processes.end_all()
    print(made.processes.report())  # pytest shows it only when the test fails


def effects(google: FakeGoogleBusiness) -> list[AcceptedPost]:
    """What the public can see."""
    return [
        AcceptedPost(made.name, made.said["summary"], None, "", made.arrived_at, made.at.timestamp())
        for made in google.made
        if made.state != "REJECTED"
    ]


def test_a_storm_publishes_every_kind_once(
    machines: PlatformMachines, google: FakeGoogleBusiness, figures: Figures, long: bool, seed: int
) -> None:
    count, seconds = (500, 150) if long else (40, 12)
    storm = Storm(machines, seed)
    machines.platform.follow(*WEATHER, seed=seed)
    begin = time.time() + 2
    machines.schedule([begin + number * seconds / count for number in range(count)])

    storm.rage(seconds)
    storm.drop()
    machines.settle(240)

    print(f"seed {seed}: " + ", ".join(f"{times} x {deed}" for deed, times in storm.done.most_common()))
    print("kinds:", dict(Counter(made.said["topicType"] for made in google.made)))
    report = machines.judge(figures)
    assert [str(post) for post in report.posts if post.status not in {"Posted", "Cancelled"}] == []
