"""Containers of Instagram that stay unfinished for minutes: no thread waits for them."""

from __future__ import annotations

import time
from datetime import timedelta

import pytest
from faults.checker import arrival
from faults.figures import Figures
from faults.machines import lateness
from platforms.beside_a_fake import PlatformMachines
from platforms.on_instagram import INSTAGRAM

from autoposter.store import preparations
from fake_instagram import FakeInstagram
from instagram_examples import KINDS


@pytest.mark.parametrize("stage", [INSTAGRAM], indirect=True)
def test_containers_that_stay_unfinished_hold_no_thread(
    machines: PlatformMachines, fake: FakeInstagram, figures: Figures, long: bool
) -> None:
    count, working, to_begin_in = (200, 180, 40) if long else (40, 10, 5)  # seconds
    fake.hides_every = 0  # a container that cannot be seen when its post is due is asked after 5 s later
    fake.asks_until_finished = 0
    fake.takes_until_finished = {"REELS": timedelta(seconds=working)}
    began = time.time()
    machines.plan(KINDS["reel"], [began + to_begin_in + working + number / 4 for number in range(count)])
    machines.plan(KINDS["photo"], [began + 15 + number / 5 for number in range(5 * working)])
    planning = timedelta(seconds=time.time() - began)
    machines.rows.query("update post_instance set scheduled_for = scheduled_for + %s", (planning,))

    machines.workers(2, threads=8)
    machines.settle(working + 90)

    report = machines.judge(figures)
    finished = {
        post.id: fake.containers[post.key or ""].created_at + timedelta(seconds=working)
        for post in fake.published()
        if fake.kinds[post.id] == "REELS"
    }
    reels = [(post, effect) for post in report.posts for effect in post.effects if post.platform_post_id in finished]
    for what, is_late, bound in [("in time: lateness", False, 1), ("too late: since then", True, 6)]:
        waits = [
            (arrival(effect) - max(post.scheduled_for, finished[effect.id])).total_seconds()
            for post, effect in reels
            if (finished[effect.id] > post.scheduled_for - preparations.SOON) == is_late  # the last question before
        ]
        figures.spread(f"reels whose containers were finished {what}", waits, at_most=bound)
    others = lateness(report, lambda post: post.platform_post_id not in finished)
    figures.spread("lateness of the photos meanwhile", others, at_most=1)
    assert {post.status for post in report.posts} == {"Posted"} and len(finished) == count
    assert [container.kind for container in fake.containers.values()].count("REELS") == count
    assert not figures.broken()
