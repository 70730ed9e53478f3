"""The Hypothesis state machine over the store: all actors in any order, and then everything is settled."""

from __future__ import annotations

import random
from typing import Any

import hypothesis
from faults.judged_store import Act
from faults.store_actors import OWNER
from faults.store_races import StoreRaces
from hypothesis import HealthCheck, note, settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize, rule, run_state_machine_as_test

from autoposter.lifecycle import ErrorKind, Refused
from autoposter.store import books as audits
from autoposter.store import leases
from autoposter.store.posts import Resolution

#: Whose turn it is, the busy ones more often.
ACTORS = [
    *["an_attempt_is_raced", "a_look_is_raced"] * 5,
    *["a_worker_begins", "a_worker_goes_on", "a_look"] * 3,
    *["a_person_resolves", "the_owner_acts", "a_person_resolves", "another_program_reads_or_saves", "a_while_passes"]
    * 2,
    *["a_worker_is_lost", "a_worker_repeats_itself", "a_worker_wakes_up", "a_look_goes_on"],
    *["a_person_retries", "a_person_retries", "an_account_changes"],
]

#: Evenly drawn: Hypothesis would prefer small numbers among larger ones than these.
LUCK = st.integers(0, 2**20)

#: How far a post has come before an example begins.  Doubted: `Unconfirmed`, and
#: its frozen process has the receipt; misjudged: a person then said that it is not there.
STAGES = [
    *["fresh", "claimed", "promised", "called", "answered", "unknown"],
    *["looked at", "unconfirmed", "doubted", "misjudged", "misjudged", "posted", "failed", "late", "late"],
]


class StoreMachine(StoreRaces):
    """The rules."""

    def teardown(self) -> None:
        """Everything is settled, and the books are proved; then the example is deleted."""
        try:
            if self.sound:
                self.the_wind_drops()
        finally:
            self.close()

    # --- what happens ---

    @initialize(luck=LUCK)
    def something_has_happened(self, luck: int) -> None:
        """Each post has come so far by its natural way.  `luck` decides all that happens in the example.

        Were each turn drawn by itself, five of six examples would repeat most of the one before them.
        """
        self.luck = random.Random(luck)
        for post in self.posts:
            self.read_a_row(post)
            stage = self.luck.choice(STAGES)
            note(f"post {post} is {stage}")
            if stage == "late":
                for change in ("ages ago", self.luck.choice(["on", "off", "slot"])):
                    self._write(post, OWNER[change])
                self.luck.choice([self.end_missed, self.a_worker_begins])()
            elif stage != "fresh" and (act := self.claim(post, "w0")):
                self._begin(act, stage)
            self.read_a_row(post)

    def _begin(self, act: Act, stage: str) -> None:
        if stage == "failed":
            self.refuse(act.attempt, Refused(ErrorKind.CONTENT, "never"))
        if stage in ("failed", "claimed"):
            return
        self.intend(act)
        if stage == "promised" or not act.promised:
            return
        answered = stage in ("posted", "answered", "doubted", "misjudged")
        self.call(act, accepted=answered or self.luck.random() < 0.5, answered=answered)
        if stage in ("doubted", "misjudged"):
            self._expire(act.attempt.job_id)
            self.take_over(leases.expired()[0])
        elif stage not in ("called", "answered"):
            self.settle(act)
        if stage in ("looked at", "unconfirmed", "doubted", "misjudged"):
            look = self.claim_look(act.attempt.job_id, "w0")
            if stage != "looked at" and look:
                self.learn(look, "nobody knows")
        if stage == "misjudged":
            self.resolve(act.attempt.post_id, Resolution.NOT_POSTED)

    @rule()
    def somebody_acts(self) -> None:
        who = self.luck.choice(ACTORS)
        note(who)
        getattr(self, who)()
        self._nothing_is_out_twice()
        self._no_receipt_is_lost()

    # --- what must hold after each of them ---

    def _nothing_is_out_twice(self) -> None:
        out = [act.attempt.post_id for act in self.acts if act.accepted and act.attempt.post_id not in self.misled]
        assert len(out) == len(set(out)), "sent again without a proof that nothing went out"

    def _no_receipt_is_lost(self) -> None:
        for act in self.acts:
            ended = self.books.jobs[act.attempt.job_id]["status"] in ("failed", "cancelled")
            assert not (ended and act.accepted) or act.attempt.post_id in self.misled, act

    # --- the end ---

    def the_wind_drops(self) -> None:
        """Everything is due and switched on, leases run out, looks tell the truth: nothing may be left open."""
        for _ in range(3):
            for job in list(self.books.jobs):
                self._expire(job)
            for lost in leases.expired():
                self.take_over(lost)
            self.all_is_due()
            for job, row in list(self.books.jobs.items()):
                if row["look_at"] and (look := self.claim_look(job, "w1")):
                    self.learn(look, "truth")
            self.mend()
            for post in self.of_status("Scheduled"):
                if act := self.claim(post, "w1"):
                    self.intend(act)
                    self.call(act, accepted=True, answered=True)
                    self.settle(act)
        for post in self.posts:
            self._nothing_is_open(post)
        wrong = [it for it in audits.audit() if (it.check, it.post_id in self.misled) != ("out twice", True)]
        assert not wrong, wrong

    def _nothing_is_open(self, post: int) -> None:
        status = self.books.posts[post]["status"]
        out = any(act.accepted for act in self.acts if act.attempt.post_id == post)
        assert status not in ("Scheduled", "Publishing"), f"it is left {status}"
        assert out or status != "Posted", "it is called Posted, and the platform has nothing"
        assert not out or status in ("Posted", "Unconfirmed") or post in self.misled, f"it is out, and {status}"


def run_the_machine(database_url: str, *, seed: int, examples: int, steps: int, **options: Any) -> None:
    """So many examples; raises what the machine noticed."""
    StoreMachine.url = database_url
    StoreMachine.tally.clear()
    run_state_machine_as_test(
        hypothesis.seed(seed)(StoreMachine),
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
            **options,
        ),
    )
