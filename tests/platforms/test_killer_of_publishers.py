"""Struck at its N-th input or output, for every N, a post of a real publisher goes out once all the same.

pytest tests/platforms/test_killer_of_publishers.py             killed at each step, one kind of post on each platform
pytest tests/platforms/test_killer_of_publishers.py --long      every sequence of requests, the other faults and answers
"""

from __future__ import annotations

from itertools import product

import pytest
from faults.figures import Figures
from faults.forge import Forge, Order
from faults.injection import Fault
from faults.killer import MOMENTS, settle_and_judge, strike_everywhere
from platforms.beside_a_fake import PlatformWorld
from platforms.on_facebook import FACEBOOK
from platforms.on_google_business import GOOGLE_BUSINESS
from platforms.on_instagram import INSTAGRAM

from autoposter.publishers import Post
from autoposter.testing import Reply, Rule, accept_then, outage

STAGES = (FACEBOOK, GOOGLE_BUSINESS, INSTAGRAM)

#: What the platform says to the one irreversible request.
ANSWERS: dict[str, list[Rule]] = {
    "right": [],
    "lost": [accept_then(Reply.RESET)],
    "broken": [accept_then(Reply.TRUNCATE)],
    "a proxy's": [outage()],
}

#: Frozen only where a publisher sends or receives: the books and the clock are the core's.
STEPS = {Fault.FREEZE: "socket"}

#: Killed whatever the answer is; the other faults meet the right one, and a look that follows a lost one.
STRIKES = [*product([Fault.KILL], ANSWERS), *product([Fault.ERROR, Fault.LOST, Fault.FREEZE], ["right"])]
SHORT = (Fault.KILL, "right")
CASES = [
    pytest.param(stage, *case, id="-".join([stage.platform, *case]), marks=[] if case == SHORT else [pytest.mark.long])
    for stage, case in product(STAGES, STRIKES)
]
LOOKS = [pytest.param(stage, fault, id=f"{stage.platform}-{fault}") for stage, fault in product(STAGES, Fault)]


@pytest.mark.parametrize(("stage", "fault", "answer"), CASES, indirect=["stage"])
def test_a_post_struck_at_any_step_of_its_way_goes_out_once(
    world: PlatformWorld, forge: Forge, figures: Figures, fault: Fault, answer: str, long: bool
) -> None:
    def attempt(kind: Post) -> Order:
        return Order("prepare_and_publish", world.plan(kind, prepare_at="now"))

    world.platform.follow(*ANSWERS[answer])
    rans = []
    for name, moment in product(world.stage.sequences if long else world.stage.sequences[:1], MOMENTS[fault]):
        kind = world.stage.kinds[name]
        rans += strike_everywhere(forge, fault, moment, lambda kind=kind: attempt(kind), of=STEPS.get(fault, ""))

    settle_and_judge(world, forge, figures, rans)


@pytest.mark.long
@pytest.mark.parametrize(("stage", "fault"), LOOKS, indirect=["stage"])
def test_a_look_for_a_post_struck_at_any_step_finds_it_in_the_end(
    world: PlatformWorld, forge: Forge, figures: Figures, fault: Fault
) -> None:
    def look(kind: Post) -> Order:
        post = world.plan(kind, prepare_at="now")
        forge.run(Order("prepare_and_publish", post))
        return Order("look", world.job_of(post))

    world.platform.follow(*ANSWERS["lost"])
    rans = []
    for name, moment in product(world.stage.sequences, MOMENTS[fault]):
        kind = world.stage.kinds[name]
        rans += strike_everywhere(forge, fault, moment, lambda kind=kind: look(kind), of=STEPS.get(fault, ""))

    settle_and_judge(world, forge, figures, rans)
