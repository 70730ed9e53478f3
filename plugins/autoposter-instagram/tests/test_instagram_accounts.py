"""Whose token it is, what it lacks, when it ends, and where it leads."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from autoposter.publishers import AccountRejected
from autoposter.testing import Lab
from autoposter_instagram import models
from autoposter_instagram.publisher import Instagram
from fake_instagram import OTHER_USER, USER, FakeInstagram
from instagram_examples import KINDS

APP = {"app_id": "the-app", "app_secret": "the-app-secret"}


@pytest.fixture
def fake() -> Iterator[FakeInstagram]:
    with FakeInstagram() as running:
        yield running
        assert running.troubles == []


@pytest.fixture
def lab(fake: FakeInstagram) -> Lab:
    return Lab(Instagram, fake, KINDS["photo"])


@pytest.fixture
def instagram_login(fake: FakeInstagram, monkeypatch: pytest.MonkeyPatch) -> None:
    """The fake stands where tokens of Instagram Login work."""
    monkeypatch.setattr(models, "INSTAGRAM_HOST", f"{fake.url}/")


def with_token(token: str, **more: str) -> dict[str, Any]:
    return {"access_token": token, **more}


def test_the_account_is_named(lab: Lab) -> None:
    said = lab.check()

    assert (said.ok, said.external_id, said.name, said.expires_at) == (True, USER, "cafe", None)


def test_instagram_login_names_the_account_by_its_user_id(lab: Lab, instagram_login: None) -> None:
    said = lab.check()

    assert (said.ok, said.external_id, said.name) == (True, USER, "cafe")


def test_a_token_of_another_account_is_told(lab: Lab, instagram_login: None) -> None:
    said = lab.check(with_token("the-other-token"))

    assert not said.ok and said.problem == f"This token is of cafe ({OTHER_USER}), and ig_user_id says {USER}."


def test_an_expired_token_is_told(lab: Lab, fake: FakeInstagram) -> None:
    fake.expired = {"the-right-token"}

    said = lab.check()

    assert not said.ok and said.problem and "has expired: reconnect the account" in said.problem


def test_a_permission_that_lacks_is_named(lab: Lab, fake: FakeInstagram, monkeypatch: pytest.MonkeyPatch) -> None:
    facts = fake.debugged("the-right-token") | {"scopes": ["instagram_basic"]}
    monkeypatch.setattr(fake, "debugged", lambda token: facts)

    said = lab.check(with_token("the-right-token", **APP))

    assert not said.ok and said.problem and "lacks instagram_content_publish, pages_read_engagement" in said.problem


def test_the_end_of_a_token_is_told_where_the_app_is_known(lab: Lab, fake: FakeInstagram) -> None:
    end = fake.ends["the-right-token"] = datetime(2027, 1, 24, tzinfo=UTC)

    assert lab.check(with_token("the-right-token", **APP)).expires_at == end


def test_a_users_token_leads_to_the_accounts_of_its_pages(lab: Lab) -> None:
    with lab.at_work(with_token("the-user-token")) as (publisher, _wire):
        (choice,) = publisher.choices()

    assert choice.settings == {"ig_user_id": USER} and choice.name == "the Instagram account of Café"
    assert choice.credentials.access_token.get_secret_value() == "the-right-token"


def test_a_pages_own_token_leads_nowhere(lab: Lab) -> None:
    with lab.at_work() as (publisher, _wire):
        assert list(publisher.choices()) == []


def test_a_wrong_token_leads_to_an_error(lab: Lab) -> None:
    with lab.at_work(lab.wrong_credentials()) as (publisher, _wire), pytest.raises(AccountRejected):
        list(publisher.choices())


def test_a_token_of_instagram_login_is_refreshed(lab: Lab, instagram_login: None) -> None:
    with lab.at_work() as (publisher, _wire):
        refreshed = publisher.refresh()

    assert refreshed is not None and refreshed.expires_at is not None
    assert refreshed.credentials.access_token.get_secret_value() == "the-fresh-token"
    assert timedelta(days=59) < refreshed.expires_at - datetime.now(UTC) < timedelta(days=60)


def test_an_expired_token_of_instagram_login_cannot_be_refreshed(
    lab: Lab, fake: FakeInstagram, instagram_login: None
) -> None:
    fake.tokens.clear()

    with lab.at_work() as (publisher, _wire), pytest.raises(AccountRejected, match="has expired"):
        publisher.refresh()


def test_a_token_of_facebook_login_has_nothing_to_refresh(lab: Lab) -> None:
    with lab.at_work() as (publisher, _wire):
        assert publisher.refresh() is None


def test_the_apps_secret_proves_each_call(lab: Lab, fake: FakeInstagram) -> None:
    lab.check(with_token("the-right-token", **APP))

    proof = hmac.new(b"the-app-secret", b"the-right-token", hashlib.sha256).hexdigest()
    assert proof.encode() in fake.received[0]


@pytest.mark.parametrize(
    "api_url", ["https://graph.facebook.com", "https://graph.facebook.com/v25", "graph.facebook.com/v25.0", "v25.0"]
)
def test_an_address_without_a_version_is_refused(api_url: str) -> None:
    with pytest.raises(ValidationError, match=r"such as https://graph.facebook.com/v25.0"):
        models.Settings(ig_user_id="1", api_url=api_url)


def test_a_slash_at_the_end_of_the_address_does_not_matter() -> None:
    assert models.Settings(ig_user_id="1", api_url="https://graph.facebook.com/v26.0/").api_url.endswith("v26.0")


def test_the_account_rests_when_its_limits_are_nearly_used_up(lab: Lab, fake: FakeInstagram) -> None:
    fake.usage = {"X_App_Usage": '{"call_count": 96, "total_time": 25, "total_cputime": 25}'}

    with lab.at_work() as (publisher, _wire):
        before = publisher.pause()
        publisher.check()
        after = publisher.pause()

    assert (before, after) == (None, timedelta(minutes=5))


def test_the_end_of_the_default_version_is_told() -> None:
    assert Instagram.api_ends == date(2028, 7, 29)
