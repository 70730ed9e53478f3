"""Safeguards taken out of the code of a process, and publishers that need them: each function changes one thing.

Safeguards that stand in SQL are taken out as texts (`injection.remove`).
"""

from __future__ import annotations

import uuid
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2

from autoposter import clock, lifecycle, publishing
from autoposter.lifecycle import Case, Confirmed, Outcome, Refused, Unknown, WireRecord
from autoposter.publishers import Post, Receipt, Transient, fence, sockets
from autoposter.testing.publishers import FakeFindable, FakePublisher

AGES = timedelta(hours=1)

_publish = FakePublisher.publish


# --- Publishers that misbehave  ---------------------------------------------------------------------------------------


def a_publisher_that_calls_every_error_transient() -> None:
    def publish(self: FakePublisher, post: Post, prepared: dict[str, Any]) -> Receipt:
        try:
            return _publish(self, post, prepared)
        except httpx2.HTTPError as error:
            raise Transient(f"Nothing went out, I think: {error}") from error

    FakePublisher.publish = publish


def a_platform_that_shows_posts_late() -> None:
    FakeFindable.find_after = timedelta(seconds=3)


def a_publisher_that_tries_again_itself() -> None:
    def publish(self: FakePublisher, post: Post, prepared: dict[str, Any]) -> Receipt:
        _publish(self, post, prepared)
        return _publish(self, post, prepared)

    FakePublisher.publish = publish


# --- Safeguards -------------------------------------------------------------------------------------------------------


def no_intent_is_written() -> None:
    publishing.jobs.intend = lambda attempt, prepared: datetime.now(UTC)


def no_gate() -> None:
    clock.Clock.hold_until = lambda self, moment: None


def no_limit_to_an_intents_age() -> None:
    publishing.INTENT_LASTS = AGES
    fence.INTENT_LASTS = AGES


def no_deadline_at_the_wire() -> None:
    sockets.Deadline.left = lambda self, otherwise: 60.0


def no_fence() -> None:
    fence.Fence.let_through = lambda self, method: False


def the_publisher_is_believed() -> None:
    def judge(said: Confirmed | Refused | Unknown | None, wire: WireRecord, *, trouble: str) -> Outcome:
        return said or Unknown(trouble)

    lifecycle.judge = judge


def absence_is_believed_at_once() -> None:
    FakeFindable.find_after = timedelta(0)


def a_call_has_ended_with_its_intent() -> None:
    Case.call_ended_at = property(lambda self: self.intent_at)


def what_was_absent_is_not_looked_for_again() -> None:
    publishing._already_there = lambda *attempt_and_tools: None


def each_request_has_a_key_of_its_own() -> None:
    def publish(self: FakePublisher, post: Post, prepared: dict[str, Any]) -> Receipt:
        return _publish(self, replace(post, idempotency_key=str(uuid.uuid4())), prepared)

    FakePublisher.publish = publish


def unknown_is_tried_again() -> None:
    """The naive worker: what was not confirmed is sent anew."""

    def judge(said: Confirmed | Refused | Unknown | None, wire: WireRecord, *, trouble: str) -> Outcome:
        return said if isinstance(said, Confirmed) else Refused(lifecycle.ErrorKind.TRANSIENT, trouble)

    lifecycle.judge = judge
