"""Struck at its N-th input or output, for every N, an attempt or a look leaves what can be settled.

Each strike has a process, a post and an account of its own.  When all have struck, the leases of the dead are over, a
healthy process settles everything, and the judge holds the platform against the books.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
from faults.checker import PLATFORMS, is_open
from faults.figures import Figures
from faults.forge import Forge, Order, Ran
from faults.injection import Fault, Moment, Strike
from faults.world import RECOVERY_SECONDS, World

from autoposter.testing import rules
from autoposter.testing.publishers import FakeFindable, FakeKeyed
from autoposter.testing.rules import Reply

#: More steps than an attempt has.
MOST_STEPS = 150


def strike_everywhere(forge: Forge, fault: Fault, moment: Moment, make: Callable[[], Order]) -> list[Ran]:
    """One process for each step, until one ends before its step comes.  `make` gives each something of its own."""
    rans: list[Ran] = []
    for start in range(1, MOST_STEPS, 12):
        orders = []
        for at in range(start, start + 12):
            order = make()
            orders.append(Order(order.do, order.what, Strike(fault, moment, at)))
        rans += forge.run_all(orders)
        if not rans[-1].was_struck:
            return rans
    raise AssertionError(f"no end after {MOST_STEPS} steps: {rans[-1].steps}")


def settle_and_judge(world: World, forge: Forge, figures: Figures, rans: list[Ran]) -> None:
    """Recover, let the frozen go on, recover what they may have spoilt, and judge."""
    world.platform.follow()
    world.expire_leases()
    frozen = [ran for ran in rans if ran.ended is None]
    # What a frozen process has locked in the database waits for it.
    world.recover(forge, 12 if frozen else RECOVERY_SECONDS)
    whole = [forge.thaw(ran) for ran in rans]
    world.expire_leases()
    world.recover(forge)

    report = world.check()
    print(report.table())
    beyond_reach = {world.post_of(ran) for ran in whole if froze_at_the_last_moment(ran)}
    within = [post for post in report.posts if post.id not in beyond_reach]
    figures.numbers(
        f"{within[0].platform}, struck at {max(len(ran.steps) for ran in rans)} steps",
        struck=sum(ran.was_struck for ran in rans),
        posts=len(within),
        twice=sum(len(post.effects) > 1 for post in within),
        lost=sum(post.status == "Posted" and not post.effects for post in within),
        open=sum(is_open(post) for post in within),
        unconfirmed=sum(post.status == "Unconfirmed" for post in within),
        beyond_reach=len(beyond_reach),
        twice_beyond_reach=sum(len(post.effects) > 1 for post in report.posts if post.id in beyond_reach),
    )
    for ran in whole:
        complaints = [wrong for wrong in report.violations if wrong.startswith(f"post {world.post_of(ran)} ")]
        if complaints:
            print(f"{ran}{' (beyond reach)' if world.post_of(ran) in beyond_reach else ''}: {complaints}")
    assert [
        wrong for wrong in report.violations if not wrong.startswith(tuple(f"post {it} " for it in beyond_reach))
    ] == []


def froze_at_the_last_moment(ran: Ran) -> bool:
    """Whether it was frozen between its last look at the clock and the system call that sends the request's end.

    No program can close that gap: whatever it asks before the call may be old when the call is made.
    """
    if ran.order.strike is None or ran.order.strike.fault is not Fault.FREEZE or not ran.was_struck:
        return False
    sends = [number for number, name in enumerate(ran.steps, start=1) if name == "socket send"]
    at_or_next = ran.order.strike.at + (1 if ran.order.strike.moment is Moment.AFTER else 0)
    return at_or_next in sends


#: Killed before a step is killed after the one before it, and so for frozen.
MOMENTS = {
    Fault.KILL: [Moment.AFTER],
    Fault.ERROR: [Moment.BEFORE, Moment.AFTER],
    Fault.LOST: [Moment.BEFORE, Moment.AFTER],
    Fault.FREEZE: [Moment.BEFORE],
}

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
