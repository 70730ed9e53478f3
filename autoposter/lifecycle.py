"""Which state follows which, and when to try again.  Pure: no I/O, no clock."""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum, StrEnum
from typing import assert_never


class Status(StrEnum):
    """States of a post (`post_instance.status`)."""

    DRAFT = "Draft"
    SCHEDULED = "Scheduled"
    PUBLISHING = "Publishing"
    POSTED = "Posted"
    FAILED = "Failed"
    UNCONFIRMED = "Unconfirmed"
    MISSED = "Missed"
    CANCELLED = "Cancelled"


class JobStatus(StrEnum):
    """States of a publish job: one attempt (`publish_job.status`)."""

    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    UNKNOWN = "unknown"
    CANCELLED = "cancelled"


class AccountStatus(StrEnum):
    """States of a channel account (`channel_account.status`)."""

    ACTIVE = "active"
    DISCONNECTED = "disconnected"
    DISABLED = "disabled"


class ErrorKind(StrEnum):
    """Why an attempt did not end with a receipt (`publish_job.error_kind`)."""

    TRANSIENT = "transient"
    RATE_LIMITED = "rate_limited"
    ACCOUNT = "account"
    CONTENT = "content"
    NO_PUBLISHER = "no_publisher"
    WORKER_LOST = "worker_lost"
    BUG = "bug"
    UNKNOWN = "unknown"


class Delivery(Enum):
    """What a platform offers against publishing twice."""

    KEYED = "keyed"
    """It drops a second request with the same idempotency key, even while the first still runs."""
    FINDABLE = "findable"
    """`find` can tell whether an attempt went through."""
    BLIND = "blind"
    """Neither: an unknown outcome goes to a person."""


#: Every move a post can make, with who makes it.  `any -> Posted` (a receipt) is added below.
TRANSITIONS: dict[tuple[Status, Status], str] = {
    (Status.DRAFT, Status.SCHEDULED): "the owner",
    (Status.SCHEDULED, Status.DRAFT): "the owner",
    (Status.DRAFT, Status.CANCELLED): "a person",
    (Status.SCHEDULED, Status.CANCELLED): "a person",
    (Status.SCHEDULED, Status.PUBLISHING): "intent",
    (Status.SCHEDULED, Status.FAILED): "a lasting failure",
    (Status.SCHEDULED, Status.MISSED): "too late",
    (Status.PUBLISHING, Status.SCHEDULED): "refused for now",
    (Status.PUBLISHING, Status.FAILED): "a lasting failure",
    (Status.PUBLISHING, Status.UNCONFIRMED): "nobody can tell",
    (Status.FAILED, Status.SCHEDULED): "a person retries",
    (Status.MISSED, Status.SCHEDULED): "a person retries",
    (Status.CANCELLED, Status.SCHEDULED): "a person retries",
    (Status.UNCONFIRMED, Status.FAILED): "a person resolves",
    (Status.UNCONFIRMED, Status.SCHEDULED): "a person resolves",
} | {(status, Status.POSTED): "a receipt" for status in Status if status is not Status.POSTED}


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often and how soon an attempt is repeated (settings of the same names)."""

    max_attempts: int
    retry_base: timedelta
    retry_cap: timedelta

    def backoff(self, failures: int) -> timedelta:
        """How long to wait after the `failures`-th failure (1, 2, ...): full jitter, never under 1 s.

        With 30 s and 15 min the upper bounds are 30 s, 1, 2, 4, 8, 15, 15 min.  Full jitter, because the posts that
        failed together must not come back together.
        """
        doublings = min(failures - 1, 30)
        # Compared from the side of the cap: a base of days, doubled so often, is longer than any timedelta.
        capped = self.retry_base >= self.retry_cap / 2**doublings
        bound: timedelta = self.retry_cap if capped else self.retry_base * 2**doublings
        return max(timedelta(seconds=1), bound * random.random())


# --- What an attempt came to ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Confirmed:
    """The platform has it."""

    platform_post_id: str
    permalink: str | None = None


@dataclass(frozen=True, slots=True)
class Refused:
    """Nothing was published, and this is why."""

    kind: ErrorKind
    message: str
    retry_after: timedelta | None = None


@dataclass(frozen=True, slots=True)
class Unknown:
    """It may have been published."""

    message: str


@dataclass(frozen=True, slots=True)
class Withdrawn:
    """Nothing was sent, and nobody failed: the post's owner changed it, or it is not ready yet."""

    message: str
    retry_in: timedelta | None = None
    """When to come back; None: when the post is due."""
    is_told: bool = False
    """Whether the post's owner must see it in `last_error`: it waits for a person, and not for its time."""


