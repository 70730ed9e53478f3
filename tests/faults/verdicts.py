"""What each move of the store must say, given what stands in the books before it: the design's rules, in Python.

The state machine compares the store with this: a move that may not win changes nothing, and one that may wins.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from autoposter.lifecycle import PASSING
from autoposter.store.posts import Resolution
from autoposter.store.snapshots import Attempt

Row = Mapping[str, Any]

SECOND = timedelta(seconds=1)
LEASE = 10 * SECOND
MAX_LATENESS = timedelta(days=1)

OPEN_OR_OUT = ("running", "unknown", "completed")


@dataclass(frozen=True)
class Books:
    """The rows of an example as they stand at one moment."""

    now: datetime
    posts: Mapping[int, Row]
    jobs: Mapping[int, Row]
    accounts: Mapping[int, Row]

    def open_job(self, post_id: int) -> Row | None:
        """The job that forbids another attempt, if there is one."""
        found = [j for j in self.jobs.values() if j["post_instance_id"] == post_id and j["status"] in OPEN_OR_OUT]
        return found[0] if found else None

    def account_of(self, post_id: int) -> Row:
        """The account that the post is on now."""
        return self.accounts[self.posts[post_id]["channel_account_id"]]

    def is_due(self, post_id: int, ahead: timedelta = timedelta(0)) -> bool:
        """Whether a post may be published once its time has come, and it has."""
        post = self.posts[post_id]
        return (
            post["status"] == "Scheduled"
            and post["autopost_enabled"]
            and post["content_item_id"] is not None
            and post["due_at"] <= self.now + ahead
        )

    def is_too_late(self, post_id: int) -> bool:
        """Whether it would be `Missed`."""
        return bool(self.posts[post_id]["scheduled_for"] <= self.now - MAX_LATENESS)

    def is_paused(self, account: Row) -> bool:
        """Whether an account waits."""
        return account["paused_until"] is not None and account["paused_until"] > self.now


def may_claim(books: Books, post_id: int) -> bool:
    """Due within a second, not too late, nobody else's, and its account neither disabled nor paused."""
    return (
        meets_a_claim(books, post_id)
        and books.open_job(post_id) is None
        and not books.is_paused(books.account_of(post_id))
    )


def meets_a_claim(books: Books, post_id: int) -> bool:
    """Whether a claim looks at the ledger: then a post that another program wrote is put back to it."""
    job = books.open_job(post_id)
    return (
        books.is_due(post_id, SECOND)
        and not books.is_too_late(post_id)
        and books.account_of(post_id)["status"] != "disabled"
        and not (job and job["status"] == "running")
    )


def what_the_ledger_says(job: Row) -> str | None:
    """The status of a post with this open or completed job."""
    match job["status"]:
        case "completed":
            return "Posted"
        case "unknown":
            return "Publishing" if job["look_at"] else "Unconfirmed"
    return None


def may_intend(books: Books, attempt: Attempt) -> bool:
    """The lease is ours, and post and account still stand as they were claimed."""
    job, post = books.jobs[attempt.job_id], books.posts[attempt.post_id]
    account = books.account_of(attempt.post_id)
    return (
        is_held(books, attempt)
        and job["status"] == "running"
        and job["intent_at"] is None
        and post["status"] == "Scheduled"
        and post["autopost_enabled"]
        and post["scheduled_for"] == job["scheduled_for"]
        and post["content_item_id"] == job["content"]["content_item_id"]
        and post["channel_account_id"] == job["channel_account_id"]
        and account["status"] == "active"
        and not books.is_paused(account)
    )


def is_held(books: Books, attempt: Attempt) -> bool:
    """Whether the job has a running lease of this worker."""
    job = books.jobs[attempt.job_id]
    return job["worker"] == attempt.worker and job["lease_until"] is not None and job["lease_until"] > books.now


def may_settle(books: Books, attempt: Attempt, looks: int = 0) -> bool:
    """Without a receipt: the job is still ours, by this very attempt or look."""
    job = books.jobs[attempt.job_id]
    ours = (job["status"], job["looks"]) == ("unknown", looks) if looks else job["status"] == "running"
    return ours and job["worker"] == attempt.worker


