"""What the fake platform is told to do with a request.  Pure: no I/O, no clock.

A rule says which requests it is for (`on`, `text`, `token`, `nth`, `times`, `probability`) and what becomes of them:
how long the platform thinks, whether it publishes, and what it answers.  The first rule that fits a request decides;
without one the platform does what it should.

Whether a post is published and what the caller hears of it are separate, as they are in life: `accepts` says the one,
`reply` the other.
"""

from __future__ import annotations

import random
from enum import StrEnum
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

Verb = Literal["connect", "publish", "find", "check", "other"]


class Reply(StrEnum):
    """What the caller hears."""

    ANSWER = "answer"
    """An HTTP answer: `status` and `body` where given, else the proper one."""
    RESET = "reset"
    """The connection is reset (RST)."""
    CLOSE = "close"
    """The connection is closed without a byte."""
    TRUNCATE = "truncate"
    """The head of the answer and half of its body, then the end."""
    SILENCE = "silence"
    """Nothing, for as long as the caller waits."""


class Rule(BaseModel):
    """For which requests, and what then."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    on: Verb = "publish"
    """`connect` comes before the platform looks at what it was sent: `text` and `token` are not known.

    To a `FakeServer` all that does not publish is `other`.
    """
    text: str | None = None
    """Only a post whose text contains this."""
    token: str | None = None
    """Only this account."""
    nth: tuple[int, ...] | None = None
    """Only these of the requests that fit so far: 1, 2, ..."""
    times: int | None = Field(default=None, ge=0)
    """At most so often."""
    probability: float = Field(default=1.0, ge=0.0, le=1.0)

    think_ms: int = Field(default=0, ge=0)
    """How long the platform works before it publishes or refuses, whether the caller still listens or not."""
    accepts: bool = True
    """Whether the post is published."""
    answer_after_ms: int = Field(default=0, ge=0)
    """How long the answer takes after that."""
    reply: Reply = Reply.ANSWER
    status: int | None = None
    body: str | None = None
    retry_after: str | None = None
    """The `Retry-After` header: seconds (`7`), or `date+7` for the HTTP date of 7 seconds later."""


def slow(milliseconds: int, **which: object) -> Rule:
    """Publishes at once, and answers late."""
    return _rule(which, answer_after_ms=milliseconds)


def slow_to_publish(milliseconds: int, **which: object) -> Rule:
    """Takes the request, and publishes only after a while, even if the caller has left."""
    return _rule(which, think_ms=milliseconds)


def refuse(status: int, body: str = "", **which: object) -> Rule:
    """Publishes nothing and answers with an error."""
    return _rule(which, accepts=False, status=status, body=body)


def refuse_for_now(**which: object) -> Rule:
    """Publishes nothing, in words that the publishers know: try later."""
    return refuse(503, '{"error": "later"}', **which)


def refuse_content(**which: object) -> Rule:
    """Publishes nothing, in words that the publishers know: never."""
    return refuse(422, '{"error": "content"}', **which)


def reject_token(**which: object) -> Rule:
    """Publishes nothing: the token is not taken any more."""
    return refuse(401, '{"error": "token"}', **which)


def not_ok(error: str = "later", **which: object) -> Rule:
    """Publishes nothing, and says so with a 200."""
    return refuse(200, f'{{"ok": false, "error": "{error}"}}', **which)


def rate_limit(retry_after: str | None = None, **which: object) -> Rule:
    """Publishes nothing: too many calls.  `retry_after`: `7` or `date+7`."""
    return _rule(which, accepts=False, status=429, body='{"error": "rate"}', retry_after=retry_after)


def outage(**which: object) -> Rule:
    """Publishes nothing, and answers as a broken proxy does: nobody can tell."""
    return refuse(502, "<html>Bad gateway</html>", **which)


def accept_then(reply: Reply, **which: object) -> Rule:
    """Publishes, and the answer is lost on its way."""
    return _rule(which, reply=reply)


def accept_then_answer(status: int, body: str = "<html>Error</html>", **which: object) -> Rule:
    """Publishes, and answers as if it had not."""
    return _rule(which, status=status, body=body)


def drop_unread(**which: object) -> Rule:
    """Resets the connection without looking at what came over it."""
    return _rule(which, on="connect", accepts=False, reply=Reply.RESET)


def _rule(which: dict[str, object], **what: object) -> Rule:
    return Rule.model_validate({**what, **which})


class Script:
    """The rules in force, and how often each has been asked for and used."""

    def __init__(self, rules: list[Rule], seed: int = 0) -> None:
        self.rules = rules
        self._fitting = [0] * len(rules)
        self._used = [0] * len(rules)
        self._random = random.Random(seed)

    def rule_for(self, verb: Verb, text: str = "", token: str = "") -> Rule | None:
        """The first rule that fits; None: behave."""
        for index, rule in enumerate(self.rules):
            if _is_for(rule, verb, text, token) and self._comes_up(index, rule):
                self._used[index] += 1
                return rule
        return None

    def _comes_up(self, index: int, rule: Rule) -> bool:
        self._fitting[index] += 1
        if rule.nth is not None and self._fitting[index] not in rule.nth:
            return False
        if rule.times is not None and self._used[index] >= rule.times:
            return False
        return self._random.random() < rule.probability


def _is_for(rule: Rule, verb: Verb, text: str, token: str) -> bool:
    return rule.on == verb and (rule.text is None or rule.text in text) and (rule.token is None or rule.token == token)