Outcome = Confirmed | Refused | Unknown | Withdrawn


class Reach(StrEnum):
    """How far the one irreversible request of an attempt came, as the wire saw it."""

    NEVER_BEGUN = "never begun"
    """None passed the fence: the publisher does without HTTP, or failed before."""
    NOT_SENT = "not sent"
    """One was begun, and not a byte of it left: DNS, connect or TLS failed, or its time was over."""
    SENT = "sent"
    """At least a byte may have left; no complete answer arrived."""
    ANSWERED = "answered"


@dataclass(frozen=True, slots=True)
class WireRecord:
    """What the wire saw of the irreversible request."""

    reach: Reach = Reach.NEVER_BEGUN
    status: int | None = None
    """The HTTP status of the answer, if it was answered."""
    went_on: bool = False
    """Whether a further request was begun after that answer."""


def judge(said: Confirmed | Refused | Unknown | None, wire: WireRecord, *, trouble: str) -> Outcome:
    """What an attempt came to.  The wire outranks the exception.

    `said`: what the publisher returned or declared; None: it raised something else, described by `trouble`.
    """
    if isinstance(said, Confirmed):
        return said
    if wire.reach is Reach.NOT_SENT:
        return Refused(ErrorKind.TRANSIENT, said.message if said else trouble)
    if wire.reach is Reach.SENT or not isinstance(said, Refused):
        return Unknown(said.message if said else trouble)
    answered_well = wire.status is not None and 200 <= wire.status < 300
    if answered_well and wire.went_on:
        return Unknown(said.message)
    return said


#: Refusals that may pass by themselves.
PASSING = frozenset({ErrorKind.TRANSIENT, ErrorKind.RATE_LIMITED, ErrorKind.WORKER_LOST})


@dataclass(frozen=True, slots=True)
class Settlement:
    """What is written: of the job, of its post (None: stays as it is), and when to go on."""

    job: JobStatus
    post: Status | None
    retry_in: timedelta | None = None
    look_in: timedelta | None = None
    pause_account_for: timedelta | None = None


def settle(outcome: Outcome, *, failures: int, policy: RetryPolicy, rate_limits: int = 0) -> Settlement:
    """What follows an outcome.

    `failures` counts the failed jobs of the present due time, rate limits and this one not included; `rate_limits`
    those: they use up no attempt, but each makes the next pause longer.
    """
    match outcome:
        case Confirmed():
            return Settlement(JobStatus.COMPLETED, Status.POSTED)
        case Unknown():
            return Settlement(JobStatus.UNKNOWN, None, look_in=timedelta(0))
        case Withdrawn():
            post = Status.SCHEDULED if outcome.is_told else None
            return Settlement(JobStatus.CANCELLED, post, retry_in=outcome.retry_in)
        case Refused(ErrorKind.RATE_LIMITED):
            pause = retry_delay(outcome, failures + rate_limits + 1, policy)
            spread = min(pause, LONGEST_SPREAD) * random.random()
            return Settlement(JobStatus.FAILED, Status.SCHEDULED, retry_in=pause + spread, pause_account_for=pause)
        case Refused(kind) if kind in PASSING and failures + 1 < policy.max_attempts:
            return Settlement(JobStatus.FAILED, Status.SCHEDULED, retry_in=retry_delay(outcome, failures + 1, policy))
        case Refused():
            return Settlement(JobStatus.FAILED, Status.FAILED)
    assert_never(outcome)


#: Longer waits that a platform asks for are not believed.
LONGEST_RETRY_AFTER = timedelta(hours=1)