def may_receive(books: Books, attempt: Attempt) -> bool:
    """A receipt wins over everything that is not known for certain."""
    return books.jobs[attempt.job_id]["status"] in ("running", "unknown")


def may_keep_late_receipt(books: Books, attempt: Attempt) -> bool:
    """It was taken for not sent, and has no receipt yet."""
    job = books.jobs[attempt.job_id]
    return job["status"] in ("failed", "cancelled") and job["platform_post_id"] is None


def is_still_claimed(books: Books, job: Row) -> bool:
    """Whether the job may move its post without a receipt."""
    post = books.posts[job["post_instance_id"]]
    return post["status"] == "Publishing" or (
        post["status"] == "Scheduled"
        and post["scheduled_for"] == job["scheduled_for"]
        and post["content_item_id"] == job["content"]["content_item_id"]
    )


def may_take_over(books: Books, job: Row, *, intended: bool) -> bool:
    """Its lease is over, and it is still as it was when it was found."""
    return (
        job["status"] == "running"
        and job["lease_until"] is not None
        and job["lease_until"] < books.now
        and (job["intent_at"] is not None) == intended
    )


def may_renew(books: Books, attempt: Attempt) -> bool:
    """A lease, over or not, that nobody took."""
    job = books.jobs[attempt.job_id]
    return (
        job["worker"] == attempt.worker and job["status"] in ("running", "unknown") and job["lease_until"] is not None
    )


def may_look(books: Books, job: Row) -> bool:
    """Unknown, to be looked at now or within a lease's time, and nobody looks."""
    return (
        job["status"] == "unknown"
        and job["look_at"] is not None
        and job["look_at"] <= books.now + LEASE
        and (job["lease_until"] is None or job["lease_until"] < books.now)
    )


def may_send_again(books: Books, attempt: Attempt, looks: int) -> bool:
    """The look is the latest and its lease runs; the owner and the account still allow it."""
    job = books.jobs[attempt.job_id]
    account = books.accounts[job["channel_account_id"]]
    return (
        may_settle(books, attempt, looks)
        and is_held(books, attempt)
        and books.posts[attempt.post_id]["autopost_enabled"]
        and account["status"] == "active"
        and not books.is_paused(account)
    )


def may_resolve(books: Books, post_id: int) -> bool:
    """A person decides where nobody can tell, and nowhere else."""
    job = books.open_job(post_id)
    return books.posts[post_id]["status"] == "Unconfirmed" and job is not None and job["status"] == "unknown"


def is_missed(books: Books, post_id: int) -> str | None:
    """What becomes of a post that came too late; None: it did not, or is left alone."""
    held = books.account_of(post_id)["status"] == "disabled" or books.open_job(post_id) is not None
    if not books.is_due(post_id) or not books.is_too_late(post_id) or held:
        return None
    tried = any(j["intent_at"] for j in books.jobs.values() if j["post_instance_id"] == post_id)
    return "Failed" if tried else "Missed"


def is_mended(books: Books, post_id: int) -> str | None:
    """What the minute's chores make of a post that another program wrote; None: it is as its jobs say, or its owner's.

    What went out is `Posted`, and what nobody looks for any more is `Unconfirmed`; else `Publishing` and
    `Unconfirmed` follow the open job, or the last one.
    """
    status, says = books.posts[post_id]["status"], _what_the_jobs_say(books, post_id)
    if says in ("Posted", "Unconfirmed") and status not in ("Posted", says):
        return says if status != "Scheduled" or books.is_due(post_id) else None
    if says == status or status not in ("Publishing", "Unconfirmed"):
        return None
    return says or ("Scheduled" if status == "Publishing" else None)


def _what_the_jobs_say(books: Books, post_id: int) -> str | None:
    jobs = [j for j in books.jobs.values() if j["post_instance_id"] == post_id]
    job = books.open_job(post_id) or max(jobs, key=lambda j: int(j["attempt"]), default=None)
    if job is None:
        return None
    if job["status"] == "running":
        return str(books.posts[post_id]["status"])
    if says := what_the_ledger_says(job):
        return says
    sent_again = (job["evidence"] or {}).get("resolution") == Resolution.RETRY
    lasting = job["error_kind"] not in (None, *PASSING)
    return "Failed" if lasting and not sent_again else "Scheduled"
