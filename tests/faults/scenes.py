"""Scenes, each staged so that one safeguard stands between it and the damage."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from faults.forge import Forge, Order, Ran
from faults.injection import Fault, Moment, Strike
from faults.world import World
from processes import wait_until

from autoposter.testing import rules
from autoposter.testing.rules import Reply

KEYED, FINDABLE, BLIND = "fake_keyed", "fake_findable", "fake_blind"


@dataclass(frozen=True)
class Without:
    """What is taken away from the processes of a scenario, or nothing."""

    remove: dict[str, str] = field(default_factory=dict)
    sabotage: tuple[str, ...] = ()
    before: str = ""
    """SQL that takes something away from the database."""

    def __str__(self) -> str:
        return ", ".join([*self.sabotage, *(" ".join(text.split()) for text in self.remove)]) or self.before


@dataclass
class Scene:
    """What a scenario plays on."""

    world: World
    forge: Forge
    without: Without
    always: tuple[str, ...] = ()
    """The misbehaviour that the safeguard is for; it happens in both runs."""
    met: set[str] = field(default_factory=set)

    def order(self, do: str, what: int = 0, strike: Strike | None = None) -> Order:
        return Order(do, what, strike, self.without.remove, (*self.always, *self.without.sabotage))

    def run(self, do: str, what: int = 0, strike: Strike | None = None) -> Ran:
        ran = self.forge.run(self.order(do, what, strike))
        self.met |= set(ran.removed)
        return ran

    def recover(self, seconds: int = 20) -> None:
        ran = self.run("recover", seconds)
        assert ran.ended == 0, ran.trace

    def thaw(self, ran: Ran) -> None:
        self.met |= set(self.forge.thaw(ran).removed)

    def publish_until(self, kind: str, step: str, fault: Fault) -> Ran:
        """One attempt, struck after the first step of this name."""
        ran = self.run("publish", self.world.post(self.world.account(kind)), Strike(fault, Moment.AFTER, 1, step))
        assert ran.was_struck, ran.trace
        return ran

    def owner_acts_while_it_is_held(self, change: str, *, of_account: bool = False) -> None:
        """A post is claimed a second ahead; before its intent its owner takes it back."""
        account = self.world.account(FINDABLE)
        post = self.world.post(account, due_in=0.95)
        attempt = self.forge.start(self.order("publish", post))
        wait_until(lambda: self.world.rows.query("select 1 from publish_job"))
        if of_account:
            self.world.rows.query(f"update channel_account set {change} where id = %s", (account,))  # noqa: S608
            self.world.taken_back(post, "updated_at = now()")
        else:
            self.world.taken_back(post, change)
        self.met |= set(attempt.result().removed)


# --- Scenarios -------------------------------------------------------------------------------------------------------


def killed_after_the_call(scene: Scene) -> None:
    scene.publish_until(BLIND, "socket recv", Fault.KILL)
    scene.world.expire_leases()
    scene.recover()


def a_stale_row_is_saved_over_a_posted_one(scene: Scene) -> None:
    post = scene.world.post(scene.world.account(BLIND))
    scene.run("publish", post)
    scene.world.rows.query("update post_instance set status = 'Scheduled' where id = %s", (post,))
    scene.run("publish", post)


def the_owner_cancels(scene: Scene) -> None:
    scene.owner_acts_while_it_is_held("status = 'Cancelled'")


def the_owner_switches_off(scene: Scene) -> None:
    scene.owner_acts_while_it_is_held("autopost_enabled = false")


def the_owner_moves(scene: Scene) -> None:
    scene.owner_acts_while_it_is_held("scheduled_for = scheduled_for + interval '1 day'")


def the_account_is_disabled(scene: Scene) -> None:
    scene.owner_acts_while_it_is_held("status = 'disabled'", of_account=True)


def the_account_is_paused(scene: Scene) -> None:
    scene.owner_acts_while_it_is_held("paused_until = now() + interval '1 day'", of_account=True)


def due_in_a_moment(scene: Scene) -> None:
    scene.run("publish", scene.world.post(scene.world.account(KEYED), due_in=0.9))


def frozen_with_an_intent(scene: Scene) -> None:
    """Others have found it absent and sent it anew when the frozen process goes on."""
    ran = scene.publish_until(FINDABLE, "set_config('synchronous", Fault.FREEZE)  # the intent begins so
    others_publish_what_a_frozen_process_holds(scene, ran)


def frozen_in_the_call(scene: Scene) -> None:
    ran = scene.publish_until(FINDABLE, "socket connect", Fault.FREEZE)
    others_publish_what_a_frozen_process_holds(scene, ran)


def others_publish_what_a_frozen_process_holds(scene: Scene, ran: Ran) -> None:
    scene.world.expire_leases()
    scene.world.recover(scene.forge)  # takes longer than an intent lasts: absence counts only after that
    scene.thaw(ran)


def frozen_before_its_intent_and_taken_over(scene: Scene) -> None:
    ran = scene.publish_until(FINDABLE, "sql COMMIT", Fault.FREEZE)
    scene.world.expire_leases()
    scene.run("take_over")
    scene.thaw(ran)
    scene.recover(5)


def frozen_with_a_refusal_that_others_have_overtaken(scene: Scene) -> None:
    scene.world.platform.follow(rules.refuse_for_now(times=1))
    ran = scene.publish_until(KEYED, "socket recv", Fault.FREEZE)
    scene.world.expire_leases()
    scene.world.recover(scene.forge)
    scene.thaw(ran)


def answers_are_lost(kind: str, **platform: Any) -> Callable[[Scene], None]:
    def play(scene: Scene) -> None:
        scene.world.platform.configure(**platform)
        scene.world.platform.follow(rules.accept_then(Reply.RESET, times=1))
        post = scene.world.post(scene.world.account(kind))
        scene.run("publish", post)
        if scene.world.rows.query("select status from publish_job") == [("unknown",)]:
            scene.run("look", scene.world.job_of(post))  # at once, before the platform can show it
        scene.recover()

    play.__name__ = f"the_answer_of_{kind}_is_lost"
    return play


def killed_while_the_platform_still_works(scene: Scene) -> None:
    scene.world.platform.follow(rules.slow_to_publish(4000, times=1))
    begun = time.monotonic()
    post = scene.world.post(scene.world.account(FINDABLE))
    attempt = scene.forge.start(scene.order("publish", post))
    wait_until(lambda: scene.world.rows.query("select 1 from publish_job where intent_at is not null"))
    time.sleep(0.3)
    worker = scene.world.rows.query("select worker from publish_job where post_instance_id = %s", (post,))[0][0]
    os.kill(int(worker.removeprefix("forge-")), signal.SIGKILL)
    attempt.result()
    scene.world.expire_leases()
    scene.recover()
    time.sleep(max(0.0, begun + 5 - time.monotonic()))


def found_absent_and_shown_later(scene: Scene) -> None:
    """A platform that takes longer than its publisher promised."""
    scene.world.platform.configure(listing_lag_ms=4000)
    scene.world.platform.follow(rules.accept_then(Reply.RESET, times=1))
    post = scene.world.post(scene.world.account(FINDABLE))
    scene.run("publish", post)
    while scene.world.rows.query("select status from publish_job") == [("unknown",)]:
        scene.run("look", scene.world.job_of(post))
        time.sleep(0.3)
        scene.world.rows.query("update publish_job set look_at = now() where status = 'unknown'")
    time.sleep(3)
    scene.recover()


def taken_over_while_it_works(scene: Scene) -> None:
    """The receipt wins over not knowing, and absence counts only when the call must be over."""
    scene.world.platform.follow(rules.slow(1200))
    attempt = scene.forge.start(Order("publish", scene.world.post(scene.world.account(FINDABLE))))
    wait_until(lambda: scene.world.rows.query("select 1 from publish_job where intent_at is not null"))
    scene.run("take_over")
    scene.recover()
    attempt.result()


def the_publisher_calls_twice(scene: Scene) -> None:
    scene.run("publish", scene.world.post(scene.world.account(BLIND)))
    scene.recover()
