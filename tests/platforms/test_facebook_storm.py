"""Posts of every kind on Facebook's fake, while workers are killed and answers break: none twice, lost or open.

pytest tests/platforms/test_facebook_storm.py -s                     40 posts
pytest tests/platforms/test_facebook_storm.py -s --long --seed 7     500 posts, another storm
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
from media_files import mp4, picture
from platforms.beside_a_fake import Beside, PlatformMachines
from platforms.quick_publishers import QuickFacebook

from autoposter.testing import Reply, Rule, accept_then, accept_then_answer, outage, refuse, slow
from autoposter.testing.rules import drop_unread, slow_to_publish
from autoposter.testing.server import AcceptedPost
from facebook_examples import KINDS
from fake_facebook import FakeFacebook
from fake_graph import error_body

#: What Facebook does meanwhile.
WEATHER: list[Rule] = [
    slow(300, probability=0.1),
    slow_to_publish(700, probability=0.05),
    accept_then(Reply.RESET, probability=0.05),
    accept_then(Reply.TRUNCATE, probability=0.03),
    accept_then(Reply.SILENCE, probability=0.02),
    accept_then(Reply.CLOSE, probability=0.03),
    accept_then_answer(500, error_body(2), probability=0.04),
    accept_then_answer(400, error_body(1, 99), probability=0.03),
    accept_then_answer(400, error_body(999, is_transient=True), probability=0.02),
    accept_then_answer(200, "{}", probability=0.02),
    refuse(400, error_body(6001), probability=0.03),
    refuse(429, error_body(4), retry_after="1", probability=0.02),
    refuse(500, error_body(1), probability=0.02),
    outage(probability=0.03),
    drop_unread(probability=0.02),
    refuse(500, error_body(2), on="other", probability=0.05),
    Rule(on="other", reply=Reply.RESET, probability=0.03),
    refuse(200, "<html>", on="other", probability=0.02),
]

FILES = {
    "image": ("picture.jpg", picture(size=(640, 640))),
    "video": ("film.mp4", mp4(300_000, header_first=True, width=1080, height=1920)),
}


@pytest.fixture
def facebook() -> Iterator[FakeFacebook]:
    with FakeFacebook() as facebook:
        facebook.listing_lag = timedelta(milliseconds=400)
        yield facebook
        assert facebook.troubles == []


@pytest.fixture
def machines(own_servers: OwnServers, facebook: FakeFacebook, tmp_path: Path) -> Iterator[PlatformMachines]:
    """Everything but workers."""
    own_servers.start_postgres()
    own_servers.start_valkey()
    own_servers.redis().flushall()
    beside = Beside(facebook, lambda: effects(facebook))
    made = PlatformMachines(own_servers, beside, tmp_path, QuickFacebook.platform, list(KINDS.values()), FILES)
    yield made
    made.processes.end_all()
    print(made.processes.report())  # pytest shows it only when the test fails


def effects(facebook: FakeFacebook) -> list[AcceptedPost]:
    """What the public can see."""
    made = []
    for post in facebook.published():
        shown = facebook.shown[post.id]
        text = post.text or f"post {facebook.uploads[shown.uploads[0]].mark}"
        made.append(AcceptedPost(post.id, text, None, "", shown.arrived_at, post.at.timestamp()))
    return made


def test_a_storm_publishes_every_kind_once(
    machines: PlatformMachines, facebook: FakeFacebook, figures: Figures, long: bool, seed: int
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
    print("kinds:", dict(Counter(shown.kind for shown in facebook.shown.values())))
    report = machines.judge(figures)
    left = [f"{post}: {post.last_error}" for post in report.posts if post.status not in {"Posted", "Cancelled"}]
    assert left == []
