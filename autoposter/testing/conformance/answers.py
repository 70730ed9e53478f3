"""What a platform may answer, and what may be made of it.

The outcome is the core's, with its own wire and its own judge: what the wire knows better is not the publisher's fault.
"""

from __future__ import annotations

import pytest

from autoposter.lifecycle import ErrorKind
from autoposter.publishers import AccountRejected, ContentRejected, PublishError, RateLimited, Transient
from autoposter.testing.conformance.base import Conformance, needs
from autoposter.testing.lab import AMPLE, Attempt, Lab
from autoposter.testing.rules import Reply, Rule, accept_then, accept_then_answer, outage, refuse

HTML = "<html><h1>Something went wrong</h1></html>"
UNHEARD_OF = '{"error": {"code": 987654, "message": "Unheard of"}, "errors": [], "ok": false}'

KINDS = {
    AccountRejected: ErrorKind.ACCOUNT,
    ContentRejected: ErrorKind.CONTENT,
    RateLimited: ErrorKind.RATE_LIMITED,
    Transient: ErrorKind.TRANSIENT,
}


class AnswerTests(Conformance):
    """What a platform may answer, and what may be made of it."""

    def answered(self, lab: Lab, rule: Rule) -> Attempt:
        """An attempt that meets this rule; whatever it says must be true."""
        post = lab.post()
        prepared = lab.prepare(post)
        lab.follow(rule)
        silent = rule.reply is Reply.SILENCE
        attempt = lab.attempt(post, prepared, deadline=self.patience if silent else AMPLE)
        holds = len(lab.platform.published())
        if attempt.platform_post_id:
            assert lab.held(attempt.platform_post_id), f"{attempt}, and the platform has no such post."
        assert not (attempt.kind and holds), f"{attempt}, and the platform has published it: it would be sent again."
        came = lab.publishing_requests()
        hint = "" if came else "  A look-up that comes first belongs into `prepare`."
        assert came == 1, f"The publishing request came {came} times: {attempt}.{hint}"
        assert len(attempt.writes) == 1, f"publish() tries again by itself: {attempt.writes}"
        return attempt

    @needs("wire")
    def test_the_refusals_it_knows_are_listed(self) -> None:
        """`refusals = {...}`: the answers that prove that nothing was published.  None of a kind: an empty list."""
        asked = (AccountRejected, ContentRejected, RateLimited)
        missing = [kind.__name__ for kind in asked if kind not in self.refusals]
        assert not missing, f"`refusals` does not say which answers are {', '.join(missing)}."

    @needs("refusals")
    def test_a_known_refusal_is_named(self, lab: Lab, refusal: tuple[type[PublishError], Rule]) -> None:
        """Each raised as what the core can act upon, with a sentence for a person."""
        kind, rule = refusal
        attempt = self.answered(lab, rule)
        assert attempt.kind is KINDS[kind], f"{rule.status} {rule.body or ''} must be {kind.__name__}: {attempt}."
        assert isinstance(attempt.error, PublishError) and " " in attempt.error.message, "Its message is no sentence."
        if rule.retry_after:
            self.waits_as_asked(attempt, int(rule.retry_after.removeprefix("date+")))

    def waits_as_asked(self, attempt: Attempt, seconds: int) -> None:
        """The rule says so many seconds, or the date of so many later: that is less by what the test took."""
        wait = getattr(attempt.error, "retry_after", None)
        assert wait is not None, "It does not hand on how long the platform asks us to wait (Retry-After)."
        said = wait.total_seconds()
        assert seconds - 4 <= said <= seconds + 1, f"The platform asks us to wait {seconds} s, and it says {said:g} s."

    @needs("wire")
    @pytest.mark.parametrize("reply", [reply for reply in Reply if reply is not Reply.ANSWER])
    def test_a_lost_answer_leaves_the_outcome_unknown(self, lab: Lab, reply: Reply) -> None:
        """The post is out, and nobody heard it."""
        attempt = self.answered(lab, accept_then(reply))
        assert attempt.is_unknown, f"The answer was lost ({reply}), and {attempt}."

    @needs("wire")
    @pytest.mark.parametrize("status", [302, 400, 404, 409, 418, 500, 502, 503, 504])
    @pytest.mark.parametrize("body", [HTML, UNHEARD_OF], ids=["html", "json"])
    def test_an_error_that_is_not_known_is_no_refusal(self, lab: Lab, status: int, body: str) -> None:
        """Platforms have answered so to what they published: raise a refusal only for codes that you know."""
        attempt = self.answered(lab, accept_then_answer(status, body))
        assert attempt.is_unknown, f"The platform answered {status} with something unheard of, and {attempt}."

    @needs("wire")
    @pytest.mark.parametrize("body", [HTML, "", "{}", "[]", "null", '{"id": null}'])
    @pytest.mark.parametrize("accepts", [True, False], ids=["published", "not-published"])
    def test_a_success_that_says_nothing_is_not_taken_for_one(self, lab: Lab, body: str, accepts: bool) -> None:
        """A 200 without the post's id may come from anywhere, a proxy for instance."""
        attempt = self.answered(lab, Rule(accepts=accepts, status=200, body=body))
        assert attempt.is_unknown or attempt.platform_post_id, f"200 {body!r}: {attempt}."

    @needs("wire")
    @pytest.mark.parametrize("rule", [outage(), Rule(accepts=False, reply=Reply.RESET)], ids=["502", "reset"])
    def test_an_outage_leaves_the_outcome_unknown(self, lab: Lab, rule: Rule) -> None:
        """Nothing was published, but nobody can know."""
        attempt = self.answered(lab, rule)
        assert attempt.is_unknown, f"Nobody can tell, and {attempt}."

    @needs("wire")
    @pytest.mark.parametrize(
        "rule",
        [outage(on="other"), refuse(404, "{}", on="other"), refuse(200, HTML, on="other")],
        ids=["502", "404", "html"],
    )
    def test_a_look_up_that_fails_afterwards_fails_nothing(self, lab: Lab, rule: Rule) -> None:
        """The post is out, whatever happens to the question for its permalink."""
        attempt = self.answered(lab, rule)
        assert attempt.platform_post_id, f"All but the publishing request failed, and {attempt}."

    @needs("wire")
    def test_without_a_connection_nothing_was_published(self, lab: Lab) -> None:
        """And that is known: it is tried again.  A look-up that comes first belongs into `prepare`."""
        post = lab.post()
        prepared = lab.prepare(post)
        lab.server.stop()
        attempt = lab.attempt(post, prepared)
        assert attempt.kind is ErrorKind.TRANSIENT, f"Nobody listens there, and {attempt}."
