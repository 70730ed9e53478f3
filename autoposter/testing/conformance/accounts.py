"""`choices`, `check` and `refresh`: whose token is it, and does it work?"""

from __future__ import annotations

import pytest

from autoposter.lifecycle import ErrorKind, Refused
from autoposter.publishers import AccountCheck, AccountRejected, Choice, Refreshed
from autoposter.testing.conformance.base import Conformance, needs
from autoposter.testing.lab import Lab
from autoposter.testing.rules import Reply, Rule, outage, refuse


class AccountTests(Conformance):
    """`choices`, `check` and `refresh`: whose token is it, and does it work?"""

    @needs("check")
    def test_check_says_whose_token_it_is(self, lab: Lab) -> None:
        """One identity is connected once: its id on the platform decides."""
        said = lab.check()
        assert isinstance(said, AccountCheck) and said.ok, f"The credentials are right, and check() says {said}."
        expected = getattr(lab.platform, "external_id", None)
        if self.publisher.Credentials.model_fields:
            assert isinstance(said.external_id, str) and said.external_id, "check() must say external_id, as text."
        if expected is not None:
            assert said.external_id == expected, f"The token is {expected}'s, and check() says {said.external_id}."
        assert said.expires_at is None or said.expires_at.tzinfo is not None, "expires_at must have a time zone."

    @needs("check", "credentials")
    def test_check_says_no_to_a_wrong_token(self, lab: Lab) -> None:
        """With `ok=False` and a sentence on what is wrong, or AccountRejected."""
        try:
            said = lab.check(lab.wrong_credentials())
        except AccountRejected:
            return
        assert not said.ok, "The credentials are wrong, and check() says that they work."
        assert said.problem, "check() must say in `problem` what is wrong."

    @needs("check", "wire")
    @pytest.mark.parametrize(
        "rule",
        [outage(), refuse(500, "{}"), refuse(200, "<html>"), Rule(reply=Reply.RESET)],
        ids=["502", "500", "html", "reset"],
    )
    def test_check_does_not_take_trouble_for_a_no(self, lab: Lab, rule: Rule) -> None:
        """Raise: an answer of "no" disconnects the account, and an outage would disconnect them all."""
        lab.follow(rule.model_copy(update={"on": "other"}))
        try:
            said = lab.check()
        except AccountRejected as error:
            pytest.fail(f"The platform is broken, and check() blames the account: {error}")
        except Exception:
            return
        pytest.fail(f"The platform gave no answer, and check() says {said}.")

    @needs("credentials", "wire")
    def test_a_wrong_token_is_the_accounts_fault(self, lab: Lab) -> None:
        """AccountRejected, from prepare() or publish(), and nothing is published."""
        outcome = lab.attempt_with(lab.wrong_credentials())
        assert isinstance(outcome, Refused) and outcome.kind is ErrorKind.ACCOUNT, f"A wrong token came to {outcome}."
        shown = list(lab.platform.published())
        assert shown == [], f"It published with a wrong token: {shown}"

    @needs("choices")
    def test_choices_tell_one_account_from_another(self, lab: Lab) -> None:
        """Each by `Settings` of its own, with an instance of `Credentials`; none where there is nothing to choose."""
        with lab.at_work() as (publisher, _wire):
            offered = list(publisher.choices())
        for one in offered:
            assert isinstance(one, Choice), f"choices() gives Choices, and gave {type(one).__name__}."
            assert isinstance(one.credentials, self.publisher.Credentials), "A choice holds an instance of Credentials."
            unknown = set(one.settings) - set(self.publisher.Settings.model_fields)
            assert not unknown, f"Settings has no {', '.join(sorted(unknown))}."
        which = [sorted(one.settings.items()) for one in offered]
        assert not any(which.count(one) > 1 for one in which), (
            "Two choices have the same settings: nobody could choose."
        )

    @needs("refresh")
    def test_refreshed_credentials_work(self, lab: Lab) -> None:
        """An instance of `Credentials`; they take the place of the old."""
        with lab.at_work() as (publisher, _wire):
            refreshed = publisher.refresh()
        if refreshed is None:
            return
        assert isinstance(refreshed, Refreshed) and isinstance(refreshed.credentials, self.publisher.Credentials)
        assert refreshed.expires_at is None or refreshed.expires_at.tzinfo is not None, "expires_at has no time zone."
        outcome = lab.attempt_with(dict(refreshed.credentials))
        assert not isinstance(outcome, Refused), f"The refreshed credentials came to {outcome}."
