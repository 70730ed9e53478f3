"""Strikes a process at its N-th input or output, for every N; then recovers everything and judges.

Each strike has a process and a post of its own.  When all have struck, the leases of the dead are over, a healthy
process settles everything, and the judge holds the platform against the books.
"""

from __future__ import annotations

from collections.abc import Callable

from faults.checker import is_open
from faults.figures import Figures
from faults.forge import Forge, Order, Ran
from faults.injection import Fault, Moment, Strike
from faults.world import RECOVERY_SECONDS, World

#: More steps than an attempt has.
MOST_STEPS = 300

#: Killed before a step is killed after the one before it, and so for frozen.
MOMENTS = {
    Fault.KILL: [Moment.AFTER],
    Fault.ERROR: [Moment.BEFORE, Moment.AFTER],
    Fault.LOST: [Moment.BEFORE, Moment.AFTER],
    Fault.FREEZE: [Moment.BEFORE],
}


def strike_everywhere(
    forge: Forge, fault: Fault, moment: Moment, make: Callable[[], Order], *, of: str = ""
) -> list[Ran]:
    """One process for each step, until one ends before its step comes.  `make` gives each something of its own.

    `of`: only the steps with this in their names.
    """
    rans: list[Ran] = []
    for start in range(1, MOST_STEPS, 12):
        orders = []
        for at in range(start, start + 12):
            order = make()
            orders.append(Order(order.do, order.what, Strike(fault, moment, at, of)))
        rans += forge.run_all(orders)
        if not rans[-1].was_struck:
            assert rans[-1].ended == 0, f"{rans[-1]}: {rans[-1].trace}"
            return rans
    raise AssertionError(f"no end after {MOST_STEPS} steps: {rans[-1].steps}")


def settle_and_judge(world: World, forge: Forge, figures: Figures, rans: list[Ran]) -> None:
    """Recover, let the frozen go on, recover what they may have spoilt, and judge."""
    world.platform.follow()
    world.expire_leases()
    frozen = [ran for ran in rans if ran.ended is None]
    beyond_reach = {post for ran in frozen if froze_at_a_send(ran) and world.is_promised(post := world.post_of(ran))}
    # What a frozen process has locked in the database waits for it.
    world.recover(forge, 12 if frozen else RECOVERY_SECONDS)
    whole = [forge.thaw(ran) for ran in rans]
    world.expire_leases()
    world.recover(forge)

    report = world.check()
    print(report.table())
    within = [post for post in report.posts if post.id not in beyond_reach]
    findings = [finding for finding in world.audit() if finding.post_id not in beyond_reach]
    once = {post.id for post in within if len(post.effects) == 1}
    # The books cannot know: a second receipt may be another name of the same post.
    false_alarms = [finding for finding in findings if finding.check == "out twice" and finding.post_id in once]
    figures.numbers(
        f"{within[0].platform}, struck at {max(len(ran.steps) for ran in rans)} steps",
        struck=sum(ran.was_struck for ran in rans),
        posts=len(within),
        twice=sum(len(post.effects) > 1 for post in within),
        lost=sum(post.status == "Posted" and not post.effects for post in within),
        open=sum(is_open(post) for post in within),
        unconfirmed=sum(post.status == "Unconfirmed" for post in within),
        false_alarms=len(false_alarms),
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
    assert [finding for finding in findings if finding not in false_alarms] == [], findings


def froze_at_a_send(ran: Ran) -> bool:
    """Whether an attempt was frozen before a system call that sends.

    After the intent that may be the call that sends the request's end, and no program can close the gap between its
    last look at the clock and that call: whatever it asks before may be old when the call is made.
    """
    return ran.order.do != "look" and ran.was_struck and ran.steps[-1] == "socket send"
