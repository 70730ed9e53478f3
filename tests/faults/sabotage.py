"""Safeguards taken out of the code of a process, and publishers that need them: each function changes one thing.

Safeguards that stand in SQL are taken out as texts (`injection.remove`).
"""

from __future__ import annotations

import struct
import time
import uuid
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import redis

from autoposter import broker, clock, heartbeat, lifecycle, publishing, settling
from autoposter.leases import Leases
from autoposter.lifecycle import Case, Confirmed, Outcome, Refused, Unknown, WireRecord
from autoposter.publishers import Post, Receipt, Transient, fence, http, sockets
from autoposter.store import dispatch, intents, looks
from autoposter.store.snapshots import Attempt
from autoposter.testing.publishers import FakeFindable, FakePublisher

AGES = timedelta(hours=1)

_publish = FakePublisher.publish


def _set(owner: Any, name: str, value: Any) -> None:
    """Replace what is there: a name that has moved must not be missed in silence."""
    assert hasattr(owner, name), f"{owner} has no {name} any more"
    setattr(owner, name, value)


# --- Publishers that misbehave  ---------------------------------------------------------------------------------------


def a_publisher_that_calls_every_error_transient() -> None:
    def publish(self: FakePublisher, post: Post, prepared: dict[str, Any]) -> Receipt:
        try:
            return _publish(self, post, prepared)
        except httpx2.HTTPError as error:
            raise Transient(f"Nothing went out, I think: {error}") from error

    _set(FakePublisher, "publish", publish)


def a_platform_that_shows_posts_late() -> None:
    _set(FakeFindable, "find_after", timedelta(seconds=3))


def a_publisher_that_tries_again_itself() -> None:
    def publish(self: FakePublisher, post: Post, prepared: dict[str, Any]) -> Receipt:
        _publish(self, post, prepared)
        return _publish(self, post, prepared)

    _set(FakePublisher, "publish", publish)


# --- Safeguards -------------------------------------------------------------------------------------------------------


def no_intent_is_written() -> None:
    _set(intents, "intend_free", lambda promises, worker: {})
    _set(intents, "intend", lambda attempt, prepared: True)


def no_gate() -> None:
    _set(clock.Clock, "hold_until", lambda self, moment: None)


def no_limit_to_an_intents_age() -> None:
    _set(publishing, "INTENT_LASTS", AGES)
    _set(fence, "INTENT_LASTS", AGES)


def no_deadline_at_the_wire() -> None:
    _set(sockets.Deadline, "left", lambda self, otherwise: 60.0)


def no_fence() -> None:
    _set(fence.Fence, "let_through", lambda self, method: False)


def the_publisher_is_believed() -> None:
    def judge(said: Confirmed | Refused | Unknown | None, wire: WireRecord, *, trouble: str) -> Outcome:
        return said or Unknown(trouble)

    _set(lifecycle, "judge", judge)


def absence_is_believed_at_once() -> None:
    _set(FakeFindable, "find_after", timedelta(0))


def a_call_has_ended_with_its_intent() -> None:
    _set(Case, "call_ended_at", property(lambda self: self.intent_at))


def what_was_absent_is_not_looked_for_again() -> None:
    _set(publishing, "_already_there", lambda *attempt_and_tools: None)


def each_request_has_a_key_of_its_own() -> None:
    def publish(self: FakePublisher, post: Post, prepared: dict[str, Any]) -> Receipt:
        return _publish(self, replace(post, idempotency_key=str(uuid.uuid4())), prepared)

    _set(FakePublisher, "publish", publish)


def unknown_is_tried_again() -> None:
    """The naive worker: what was not confirmed is sent anew."""

    def judge(said: Confirmed | Refused | Unknown | None, wire: WireRecord, *, trouble: str) -> Outcome:
        return said if isinstance(said, Confirmed) else Refused(lifecycle.ErrorKind.TRANSIENT, trouble)

    _set(lifecycle, "judge", judge)


# --- Safeguards that the core's own tests miss (`elsewhere`)  -------------------------------------------------------


def a_connection_is_closed_gently() -> None:
    _set(sockets, "DISCARD_UNSENT", struct.pack("ii", 0, 0))


def the_kernel_knows_no_deadline() -> None:
    _set(sockets, "_forget_after", lambda deadline, sock: None)


def a_redirect_is_followed() -> None:
    _set(http._Client, "send", httpx2.Client.send)


def an_id_may_be_anothers() -> None:
    _set(looks, "belongs_to_another", lambda *which: False)


def leases_are_taken_over_at_once() -> None:
    _set(heartbeat, "UNBROKEN", timedelta(0))


def a_hung_publisher_keeps_its_lease() -> None:
    _set(Leases, "to_renew", lambda self: [job for _, job in self._deadlines if isinstance(job, int)])


def the_wall_clock_is_believed() -> None:
    _set(clock.Clock, "now", lambda self: datetime.fromtimestamp(time.time(), UTC))
    _set(clock.Clock, "_left_until", lambda self, moment: moment.timestamp() - time.time())


def only_the_monotonic_clock_counts() -> None:
    _set(clock.Stopwatch, "elapsed", property(lambda self: timedelta(seconds=time.monotonic() - self._monotonic)))


def a_key_lasts_for_ever() -> None:
    next_step = lifecycle.next_step
    _set(lifecycle, "next_step", lambda case: next_step(replace(case, key_lasts=None)))


def a_blind_publisher_is_asked() -> None:
    _set(publishing, "can_find", lambda kind: True)


def an_outcome_is_written_once() -> None:
    _set(settling, "until_written", lambda write, *_: write())


def a_refusal_of_redis_is_no_outage() -> None:
    _set(broker.SteadyRedis, "execute_command", redis.Redis.execute_command)


def marks_are_not_taken_back() -> None:
    _set(dispatch, "take_back", lambda posts: None)


def an_unconfirmed_intent_counts() -> None:
    intend, intend_free = intents.intend, intents.intend_free

    def intend_and_hope(attempt: Attempt, prepared: dict[str, Any]) -> bool:
        try:
            return intend(attempt, prepared)
        except publishing.DATABASE_AWAY:
            return True

    def intend_free_and_hope(promises: Sequence[tuple[Attempt, dict[str, Any]]], worker: str) -> dict[int, bool]:
        try:
            return intend_free(promises, worker=worker)
        except publishing.DATABASE_AWAY:
            return {attempt.job_id: True for attempt, _ in promises}

    _set(intents, "intend", intend_and_hope)
    _set(intents, "intend_free", intend_free_and_hope)
