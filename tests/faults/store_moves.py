"""Each move of the store as one actor makes it, judged: by `verdicts`, and by what it may change."""

from __future__ import annotations

import random
from datetime import datetime
from typing import Any
from unittest.mock import ANY

import moves
from faults import verdicts
from faults.judged_store import Act, Changes, JudgedStore, LookAct

from autoposter import lifecycle
from autoposter.lifecycle import ErrorKind, Refused, Unknown
from autoposter.store import claims, dispatch, intents, jobs, leases, looks, posts
from autoposter.store.leases import Expired
from autoposter.store.posts import Resolution
from autoposter.store.snapshots import Attempt

HELD_UP = Refused(ErrorKind.TRANSIENT, "held up")
ABSENT = Refused(ErrorKind.TRANSIENT, "it is not there")


class StoreMoves(JudgedStore):
    """The moves; `luck` decides whether they are made alone, or as threads make them together."""

    def __init__(self) -> None:
        super().__init__()
        self.luck = random.Random(0)

    # --- a worker ---

    def claim(self, post: int, worker: str) -> Act | None:
        """A second before it is due at most."""
        books, right = self.books, verdicts.may_claim(self.books, post)
        claim = self.luck.choice([claims.claim, moves.claim_with_others])
        attempt = claim(post, worker=worker, max_lateness=verdicts.MAX_LATENESS)
        if not attempt and verdicts.meets_a_claim(books, post):
            self._restored(post)
        self.judge("claim", attempt, right, {("job", attempt.job_id): {"worker": worker}} if attempt else {})
        if attempt is None:
            return None
        self.acts.append(Act(attempt))
        return self.acts[-1]

    def _restored(self, post: int) -> None:
        job = self.books.open_job(post)
        if self.books.is_paused(self.books.account_of(post)):
            self.only("a claim of a paused account's post", {("post", post): {"retry_at": ANY}})
        elif job and (says := verdicts.what_the_ledger_says(job)):
            follows = {"status": says, "platform_post_id": job["platform_post_id"], "last_error": ANY, "retry_at": None}
            self.only("a claim that meets the ledger", {("post", post): follows})

    def intend(self, act: Act) -> None:
        """Promise the call."""
        won = self.luck.choice([intents.intend, moves.intend_with_others])(act.attempt, {})
        changes = {_post(act.attempt): {"status": "Publishing"}, _job(act.attempt): {"intent_at": ANY}}
        act.promised |= self.judge("intent", won, verdicts.may_intend(self.books, act.attempt), changes)

    def receive(self, act: Act) -> None:
        """Write its receipt, whatever has happened meanwhile."""
        id = act.receipt.platform_post_id
        settle = self.luck.choice([jobs.settle_receipt, moves.settle_with_others])
        won = settle(moves.receipt_of(act.attempt, act.receipt))
        posted = {"status": "Posted", "platform_post_id": id, "last_error": None, "retry_at": None}
        changes = {
            _job(act.attempt): {"status": "completed", "platform_post_id": id},
            _post(act.attempt): posted,
        }
        late = self.books.jobs[act.attempt.job_id]["status"] != "running"
        what = "late receipt" if late else "receipt"
        if not self.judge(what, won, verdicts.may_receive(self.books, act.attempt), changes):
            kept = jobs.keep_late_receipt(act.attempt.job_id, act.receipt)
            right = verdicts.may_keep_late_receipt(self.books, act.attempt)
            self.judge("receipt kept", kept, right, {_job(act.attempt): {"platform_post_id": id}})

    def refuse(self, attempt: Attempt, refused: Refused = HELD_UP, looked: int = 0) -> None:
        """Write that nothing went out: the attempt itself, or a look at it."""
        ending = moves.ending(attempt, refused, looks=looked)
        changes = self._moved(attempt, ending.settlement.job, ending.settlement.post)
        won = jobs.settle_refusal(ending)
        what = "look: it is not there" if looked else "refusal"
        self.judge(what, won, verdicts.may_settle(self.books, attempt, looked), changes)

    def not_know(self, act: Act) -> None:
        """Write that nobody knows."""
        ending = moves.ending(act.attempt, Unknown("no answer"), ended_at=self.books.now)
        sent = self.books.jobs[act.attempt.job_id]["intent_at"] is not None
        changes = self._moved(act.attempt, "unknown", None)
        won = jobs.settle_unknown(ending)
        self.judge("not knowing", won, sent and verdicts.may_settle(self.books, act.attempt), changes)

    def renew(self, act: Act) -> None:
        """As its heartbeat does."""
        won = leases.renew([act.attempt.job_id], worker=act.attempt.worker)
        self.judge("renewal", won, verdicts.may_renew(self.books, act.attempt))

    def take_over(self, lost: Expired) -> None:
        """What another's heartbeat found, perhaps a while ago."""
        attempt = self.act_of(lost.job_id).attempt
        right = verdicts.may_take_over(self.books, self.books.jobs[lost.job_id], intended=lost.intended)
        if lost.intended:
            won, changes = leases.take_over_sent(lost, "lost"), self._moved(attempt, "unknown", None)
        else:
            settlement = lifecycle.settle(moves.LOST, failures=lost.failures, policy=moves.POLICY)
            won = leases.take_over_unsent(lost, settlement, "lost")
            changes = self._moved(attempt, settlement.job, settlement.post)
        self.judge("take-over of what was " + ("sent" if lost.intended else "not sent"), won, right, changes)

    def _moved(self, attempt: Attempt, job: str, post: str | None) -> Changes:
        """The job is moved; its post only if it still stands as it was claimed."""
        moved: dict[tuple[str, int], dict[str, Any]] = {_job(attempt): {"status": job}}
        if verdicts.is_still_claimed(self.books, self.books.jobs[attempt.job_id]):
            status = {"status": post} if post else {}
            moved[_post(attempt)] = {"last_error": ANY, "retry_at": ANY} | status
        return moved

    # --- a look ---

    def claim_look(self, job: int, worker: str) -> LookAct | None:
        """At an unknown outcome."""
        right = verdicts.may_look(self.books, self.books.jobs[job])
        seen = self.books.jobs[job]["looks"]
        look = looks.claim_look(job, worker=worker)
        self.judge("look", look, right, {("job", job): {"worker": worker, "looks": seen + 1}})
        if look is None:
            return None
        self.looks.append(LookAct(look, self.act_of(job)))
        return self.looks[-1]

    def send_again(self, look: LookAct) -> bool:
        """Whether the same request may go out with the same key."""
        right = verdicts.may_send_again(self.books, look.look.attempt, look.look.looks)
        return self.judge("sending again", looks.send_again(look.look), right)

    def look_later(self, look: LookAct, at: datetime) -> None:
        """It learnt nothing final."""
        nothing = moves.ending(look.look.attempt, Unknown("?"), looks=look.look.looks)
        right = verdicts.may_settle(self.books, look.look.attempt, look.look.looks)
        self.judge("look: nothing", jobs.settle_look(nothing, look_at=at), right)

    def give_up(self, look: LookAct) -> None:
        """A person is to decide."""
        nothing = moves.ending(look.look.attempt, Unknown("?"), looks=look.look.looks)
        right = verdicts.may_settle(self.books, look.look.attempt, look.look.looks)
        claimed = verdicts.is_still_claimed(self.books, self.books.jobs[look.look.attempt.job_id])
        changes = {_post(look.act.attempt): {"status": "Unconfirmed"}} if claimed else {}
        self.judge("look: nobody knows", jobs.give_up_looking(nothing), right, changes)

    # --- a person ---

    def cancel(self, post: int) -> None:
        """Or switch it off where it is too late."""
        status = self.books.posts[post]["status"]
        changes = {"autopost_enabled": False} if status == "Publishing" else {"status": "Cancelled"}
        right = status in ("Draft", "Scheduled", "Publishing")
        self.judge("cancel", posts.cancel([post]), right, {("post", post): changes})

    def reschedule(self, post: int, at: datetime) -> None:
        """To another time."""
        right = self.books.posts[post]["status"] in ("Draft", "Scheduled")
        changes = {"scheduled_for": at, "retry_at": None, "last_error": None}
        self.judge("reschedule", posts.reschedule([post], at), right, {("post", post): changes})

    def retry(self, post: int) -> None:
        """With a new budget."""
        right = self.books.posts[post]["status"] in ("Failed", "Missed", "Cancelled")
        self.judge("retry", posts.retry([post], None), right, {("post", post): self._anew})

    def resolve(self, post: int, said: Resolution) -> None:
        """Where nobody can tell."""
        job = self.books.open_job(post)
        id = f"id-{job['id']}" if job else None
        won = posts.resolve(post, said, by="somebody", platform_post_id=id if said is Resolution.POSTED else None)
        follows: dict[Resolution, tuple[dict[str, Any], dict[str, Any]]] = {
            Resolution.POSTED: (
                {"status": "completed", "platform_post_id": id},
                {"status": "Posted", "platform_post_id": id, "last_error": None, "retry_at": None},
            ),
            Resolution.NOT_POSTED: ({"status": "failed"}, {"status": "Failed", "last_error": ANY, "retry_at": None}),
            Resolution.RETRY: ({"status": "failed"}, self._anew),
        }
        changes = {("job", job["id"]): follows[said][0], ("post", post): follows[said][1]} if job else {}
        resolved = self.judge(f"resolve as {said}", won, verdicts.may_resolve(self.books, post), changes)
        if resolved and job and said is not Resolution.POSTED and self.act_of(job["id"]).accepted:
            self.misled.add(post)

    _anew = {
        "status": "Scheduled",
        "scheduled_for": ANY,
        "autopost_enabled": True,
        "retry_at": None,
        "last_error": None,
    }

    # --- the minute's chores ---

    def mend(self) -> None:
        """What another program wrote differently."""
        right = {post: says for post in self.posts if (says := verdicts.is_mended(self.books, post))}
        changes = {("post", post): self._mended(post, says) for post, says in right.items()}
        won = {post: says for post, _, says in moves.mend_all(moves.POLICY.max_attempts)}
        assert won == right, f"mended: {won}, not {right}"
        self.judge("mend", won, right, changes)

    def _mended(self, post: int, says: str) -> dict[str, Any]:
        job = self.books.open_job(post)
        ids = {"platform_post_id": job["platform_post_id"]} if job and says == "Posted" else {}
        over = {"retry_at": None, "last_error": ANY} if says in ("Posted", "Failed") else {}
        return {"status": says} | ids | over

    def end_missed(self) -> None:
        """What came too late."""
        right = {post: says for post in self.posts if (says := verdicts.is_missed(self.books, post))}
        changes = {("post", p): {"status": says, "last_error": ANY, "retry_at": None} for p, says in right.items()}
        ended = dispatch.end_missed(max_lateness=verdicts.MAX_LATENESS)
        won = {post.post_id: "Failed" if post.job_id else "Missed" for post in ended}
        assert won == right, f"missed: {won}, not {right}"
        self.judge("missed", won, right, changes)


def _post(attempt: Attempt) -> tuple[str, int]:
    return ("post", attempt.post_id)


def _job(attempt: Attempt) -> tuple[str, int]:
    return ("job", attempt.job_id)
