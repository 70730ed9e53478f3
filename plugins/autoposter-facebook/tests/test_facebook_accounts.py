"""Whose token it is, what it lacks, when it ends, and where it leads."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from autoposter.publishers import AccountRejected
from autoposter.testing import Lab
from autoposter_facebook.publisher import Facebook
from facebook_examples import facebook
from fake_facebook import OTHER_PAGE, PAGE, PERSON, FakeFacebook

APP = {"app_id": "the-app", "app_secret": "the-app-secret"}


@pytest.fixture
def bench() -> Iterator[tuple[FakeFacebook, Lab]]:
    with facebook() as made:
        yield made


@pytest.fixture
def fake(bench: tuple[FakeFacebook, Lab]) -> FakeFacebook:
    return bench[0]


@pytest.fixture
def lab(bench: tuple[FakeFacebook, Lab]) -> Lab:
    return bench[1]


def with_token(token: str, **more: str) -> dict[str, Any]:
    return {"access_token": token, **more}


def test_the_page_is_named(lab: Lab) -> None:
    said = lab.check()

    assert (said.ok, said.external_id, said.name, said.expires_at) == (True, PAGE, "Café", None)


def test_a_persons_token_is_told(lab: Lab) -> None:
    said = lab.check(with_token("the-user-token"))

    assert not said.ok and said.problem and f"This token is of Ada ({PERSON})" in said.problem


def test_an_expired_token_is_told(lab: Lab, fake: FakeFacebook) -> None:
    fake.expired = {"the-right-token"}

    said = lab.check()

    assert not said.ok and said.problem and "has expired: reconnect the account" in said.problem


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        ({"scopes": ["pages_read_engagement"]}, "lacks pages_manage_posts"),
        ({"is_valid": False}, "no longer valid"),
        ({"type": "USER"}, "This is a user token"),
    ],
)
def test_what_a_token_lacks_is_told_where_the_app_is_known(
    lab: Lab, fake: FakeFacebook, monkeypatch: pytest.MonkeyPatch, facts: dict[str, Any], words: str
) -> None:
    debugged = fake.debugged("the-right-token") | facts
    monkeypatch.setattr(fake, "debugged", lambda token: debugged)

    said = lab.check(with_token("the-right-token", **APP))

    assert not said.ok and said.problem and words in said.problem


def test_the_end_of_a_token_is_told_where_the_app_is_known(lab: Lab, fake: FakeFacebook) -> None:
    end = fake.ends["the-right-token"] = datetime(2027, 1, 24, tzinfo=UTC)

    assert lab.check(with_token("the-right-token", **APP)).expires_at == end


def test_a_users_token_leads_to_the_pages_where_it_may_publish(lab: Lab) -> None:
    with lab.at_work(with_token("the-user-token")) as (publisher, _wire):
        found = list(publisher.choices())

    assert [(choice.name, choice.settings) for choice in found] == [
        ("Café", {"page_id": PAGE}),
        ("Bar", {"page_id": OTHER_PAGE}),
    ]
    assert found[0].credentials.access_token.get_secret_value() == "the-right-token"


def test_a_pages_own_token_leads_nowhere(lab: Lab) -> None:
    with lab.at_work() as (publisher, _wire):
        assert list(publisher.choices()) == []


def test_a_wrong_token_leads_to_an_error(lab: Lab) -> None:
    with lab.at_work(lab.wrong_credentials()) as (publisher, _wire), pytest.raises(AccountRejected):
        list(publisher.choices())


def test_the_account_rests_when_its_limits_are_nearly_used_up(lab: Lab, fake: FakeFacebook) -> None:
    usage = '{"1042": [{"type": "pages", "call_count": 96, "estimated_time_to_regain_access": 19}]}'
    fake.usage = {"X_Business_Use_Case_Usage": usage}

    with lab.at_work() as (publisher, _wire):
        publisher.check()
        assert publisher.pause() == timedelta(minutes=19)


def test_the_end_of_the_default_version_is_told() -> None:
    assert Facebook.api_ends == date(2028, 7, 29)