#: The posts of a paused account come back spread over as long as the pause, this at most.
LONGEST_SPREAD = timedelta(seconds=30)


def retry_delay(refused: Refused, failures: int, policy: RetryPolicy) -> timedelta:
    """When to try again: as the platform said, believed up to an hour; else with the usual backoff."""
    if refused.kind is ErrorKind.WORKER_LOST:
        return timedelta(0)
    if refused.retry_after is None:
        return policy.backoff(failures)
    return min(max(refused.retry_after, timedelta(seconds=1)), LONGEST_RETRY_AFTER)


# --- Reconciling ---------------------------------------------------------------------------------------------------

#: An intent older than this is not acted upon: a process that was frozen sends nothing after others have reconciled.
INTENT_LASTS = timedelta(seconds=2)

#: So long is an unknown outcome looked for; then a person decides.
RECONCILE_FOR = timedelta(hours=24)

#: Looks come after 5, 15, 45 s ... and never further apart than this.
LONGEST_LOOK_PAUSE = timedelta(minutes=15)


@dataclass(frozen=True, slots=True)
class Case:
    """An attempt whose outcome is unknown, as reconciling sees it at one moment.  All times UTC, the database's."""

    delivery: Delivery
    can_find: bool
    intent_at: datetime
    called_at: datetime
    """When the request was last allowed: at the intent, or when it was sent again."""
    ended_at: datetime | None
    publish_timeout: timedelta
    find_after: timedelta
    key_lasts: timedelta | None
    looks: int
    """How many looks there were, the present one included."""
    now: datetime

    @property
    def call_ended_at(self) -> datetime:
        """When the call was over: seen by its own process, or the moment after which it cannot have gone on."""
        return self.ended_at or self.called_at + INTENT_LASTS + self.publish_timeout

    @property
    def absence_counts_from(self) -> datetime:
        """From when on "not there" can be believed."""
        return self.call_ended_at + self.find_after


class Step(StrEnum):
    """What a look does."""

    FIND = "find"
    SEND_AGAIN = "send again"
    WAIT = "wait"
    GIVE_UP = "give up"


def next_step(case: Case) -> Step:
    """What to do about an unknown outcome now."""
    match case.delivery:
        case Delivery.KEYED:
            if case.now < case.intent_at + RECONCILE_FOR and _knows_key(case):
                return Step.SEND_AGAIN
            return Step.FIND if case.can_find else _blind(case)
        case Delivery.FINDABLE:
            return Step.FIND
        case Delivery.BLIND:
            return _blind(case)
    assert_never(case.delivery)


def _knows_key(case: Case) -> bool:
    """Whether the platform still knows the key when the last byte of a request that begins now can arrive."""
    over_at = case.now + INTENT_LASTS + case.publish_timeout
    return case.key_lasts is None or over_at <= case.intent_at + case.key_lasts


def is_last(case: Case) -> bool:
    """Whether a person decides unless this look finds the post.

    It is asked for all the same: where nobody looked for a day, it may have been there since the first minute.  Only
    that it is not there proves nothing so late: a platform may list its youngest posts alone.
    """
    return case.now >= max(case.intent_at + RECONCILE_FOR, case.call_ended_at)


def _blind(case: Case) -> Step:
    return Step.GIVE_UP if case.now >= case.call_ended_at else Step.WAIT


def look_again_at(case: Case) -> datetime:
    """When to look next: 5, 15, 45 s ... later, and once at each moment from which more is known."""
    pause: timedelta = min(timedelta(seconds=5) * 3 ** min(case.looks - 1, 10), LONGEST_LOOK_PAUSE)
    moments = [case.call_ended_at, case.absence_counts_from, case.intent_at + RECONCILE_FOR]
    if case.delivery is Delivery.BLIND:
        moments = [case.call_ended_at]
        pause = LONGEST_LOOK_PAUSE
    later: list[datetime] = [moment for moment in moments if moment > case.now]
    return min(case.now + pause, *later) if later else case.now + pause


def absence_counts(case: Case, asked_at: datetime) -> bool:
    """Whether "not there", asked at that moment, proves that nothing went out."""
    return asked_at > case.absence_counts_from and not is_last(case)
