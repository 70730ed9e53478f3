"""Struck at its N-th input or output, for every N, an attempt or a look leaves what can be settled.

Each strike has an account of its own.
"""

from __future__ import annotations

import pytest
from faults.checker import PLATFORMS
from faults.figures import Figures
from faults.forge import Forge, Order
from faults.injection import Fault
from faults.killer import MOMENTS, settle_and_judge, strike_everywhere
from faults.world import World

from autoposter.testing import rules
from autoposter.testing.publishers import FakeFindable, FakeKeyed
from autoposter.testing.rules import Reply

#: The short version kills in every class, and does the rest to the one with the most machinery.
SHORT = {(Fault.KILL, kind) for kind in PLATFORMS} | {
    (Fault.ERROR, FakeFindable.platform),
    (Fault.FREEZE, FakeFindable.platform),
}
BROKER_SHORT = {Fault.KILL}
PAIRS = [
    pytest.param(fault, kind, marks=[] if (fault, kind) in SHORT else [pytest.mark.long])
    for fault in Fault
    for kind in PLATFORMS
]

#: What the platform says to a post with this text; the long version strikes attempts at each.
ANSWERS = {
    "lost": rules.accept_then(Reply.RESET, text="lost"),
    "later": rules.refuse_for_now(text="later", times=400, probability=0.5),
    "limited": rules.rate_limit("1", text="limited", probability=0.5),
    "rejected": rules.reject_token(text="rejected"),
    "refused": rules.refuse_content(text="refused"),
    "hidden": rules.accept_then_answer(400, text="hidden"),
}


@pytest.mark.parametrize(("fault", "kind"), PAIRS)
def test_an_attempt_or_a_look_struck_at_any_step_is_settled(
    world: World, forge: Forge, figures: Figures, fault: Fault, kind: str
) -> None:
    def attempt(text: str) -> Order:
        return Order("publish", world.post(world.account(kind), text=text))

    def look(text: str) -> Order:
        post = world.post(world.account(kind), text=text)
        forge.run(Order("publish", post))
        return Order("look", world.job_of(post))

    world.platform.follow(*ANSWERS.values())
    rans = []
    for moment in MOMENTS[fault]:
        rans += strike_everywhere(forge, fault, moment, lambda: attempt(""))
        rans += strike_everywhere(forge, fault, moment, lambda: look("lost"))

    settle_and_judge(world, forge, figures, rans)


@pytest.mark.parametrize(
    "fault", [pytest.param(it, marks=[] if it in BROKER_SHORT else [pytest.mark.long]) for it in Fault]
)
def test_a_scan_or_a_delivery_struck_at_any_step_neither_loses_a_post_nor_repeats_it(
    world: World, forge: Forge, figures: Figures, redis_url: str, fault: Fault
) -> None:
    """Between broker and database: marked and not sent, sent and not marked, published and not struck off."""
    forge.environment = world.environment | {"AUTOPOSTER_REDIS_URL": redis_url}
    account = world.account(FakeKeyed.platform)
    rans = []
    for moment in MOMENTS[fault]:
        for do in ("scan", "deliver"):
            rans += strike_everywhere(forge, fault, moment, lambda do=do: Order(do, world.post(account)))

    assert any(name.startswith("socket") for ran in rans for name in ran.steps), "the broker is out of reach"
    settle_and_judge(world, forge, figures, rans)


@pytest.mark.long
@pytest.mark.parametrize("fault", Fault)
@pytest.mark.parametrize("kind", PLATFORMS)
@pytest.mark.parametrize("text", ANSWERS)
def test_an_attempt_with_any_answer_struck_at_any_step_is_settled(
    world: World, forge: Forge, figures: Figures, fault: Fault, kind: str, text: str
) -> None:
    world.platform.follow(*ANSWERS.values())
    rans = []
    for moment in MOMENTS[fault]:
        rans += strike_everywhere(
            forge, fault, moment, lambda: Order("publish", world.post(world.account(kind), text=text))
        )

    settle_and_judge(world, forge, figures, rans)
