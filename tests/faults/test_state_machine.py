"""Several actors make every move of the store in any order, on real PostgreSQL; after each the books must hold.

pytest tests/faults/test_state_machine.py                        60 examples of 25 moves
pytest tests/faults/test_state_machine.py --long --seed 7        1,000 examples of 60 moves
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import hypothesis
import moves
import psycopg2
import psycopg2.extras
from factories import Factories
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from autoposter.lifecycle import TRANSITIONS, Confirmed, ErrorKind, Refused, Status, Unknown
from autoposter.store import jobs, leases, ledger, looks, posts
from autoposter.store.looks import Look
from autoposter.store.posts import Resolution
from autoposter.store.snapshots import Attempt

WORKERS = st.sampled_from(["w1", "w2", "w3"])
PICKS = st.integers(0, 1000)

#: How far an attempt goes in one go: intent, call, settle.
STEPS = st.sampled_from([3, 3, 2, 1, 0])

#: Only on a post that another program wrote over does the ledger also say this.
RESTORED = (Status.SCHEDULED, Status.UNCONFIRMED)


#: What must have happened in a run, else it shows nothing.
REACHED = [
    "intent, won",
    "settle Confirmed, won",
    "settle Refused, won",
    "settle Unknown, won",
    "take over, won",
    "look, won",
    "settle a look: the truth, won",
]


@dataclass
class Act:
    """An attempt as the process that makes it sees it, and what the platform knows of its call."""

    attempt: Attempt
    promised: bool = False
    too_late: bool = False
    """It was held up for longer than an intent lasts: it sends nothing."""
    called: bool = False
    accepted: bool = False
    disproved: bool = False
    """The platform refused it, or it was looked for and is not there."""
    told: Confirmed | Refused | Unknown | None = None
    """What its process came to know."""


class Store(RuleBasedStateMachine):
    """Two posts, three workers, the owner, a person, and a program that saves old rows."""

    url = ""
    tally: defaultdict[str, int] = defaultdict(int)

    def __init__(self) -> None:
        super().__init__()
        self.connection = psycopg2.connect(self.url)
        self.connection.autocommit = True
        self.factories = Factories(self.url)
        account = self.factories.account()
        self.posts = [self.factories.post(-moves.SECOND, channel_account_id=account) for _ in range(2)]
        self.acts: list[Act] = []
        self.looks: list[Look] = []
        self.saved: list[dict[str, Any]] = []
        self.overwritten: set[int] = set()
        self.before = self._statuses()

    def teardown(self) -> None:
        try:
            self._the_ledger_is_followed()
        finally:
            self._sql("update post_instance set status = 'Draft' where id = any(%s)", self.posts)
            self._sql("delete from post_instance where id = any(%s)", self.posts)
            self.connection.close()

    # --- help ---

    def _sql(self, sql: str, *values: Any) -> list[dict[str, Any]]:
        with self.connection.cursor(cursor_factory=psycopg2.extras.RealDictCursor) as cursor:
            cursor.execute(sql, values)
            return [dict(row) for row in cursor.fetchall()] if cursor.description else []

    def _statuses(self) -> dict[int, Status]:
        rows = self._sql("select id, status from post_instance where id = any(%s)", self.posts)
        return {row["id"]: Status(row["status"]) for row in rows}

    def _post(self, pick: int) -> int:
        return self.posts[pick % len(self.posts)]

    def _did(self, what: str, won: object) -> None:
        self.tally[f"{what}, {'won' if won else 'lost'}"] += 1

    def _call_of(self, job_id: int) -> Act:
        return next(act for act in self.acts if act.attempt.job_id == job_id)

    # --- rules: few, each with many moves, so that the deep ones happen ---

    @rule(deed=st.sampled_from(["cancel", "move", "postpone", "retry", "retry", "on", "on", "off", "edit"]), pick=PICKS)
    def the_owner_acts(self, deed: str, pick: int) -> None:
        match deed:
            case "cancel":
                self.cancel(pick)
            case "move" | "postpone":
                self.reschedule(pick, 0 if deed == "move" else 1)
            case "retry":
                self.retry(pick)
            case "on" | "off":
                self.switch(pick, deed == "on")
            case "edit":
                self.edit(pick)

    @initialize(
        begun=st.lists(st.tuples(STEPS, st.booleans(), st.booleans(), st.booleans()), min_size=2, max_size=2),
    )
    def something_has_happened(self, begun: list[tuple[int, bool, bool, bool]]) -> None:
        """Each post was attempted, so far, perhaps by a worker that is lost."""
        for pick, (steps, accepted, answered, lost) in enumerate(begun):
            self.read_a_row(pick)
            self.a_worker_begins(pick, "w0", steps, accepted, answered)
            if lost:
                self.expire_and_take_over(0)

    @rule(pick=PICKS, again=st.booleans())
    def a_person_resolves(self, pick: int, again: bool) -> None:
        self.resolve(pick, again)

    @rule(pick=PICKS, save=st.booleans())
    def another_program_reads_or_saves(self, pick: int, save: bool) -> None:
        if save:
            self.save_a_stale_row(pick)
        else:
            self.read_a_row(pick)

    @rule(pick=PICKS, worker=WORKERS, steps=STEPS, accepted=st.booleans(), answered=st.booleans())
    def a_worker_begins(self, pick: int, worker: str, steps: int, accepted: bool, answered: bool) -> None:
        """It claims a post, and goes on for some steps; others act before the rest of them."""
        count = len(self.acts)
        self.claim(pick, worker)
        if len(self.acts) > count:
            self._go_on(steps, 0, accepted, answered)

    @rule(pick=PICKS, steps=st.integers(1, 3), accepted=st.booleans(), answered=st.booleans())
    def a_worker_goes_on(self, pick: int, steps: int, accepted: bool, answered: bool) -> None:
        self._go_on(steps, pick, accepted, answered)

    def _go_on(self, steps: int, pick: int, accepted: bool, answered: bool) -> None:
        for move in (
            lambda: self.intend(pick),
            lambda: self.call(pick, accepted, answered),
            lambda: self.settle(pick),
        )[:steps]:
            move()
            self.each_move_is_in_the_table()

    @rule(pick=PICKS, sent=st.booleans())
    def a_worker_is_held_up(self, pick: int, sent: bool) -> None:
        if sent:
            self.expire_and_take_over(pick)
        else:
            self.settle_what_was_not_sent(pick)

    @rule(
        pick=PICKS,
        worker=WORKERS,
        ends=st.booleans(),
        learns=st.sampled_from(["the truth", "the truth", "nothing", "nobody knows"]),
    )
    def a_look(self, pick: int, worker: str, ends: bool, learns: str) -> None:
        self.time_passes()
        self.claim_a_look(pick, worker)
        if ends:
            self.settle_a_look(0 if pick % 2 else pick, learns)

    @rule(mends=st.booleans())
    def a_while_passes(self, mends: bool) -> None:
        self.time_passes()
        if mends:
            self.mend()

    # --- the owner, a person, and another program ---

    def cancel(self, pick: int) -> None:
        self._did("cancel", posts.cancel([self._post(pick)]))

    def reschedule(self, pick: int, days: int) -> None:
        at = datetime.now(UTC) + timedelta(days=days)
        self._did("reschedule", posts.reschedule([self._post(pick)], at))

    def retry(self, pick: int) -> None:
        self._did("retry", posts.retry([self._post(pick)], None))

    def switch(self, pick: int, enabled: bool) -> None:
        self._sql("update post_instance set autopost_enabled = %s where id = %s", enabled, self._post(pick))

    def edit(self, pick: int) -> None:
        post = self._post(pick)
        self._sql("update post_instance set content_item_id = %s where id = %s", self.factories.content(), post)

    def resolve(self, pick: int, again: bool) -> None:
        """A person looks at the platform, and tells the truth."""
        post = self._post(pick)
        unknown = self._sql("select id from publish_job where post_instance_id = %s and status = 'unknown'", post)
        out = bool(unknown) and self._call_of(unknown[0]["id"]).accepted
        said = Resolution.POSTED if out else Resolution.RETRY if again else Resolution.NOT_POSTED
        won = posts.resolve(post, said, by="somebody", platform_post_id=f"id-{unknown[0]['id']}" if out else None)
        if won and not out:
            self._call_of(unknown[0]["id"]).disproved = True
        self._did("resolve", won)

    def read_a_row(self, pick: int) -> None:
        self.saved += self._sql("select * from post_instance where id = %s", self._post(pick))

    def save_a_stale_row(self, pick: int) -> None:
        if not self.saved:
            return
        row = self.saved[pick % len(self.saved)]
        names = [name for name in row if name not in ("id", "due_at")]
        values = [psycopg2.extras.Json(row[name]) if isinstance(row[name], dict) else row[name] for name in names]
        assignments = ", ".join(f"{name} = %s" for name in names)
        self._sql(f"update post_instance set {assignments} where id = %s", *values, row["id"])  # noqa: S608
        self.overwritten.add(row["id"])
        self.before = self._statuses()

    # --- workers ---

    def claim(self, pick: int, worker: str) -> None:
        attempt = moves.claim(self._post(pick), worker)
        if attempt is not None:
            self.acts.append(Act(attempt))
        self._did("claim", attempt)

    def intend(self, pick: int) -> None:
        waiting = [act for act in self.acts if not act.promised]
        if not waiting:
            return
        act = waiting[-1 - pick % len(waiting)]
        act.promised = bool(jobs.intend(act.attempt, {}))
        self._did("intent", act.promised)

    def call(self, pick: int, accepted: bool, answered: bool) -> None:
        ready = [act for act in self.acts if act.promised and not act.called and not act.too_late]
        if not ready:
            return
        act = ready[-1 - pick % len(ready)]
        act.called, act.accepted = True, accepted
        if not answered:
            act.told = Unknown("no answer")
        elif accepted:
            act.told = Confirmed(f"id-{act.attempt.job_id}")
        else:
            act.told, act.disproved = Refused(ErrorKind.TRANSIENT, "not now"), True

    def settle(self, pick: int) -> None:
        """Perhaps long after others took it over, perhaps for the second time."""
        done = [act for act in self.acts if act.told]
        if not done:
            return
        act = done[-1 - pick % len(done)]
        match act.told:
            case Confirmed():
                won = moves.receive(act.attempt, act.told)
            case Refused():
                won = jobs.settle_refusal(moves.ending(act.attempt, act.told))
            case _:
                won = jobs.settle_unknown(moves.ending(act.attempt, Unknown("no answer"), ended_at=datetime.now(UTC)))
        self._did(f"settle {type(act.told).__name__}", won)

    def settle_what_was_not_sent(self, pick: int) -> None:
        if not self.acts:
            return
        act = self.acts[pick % len(self.acts)]
        if not act.called:
            act.too_late = True
            refused = Refused(ErrorKind.TRANSIENT, "held up")
            self._did("settle unsent", jobs.settle_refusal(moves.ending(act.attempt, refused)))

    def expire_and_take_over(self, pick: int) -> None:
        """Its process is frozen or dead for ten seconds."""
        if not self.acts:
            return
        act = self.acts[-1 - pick % len(self.acts)]
        act.too_late = True
        self._sql(
            "update publish_job set lease_until = now() - interval '1 s' where id = %s and status = 'running'",
            act.attempt.job_id,
        )
        for lost in leases.expired():
            self._did("take over", moves.take_over(lost))

    def time_passes(self) -> None:
        """Pauses between attempts and looks are over, and the leases of looks."""
        self._sql("update post_instance set retry_at = null where id = any(%s)", self.posts)
        self._sql(
            "update publish_job set lease_until = null, look_at = now()"
            " where status = 'unknown' and look_at is not null and post_instance_id = any(%s)",
            self.posts,
        )

    def claim_a_look(self, pick: int, worker: str) -> None:
        unknown = self._sql(
            "select id from publish_job where post_instance_id = %s order by id desc limit 1", self._post(pick)
        )
        look = looks.claim_look(unknown[0]["id"], worker=worker) if unknown else None
        if look is not None:
            self.looks.append(look)
        self._did("look", look)

    def settle_a_look(self, pick: int, learns: str) -> None:
        if not self.looks:
            return
        look = self.looks[-1 - pick % len(self.looks)]
        act = self._call_of(look.attempt.job_id)
        act.too_late = True  # a look believes in absence only after the end of the call
        nothing = moves.ending(look.attempt, Unknown("?"), looks=look.looks)
        if learns == "nothing":
            won = jobs.settle_look(nothing, look_at=datetime.now(UTC))
        elif learns == "nobody knows":
            won = jobs.give_up_looking(nothing)
        elif act.accepted:
            won = moves.receive(look.attempt, Confirmed(f"id-{look.attempt.job_id}"))
        else:
            act.disproved = True
            won = moves.refuse(look.attempt, looks=look.looks)
        self._did(f"settle a look: {learns}", won)

    def mend(self) -> None:
        self._did("mend", ledger.mend(8))

    # --- what must hold after each of them ---

    @invariant()
    def no_second_attempt_while_one_is_open_or_went_out(self) -> None:
        assert not self._sql(
            "select post_instance_id from publish_job where status in ('running', 'unknown', 'completed')"
            " and post_instance_id = any(%s) group by 1 having count(*) > 1",
            self.posts,
        )

    @invariant()
    def at_most_one_call_that_may_have_gone_through(self) -> None:
        calls = [act.attempt.post_id for act in self.acts if act.called and not act.disproved]
        assert len(calls) == len(set(calls)), "called again without a proof that nothing went out"

    @invariant()
    def posted_has_a_completed_job_with_a_receipt(self) -> None:
        assert not self._sql(
            "select p.id from post_instance p where p.status = 'Posted' and p.id = any(%s) and not exists"
            " (select from publish_job j where j.post_instance_id = p.id and j.status = 'completed'"
            "     and j.platform_post_id = p.platform_post_id)",
            self.posts,
        )

    @invariant()
    def what_completed_went_out(self) -> None:
        for act in self.acts:
            job = self._sql("select status, intent_at from publish_job where id = %s", act.attempt.job_id)[0]
            assert job["status"] != "completed" or act.accepted
            assert bool(job["intent_at"]) == act.promised
            assert job["status"] not in ("failed", "cancelled") or not act.accepted, "a receipt was lost"

    @invariant()
    def each_move_is_in_the_table(self) -> None:
        now = self._statuses()
        for post, status in now.items():
            move = (self.before[post], status)
            allowed = move in TRANSITIONS or (move == RESTORED and post in self.overwritten)
            assert move[0] == move[1] or allowed, move
        self.before = now

    def _the_ledger_is_followed(self) -> None:
        """What is held back is put right when it falls due: here it does."""
        self._sql(
            "update post_instance set autopost_enabled = true, retry_at = null, scheduled_for = now()"
            " where status = 'Scheduled' and id = any(%s)",
            self.posts,
        )
        ledger.mend(8)
        assert not self._sql(
            "select p.id from post_instance p join publish_job j on j.post_instance_id = p.id"
            " where j.status = 'completed' and p.id = any(%s)"
            "   and (p.status <> 'Posted' or p.platform_post_id is distinct from j.platform_post_id)",
            self.posts,
        )
        self.posted_has_a_completed_job_with_a_receipt()


def test_the_books_hold_whatever_several_actors_do(database: Any, database_url: str, long: bool, seed: int) -> None:
    Store.url = database_url
    Store.tally.clear()
    examples, steps = (1000, 60) if long else (60, 25)
    run_state_machine_as_test(
        hypothesis.seed(seed)(Store),
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
    print(f"seed {seed}")
    for what, count in sorted(Store.tally.items()):
        print(f"{what:32} {count:7}")
    assert {what for what in REACHED if not Store.tally[what]} == set(), "the examples are too shallow"
