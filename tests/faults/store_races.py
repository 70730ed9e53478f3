"""What comes in between, so that the next move of the store is the one too late."""

from __future__ import annotations

from collections.abc import Sequence

from faults.judged_store import Act
from faults.store_actors import LEARNS, OWNER, WORKERS, StoreActors

from autoposter.store import leases

#: What may happen between a claim and its intent.
BEFORE_AN_INTENT = [
    *["owner", "edited", "moved to another account", "cancelled", "off", "account", "account"],
    *["lease", "taken over", "form", "ended"],
]

#: What may happen between a look's claim and what comes of it.
BEFORE_A_FINDING = [*["looked at by another"] * 2, "answered", "account", "off", "lease", "form"]


class StoreRaces(StoreActors):
    """The races."""

    def an_attempt_is_raced(self) -> None:
        if self.luck.random() < 0.5:
            self.all_is_due()
        waiting = [act for act in self._running() if not act.promised or self.luck.random() < 0.2]
        act = self.luck.choice(waiting) if waiting else self.claim(self.a_post("Scheduled"), "w1")
        if act is None:
            return
        # What was promised once is Scheduled again only where another program says so.
        self._something_comes_in_between(act, ["form"] if act.promised else BEFORE_AN_INTENT)
        match self.luck.choice(["intend", "intend", "intend", "refuse", "not know"]):
            case "refuse" if not act.called:
                act.promised = False
                self.refuse(act.attempt)
            case "not know" if not act.promised:
                self.not_know(act)
            case _:
                self.intend(act)

    def a_look_is_raced(self) -> None:
        if self.luck.random() < 0.7:
            self.all_is_due()
        if sent := [act for act in self._running() if act.promised]:
            self._lose(self.luck.choice(sent).attempt.job_id)
        unknown = [job for job, row in self.books.jobs.items() if row["status"] == "unknown" and row["look_at"]]
        look = self.claim_look(self.luck.choice(unknown), self.luck.choice(WORKERS)) if unknown else None
        if look is None:
            return
        self._something_comes_in_between(look.act, BEFORE_A_FINDING)
        self.learn(look, self.luck.choice([*LEARNS, "again", "again"]))

    def _lose(self, job: int) -> None:
        self._expire(job)
        for lost in leases.expired():
            self.take_over(lost)

    def _something_comes_in_between(self, act: Act, deeds: Sequence[str]) -> None:
        job = act.attempt.job_id
        match self.luck.choice(deeds):
            case "owner":
                self._write(act.attempt.post_id, self._any_change())
            case "moved to another account":
                self._write(act.attempt.post_id, f"channel_account_id = {self.accounts[1]}")
            case "edited":
                self._write(act.attempt.post_id, f"content_item_id = {self.contents[1]}")
            case "cancelled":
                self.cancel(act.attempt.post_id)
            case "off":
                self._write(act.attempt.post_id, OWNER["off"])
            case "account":
                self._change_account(self.books.jobs[job]["channel_account_id"])
            case "form":
                self.save_a_row(self.luck.choice([row for row in self.saved if row["id"] == act.attempt.post_id]))
            case "lease":
                self._expire(job)
            case "taken over":
                self._lose(job)
            case "looked at by another":
                self._expire(job)
                same = self.looks[-1].look.attempt.worker
                self.claim_look(job, self.luck.choice([same, same, *WORKERS]))
            case "answered" if act.accepted:
                self.receive(act)
            case "ended" if not act.called:
                act.promised = False
                self.refuse(act.attempt)

    def a_worker_wakes_up(self) -> None:
        """It was found dead, and renews its lease before it is taken over."""
        if not (running := self._running()):
            return
        act = self.luck.choice(running)
        self._expire(act.attempt.job_id)
        found = leases.expired()
        self.renew(act)
        if not act.promised:
            self.intend(act)
        if self.luck.random() < 0.5:
            self._expire(act.attempt.job_id)
        for lost in found:
            self.take_over(lost)
