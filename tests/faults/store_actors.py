"""Who makes the moves of the store: workers, looks, the owner, a person, a program with old rows, and time.

Most picks go to what can be moved; the others try what must be refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any, TypeVar

import psycopg2.extras
from faults.judged_store import Act, LookAct
from faults.store_moves import ABSENT, StoreMoves

from autoposter.lifecycle import ErrorKind, Refused, Unknown
from autoposter.store import leases
from autoposter.store.leases import Expired
from autoposter.store.posts import Resolution

T = TypeVar("T")

WORKERS = ["w1", "w2"]

#: What the owner does with plain SQL, unguarded.
OWNER = {
    "on": "autopost_enabled = true",
    "off": "autopost_enabled = false",
    "slot": "content_item_id = null",
    "ages ago": "scheduled_for = now() - interval '2 days'",
    "soon": "scheduled_for = now() + interval '0.9 s'",
    "draft": "status = case status when 'Scheduled' then 'Draft' else status end",
}
ACCOUNT = {
    "active": "status = 'active', paused_until = null",
    "disabled": "status = 'disabled'",
    "disconnected": "status = 'disconnected'",
    "paused": "paused_until = now() + interval '1 h'",
}

#: What a look does, or comes to know.
LEARNS = ["truth", "truth", "nothing", "nothing", "nobody knows", "again", "again, unanswered"]


class StoreActors(StoreMoves):
    """The actors; `luck` decides what they do."""

    def __init__(self) -> None:
        super().__init__()
        self.saved: list[dict[str, Any]] = []
        self.lost: list[Expired] = []

    def likely(self, likely: Sequence[T], all_of_them: Sequence[T]) -> T | None:
        """Mostly one of the likely."""
        chosen = likely if likely and self.luck.random() < 0.8 else all_of_them
        return self.luck.choice(chosen) if chosen else None

    def a_post(self, *statuses: str) -> int:
        """Mostly one that is in one of these."""
        post = self.likely(self.of_status(*statuses), self.posts)
        assert post is not None
        return post

    def of_status(self, *statuses: str) -> list[int]:
        """The posts that are in one of these."""
        return [post for post in self.posts if self.books.posts[post]["status"] in statuses]

    # --- the owner, a person, and another program ---

    def the_owner_acts(self) -> None:
        deed = self.luck.choice(["cancel", "postpone", "now", *["something else"] * 8])
        match deed:
            case "cancel":
                self.cancel(self.a_post("Draft", "Scheduled", "Publishing"))
            case "postpone" | "now":
                at = self.books.now + timedelta(days=deed == "postpone")
                self.reschedule(self.a_post("Draft", "Scheduled"), at)
            case _:
                self._write(self.a_post("Draft", "Scheduled"), self._any_change())

    def _any_change(self) -> str:
        others = [f"content_item_id = {self.luck.choice(self.contents)}"]
        others += [f"channel_account_id = {self.luck.choice(self.accounts)}"]
        return self.luck.choice([*OWNER.values(), *others * 2])

    def _write(self, post: int, change: str) -> None:
        self.sql(f"update post_instance set {change} where id = %s", post)  # noqa: S608
        self.noted()

    def an_account_changes(self) -> None:
        self._change_account(self.luck.choice([*self.accounts, self.accounts[0]]))

    def _change_account(self, account: int) -> None:
        change = ACCOUNT[self.luck.choice([*ACCOUNT, "active"])]
        self.sql(f"update channel_account set {change} where id = %s", account)  # noqa: S608
        self.noted()

    def a_person_retries(self) -> None:
        self.retry(self.a_post("Failed", "Missed", "Cancelled"))

    def a_person_resolves(self) -> None:
        """Mostly with the truth."""
        post = self.a_post("Unconfirmed")
        said = self.luck.choice([Resolution.NOT_POSTED, Resolution.RETRY])
        if job := self.books.open_job(post):
            self._nobody_sends(job["id"])
            if self.act_of(job["id"]).accepted and self.luck.random() < 0.5:
                said = Resolution.POSTED
        self.resolve(post, said)

    def another_program_reads_or_saves(self) -> None:
        if self.luck.random() < 0.4:
            self.read_a_row(self.luck.choice(self.posts))
        else:
            self.save_a_row(self.luck.choice(self.saved))
            if self.luck.random() < 0.5:
                self.mend()

    def read_a_row(self, post: int) -> None:
        self.saved += self.sql("select * from post_instance where id = %s", post)

    def save_a_row(self, row: dict[str, Any]) -> None:
        """In full, as it was read."""
        names = [name for name in row if name not in ("id", "due_at")]
        values = [psycopg2.extras.Json(row[name]) if isinstance(row[name], dict) else row[name] for name in names]
        assignments = ", ".join(f"{name} = %s" for name in names)
        self.sql(f"update post_instance set {assignments} where id = %s", *values, row["id"])  # noqa: S608
        self.noted()

    # --- workers ---

    def a_worker_begins(self) -> None:
        if self.luck.random() < 0.2:
            self.an_account_changes()
        act = self.claim(self.a_post("Scheduled"), self.luck.choice(WORKERS))
        if act:
            self._go_on(act, self.luck.randint(0, 3))

    def a_worker_goes_on(self) -> None:
        """Perhaps long after others took it over."""
        if act := self.likely(self._running(), self.acts):
            self._go_on(act, self.luck.randint(1, 3))

    def _go_on(self, act: Act, steps: int) -> None:
        for _ in range(steps):
            if act.told:
                self.settle(act)
                return
            if act.promised and act.too_late:
                self.refuse(act.attempt)
                return
            if act.promised:
                self.call(act, accepted=self.luck.random() < 0.5, answered=self.luck.random() < 0.5)
            else:
                self.intend(act)

    def call(self, act: Act, *, accepted: bool, answered: bool) -> None:
        """The one irreversible call."""
        act.called, act.accepted = True, act.accepted or accepted
        if not answered:
            act.told = Unknown("no answer")
        else:
            act.told = act.receipt if accepted else Refused(ErrorKind.TRANSIENT, "not now")

    def settle(self, act: Act) -> None:
        match act.told:
            case Refused() as refused:
                self.refuse(act.attempt, refused)
            case Unknown():
                self.not_know(act)
            case _:
                self.receive(act)

    def a_worker_repeats_itself(self) -> None:
        """What it has done already, or has not come to yet."""
        if not self.acts:
            return
        act = self.likely([act for act in self.acts if act.told], self.acts)
        assert act is not None
        match self.luck.choice(["settle", "intend", "refuse", "not know", "settle", "renew", "renew"]):
            case "intend" if not act.too_late:
                self.intend(act)
            case "refuse" if not act.called:
                act.promised = False
                self.refuse(act.attempt)
            case "not know" if not act.promised:
                self.not_know(act)
            case "settle" if act.told:
                self.settle(act)
            case "renew":
                self.renew(act)

    def a_worker_is_lost(self) -> None:
        """Its process is frozen or dead for ten seconds; others find that, and act upon it, perhaps later."""
        deed = self.luck.choice(["expire", "find", "take over", "all", "all"])
        held = [job["id"] for job in self.books.jobs.values() if job["lease_until"]]
        if deed in ("expire", "all") and held:
            self._expire(self.luck.choice(held))
        if deed in ("find", "all"):
            self.lost = leases.expired()
        if deed in ("take over", "all"):
            for lost in self.lost:
                self.take_over(lost)

    def _expire(self, job: int) -> None:
        self._nobody_sends(job)
        self.sql(
            "update publish_job set lease_until = now() - interval '1 s'"
            " where id = %s and status in ('running', 'unknown') and lease_until is not null",
            job,
        )
        self.noted()

    def _nobody_sends(self, job: int) -> None:
        """So much time has passed that its process would not act upon its intent."""
        self.act_of(job).too_late = True

    # --- looks ---

    def a_look(self) -> None:
        unknown = [job for job in self.books.jobs if self.books.jobs[job]["status"] == "unknown"]
        job = self.likely(unknown, list(self.books.jobs))
        look = self.claim_look(job, self.luck.choice(WORKERS)) if job else None
        if look and self.luck.random() < 0.8:
            self.learn(look, self.luck.choice(LEARNS))

    def a_look_goes_on(self) -> None:
        if look := self.likely(self.looks[-2:], self.looks):
            self.learn(look, self.luck.choice(LEARNS))

    def learn(self, look: LookAct, learns: str) -> None:
        """Once; who says so twice says the same."""
        if not learns.startswith("again"):
            look.learnt = look.learnt or learns
        match look.learnt or learns:
            case "nothing":
                self.look_later(look, self.books.now + timedelta(seconds=60))
            case "nobody knows":
                self.give_up(look)
            case "truth" if look.act.accepted:
                self.receive(look.act)
            case "truth":
                self._nobody_sends(look.act.attempt.job_id)  # it believes in absence only then
                self.refuse(look.look.attempt, ABSENT, look.look.looks)
            case again:
                self._send_again(look, answered=again == "again")

    def _send_again(self, look: LookAct, *, answered: bool) -> None:
        """The platform takes it now, or names what it took before."""
        if self.send_again(look):
            look.act.accepted = True
            if answered:
                self.receive(look.act)

    def _running(self) -> list[Act]:
        return [act for act in self.acts if self.books.jobs[act.attempt.job_id]["status"] == "running"]

    # --- time, and the minute's chores ---

    def a_while_passes(self) -> None:
        match self.luck.choice(["pauses are over", "mend", "missed", "missed"]):
            case "mend":
                self.mend()
            case "missed":
                self.end_missed()
            case _:
                self._pauses_are_over()
                self.noted()

    def _pauses_are_over(self) -> None:
        self.sql("update post_instance set retry_at = null where id = any(%s)", self.posts)
        self.sql(
            "update publish_job set look_at = now() where look_at is not null and post_instance_id = any(%s)",
            self.posts,
        )

    def all_is_due(self) -> None:
        """Whatever is `Scheduled` may go out at once."""
        self.sql("update channel_account set status = 'active', paused_until = null where id = any(%s)", self.accounts)
        self.sql(
            "update post_instance set autopost_enabled = true, scheduled_for = now(),"
            " content_item_id = coalesce(content_item_id, %s)"
            " where status = 'Scheduled' and id = any(%s) and not exists (select from publish_job j"
            "   where j.post_instance_id = post_instance.id and j.status = 'running')",
            self.contents[0],
            self.posts,
        )
        self._pauses_are_over()
        self.noted()
