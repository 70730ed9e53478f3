"""No secret in anything that is kept or shown."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable

import pytest

from autoposter.outcomes import trouble
from autoposter.publishers import PublishError
from autoposter.publishers.base import overrides
from autoposter.testing.conformance.base import Conformance, can_find, needs
from autoposter.testing.fake import FakeServer
from autoposter.testing.lab import Lab
from autoposter.testing.rules import Reply, accept_then, accept_then_answer


class SecrecyTests(Conformance):
    """No secret in anything that is kept or shown."""

    @needs("credentials")
    @pytest.mark.parametrize("where", ["what is prepared", "receipts", "errors", "evidence", "logs", "repr"])
    def test_secrets_stay_out_of(self, lab: Lab, where: str, caplog: pytest.LogCaptureFixture) -> None:
        """After everything that can go right or wrong.  Logs and messages of its own are shown as they are."""
        caplog.set_level(logging.DEBUG)
        shown = self.tour(lab)
        shown["logs"] = [record.getMessage() + (record.exc_text or "") for record in caplog.records]
        for text in shown[where]:
            for secret in lab.secrets:
                assert secret not in text, f"A secret stands in {where}: {text.replace(secret, '<the secret>')}"

    def tour(self, lab: Lab) -> dict[str, list[str]]:
        """Do everything that can be done, and collect all texts, by where they would be shown."""
        shown: dict[str, list[str]] = {"errors": [], "evidence": [], "receipts": [], "repr": [], "what is prepared": []}
        rules = [rule for known in self.refusals.values() for rule in known]
        rules += [accept_then_answer(400), accept_then_answer(500, "{}"), accept_then(Reply.RESET)]
        for rule in [None, *rules]:
            if isinstance(lab.platform, FakeServer):
                lab.follow()
            post = lab.post()
            prepared = lab.prepare(post)
            if rule and isinstance(lab.platform, FakeServer):
                lab.follow(rule)
            attempt = lab.attempt(post, prepared)
            shown["what is prepared"].append(json.dumps(prepared))
            shown["receipts"].append(str(attempt.outcome))
            shown["evidence"].append(json.dumps(attempt.calls))
            shown["errors"].append(self.told(lab, attempt.error))
        shown["errors"] += self.asked(lab)
        with lab.at_work() as (publisher, _wire):
            shown["repr"] += [repr(publisher), str(publisher), repr(publisher.account)]
        return shown

    def asked(self, lab: Lab) -> list[str]:
        """What `find` and `check` raise for wrong credentials."""
        errors = []
        with lab.at_work(lab.wrong_credentials()) as (publisher, _wire):
            if can_find(self.publisher):
                errors.append(_raised(lambda: publisher.find(lab.post(), {})))
            if overrides(self.publisher, "check"):
                errors.append(_raised(lambda: publisher.check()))
        return [self.told(lab, error) for error in errors]

    def told(self, lab: Lab, error: BaseException | None) -> str:
        """What is shown of an error: the publisher's own words as they are, others with secrets masked."""
        if error is None:
            return ""
        return f"{error!r} {error.message}" if isinstance(error, PublishError) else trouble(error, lab.secrets)


def _raised(call: Callable[[], object]) -> BaseException | None:
    try:
        call()
    except Exception as error:
        return error
    return None
