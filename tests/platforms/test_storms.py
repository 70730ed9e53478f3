"""Posts of every kind on real platforms' fakes, while workers are killed and answers break: none twice, lost or open.

pytest tests/platforms/test_storms.py -s                               40 posts on each
pytest tests/platforms/test_storms.py -s -k google --long --seed 7     500 posts, another storm
"""

from __future__ import annotations

import time
from collections import Counter

import pytest
from faults.figures import Figures
from faults.test_storm import Storm
from platforms.beside_a_fake import PlatformMachines
from platforms.on_facebook import FACEBOOK
from platforms.on_google_business import GOOGLE_BUSINESS
from platforms.on_instagram import INSTAGRAM

from autoposter.testing import FakeServer

STAGES = [pytest.param(stage, id=stage.platform) for stage in (FACEBOOK, GOOGLE_BUSINESS, INSTAGRAM)]


@pytest.mark.parametrize("stage", STAGES, indirect=True)
def test_a_storm_publishes_every_kind_once(
    machines: PlatformMachines, fake: FakeServer, figures: Figures, long: bool, seed: int
) -> None:
    count, seconds = (500, 150) if long else (40, 12)
    storm = Storm(machines, seed)
    machines.platform.follow(*machines.world.stage.weather, seed=seed)
    begin = time.time() + 2
    machines.schedule([begin + number * seconds / count for number in range(count)])

    storm.rage(seconds)
    storm.drop()
    machines.settle(240)

    print(f"seed {seed}: " + ", ".join(f"{times} x {deed}" for deed, times in storm.done.most_common()))
    print("what was heard of the calls:", dict(Counter(request["reply"] for request in fake.requests)))
    report = machines.judge(figures)
    left = [f"{post}: {post.last_error}" for post in report.posts if post.status not in {"Posted", "Cancelled"}]
    assert left == []
