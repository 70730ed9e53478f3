"""Posts of every kind on Instagram's fake, while workers are killed and answers break: none twice, lost or open.

pytest tests/platforms/test_instagram_storm.py -s                     40 posts
pytest tests/platforms/test_instagram_storm.py -s --long --seed 7     500 posts, another storm
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from faults.checker import arrival
from faults.figures import Figures
from faults.machines import OwnServers, lateness
from faults.test_storm import Storm
from media_files import mp4, picture
from platforms.beside_a_fake import Beside, PlatformMachines
from platforms.quick_publishers import QuickInstagram

from autoposter.store import preparations
from autoposter.testing import Reply, Rule, accept_then, accept_then_answer, outage, refuse, slow
from autoposter.testing.rules import drop_unread, slow_to_publish
from autoposter.testing.server import AcceptedPost
from fake_graph import error_body
from fake_instagram import FakeInstagram
from instagram_examples import KINDS

#: What Instagram does meanwhile.
WEATHER: list[Rule] = [
    slow(300, probability=0.1),
    slow_to_publish(700, probability=0.05),
    accept_then(Reply.RESET, probability=0.05),
    accept_then(Reply.TRUNCATE, probability=0.03),
    accept_then(Reply.SILENCE, probability=0.02),
    accept_then(Reply.CLOSE, probability=0.03),
    accept_then_answer(400, error_body(4, 2207051), probability=0.03),
    accept_then_answer(400, error_body(-1, 2207001), probability=0.03),
    accept_then_answer(500, error_body(2), probability=0.03),
    accept_then_answer(200, '{"id": null}', probability=0.02),
    refuse(400, error_body(9007, 2207027), probability=0.03),
    refuse(400, error_body(24, 2207008), probability=0.02),
    refuse(429, error_body(4), retry_after="1", probability=0.02),
    refuse(400, error_body(24, 2207006), probability=0.02),
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
def instagram() -> Iterator[FakeInstagram]:
    with FakeInstagram() as instagram:
        instagram.listing_lag = timedelta(milliseconds=400)
        instagram.quota = instagram.most_containers = 10_000
        instagram.hides_every = 50
        yield instagram
        assert instagram.troubles == []


@pytest.fixture
def machines(own_servers: OwnServers, instagram: FakeInstagram, tmp_path: Path) -> Iterator[PlatformMachines]:
    """Everything but workers."""
    own_servers.start_postgres()
    own_servers.start_valkey()
    own_servers.redis().flushall()
    instagram.house["film.mp4"] = FILES["video"][1]
    beside = Beside(instagram, lambda: effects(instagram, made))
    made = PlatformMachines(own_servers, beside, tmp_path, QuickInstagram.platform, list(KINDS.values()), FILES)
    yield made
    made.processes.end_all()
    print(made.processes.report())  # pytest shows it only when the test fails


def effects(instagram: FakeInstagram, machines: PlatformMachines) -> list[AcceptedPost]:
    """What the public can see.  A post whose own id was not to be found out goes by its container's."""
    by_container = {name for _, name, _ in machines.state_of("Posted") if name and name.startswith("container:")}
    made = []
    for post in instagram.published():
        container = instagram.containers[post.key or ""]
        name = f"container:{container.id}" if f"container:{container.id}" in by_container else post.id
        text = post.text or f"post {container.about}"
        made.append(AcceptedPost(name, text, None, "", instagram.arrived[post.id], post.at.timestamp()))
    return made


def test_a_storm_publishes_every_kind_once(
    machines: PlatformMachines, instagram: FakeInstagram, figures: Figures, long: bool, seed: int
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
    print("kinds:", dict(Counter(instagram.kinds.values())))
    print("what was heard of the calls:", dict(Counter(request["reply"] for request in instagram.requests)))
    print("by their container's id:", sum("container:" in str(name) for _, name, _ in machines.state_of("Posted")))
    report = machines.judge(figures)
    left = [f"{post}: {post.last_error}" for post in report.posts if post.status not in {"Posted", "Cancelled"}]
    assert left == []


#: A container is asked after for the last time before its post is due, and by a scan that runs each second.
ASKED_LAST = preparations.SOON - timedelta(seconds=1)


def test_containers_that_stay_unfinished_hold_no_thread(
    machines: PlatformMachines, instagram: FakeInstagram, figures: Figures, long: bool
) -> None:
    count, working = (200, 180) if long else (40, 10)
    instagram.hides_every = 0  # a container that cannot be seen when its post is due is asked after 5 s later
    instagram.asks_until_finished = 0
    instagram.takes_until_finished = {"REELS": timedelta(seconds=working)}
    began = time.time()
    machines.plan([KINDS["reel"]], [began + working + 10 + number / 4 for number in range(count)])
    machines.plan([KINDS["photo"]], [began + 15 + number / 5 for number in range(5 * working)])
    planning = timedelta(seconds=time.time() - began)
    machines.rows.query("update post_instance set scheduled_for = scheduled_for + %s", (planning,))

    machines.workers(2, threads=8)
    machines.settle(working + 90)

    report = machines.judge(figures)
    finished = {
        post.id: instagram.containers[post.key or ""].created_at + timedelta(seconds=working)
        for post in instagram.published()
        if instagram.kinds[post.id] == "REELS"
    }
    reels = [(post, effect) for post in report.posts for effect in post.effects if post.platform_post_id in finished]
    for what, is_late, bound in [("in time: lateness", False, 1), ("too late: since then", True, 6)]:
        waits = [
            (arrival(effect) - max(post.scheduled_for, finished[effect.id])).total_seconds()
            for post, effect in reels
            if (finished[effect.id] > post.scheduled_for - ASKED_LAST) == is_late
        ]
        figures.spread(f"reels whose containers were finished {what}", waits, at_most=bound)
    others = lateness(report, lambda post: post.platform_post_id not in finished)
    figures.spread("lateness of the photos meanwhile", others, at_most=1)
    assert {post.status for post in report.posts} == {"Posted"} and len(finished) == count
    assert [container.kind for container in instagram.containers.values()].count("REELS") == count
    assert not figures.broken()
