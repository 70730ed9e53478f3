"""Connecting a location: its choices, what `check` says, and where the tokens are."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from autoposter.publishers import AccountRejected, Transient
from autoposter.testing import Lab, make_post
from autoposter_google_business.publisher import GoogleBusiness
from autoposter_google_business.settings import LocationSettings
from autoposter_google_business.tokens import Tokens
from fake_google_business import ACCOUNT, LOCATION, FakeGoogleBusiness, Place


@pytest.fixture
def lab() -> Iterator[Lab]:
    with FakeGoogleBusiness() as google:
        yield Lab(GoogleBusiness, google, make_post())
        assert google.troubles == []


@pytest.fixture
def google(lab: Lab) -> FakeGoogleBusiness:
    assert isinstance(lab.platform, FakeGoogleBusiness)
    return lab.platform


def token_requests(google: FakeGoogleBusiness) -> int:
    return sum(request["path"] == "/token" for request in google.requests)


# --- choices ---------------------------------------------------------------------------------------------------------


def test_every_location_of_every_account_can_be_chosen(lab: Lab, google: FakeGoogleBusiness) -> None:
    google.places |= {f"accounts/{number}/locations/1": Place(f"Branch {number}") for number in range(1, 26)}
    google.places |= {f"{ACCOUNT}/locations/{number}": Place(f"Shop {number}") for number in range(1, 131)}

    with lab.at_work() as (publisher, _):
        chosen = {choice.settings["location"]: choice for choice in publisher.choices()}

    assert {location: choice.name for location, choice in chosen.items()} == {
        location: place.title for location, place in google.places.items()
    }
    assert all(choice.credentials == publisher.account.credentials for choice in chosen.values())


def test_choosing_with_credentials_that_google_does_not_take_is_refused(lab: Lab) -> None:
    with lab.at_work(lab.wrong_credentials()) as (publisher, _), pytest.raises(AccountRejected, match="client id"):
        list(publisher.choices())


# --- check -----------------------------------------------------------------------------------------------------------


def test_check_says_whose_location_it_is(lab: Lab) -> None:
    said = lab.check()

    assert (said.ok, said.external_id, said.name) == (True, LOCATION, "Café Seed")


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (
            lambda google: setattr(google, "api_enabled", False),
            "Enable the API 127.0.0.1 in the Cloud project: Google My Business API",
        ),
        (lambda google: setattr(google, "scopes", "email"), "business.manage"),
        (lambda google: setattr(google.places[LOCATION], "managed", False), "does not manage this location"),
        (lambda google: google.places[LOCATION].metadata.update(canOperateLocalPost=False), "canOperateLocalPost"),
        (lambda google: google.places[LOCATION].metadata.update(hasVoiceOfMerchant=False), "not verified"),
        (lambda google: google.places.clear(), "no such location"),
        (lambda google: setattr(google, "grant_error", (400, "invalid_grant")), "no longer takes the refresh token"),
    ],
    ids=["not enabled", "no scope", "no manager", "no posts", "not verified", "gone", "revoked"],
)
def test_check_says_what_is_wrong(lab: Lab, google: FakeGoogleBusiness, change: Any, problem: str) -> None:
    change(google)

    said = lab.check()

    print(said.problem)
    assert not said.ok and problem in (said.problem or "")


def test_a_location_that_says_nothing_of_posts_may_have_them(lab: Lab, google: FakeGoogleBusiness) -> None:
    google.places[LOCATION].metadata.clear()

    assert lab.check().ok


def test_check_says_when_a_grant_for_some_days_ends(lab: Lab, google: FakeGoogleBusiness) -> None:
    assert lab.check().expires_at is None

    google.grant_ends_in = 3 * 24 * 3600

    expires_at = lab.check().expires_at
    assert expires_at and timedelta(days=2.9) < expires_at - datetime.now(UTC) <= timedelta(days=3)


def test_check_does_not_take_a_token_that_google_forgot_for_a_no(lab: Lab, google: FakeGoogleBusiness) -> None:
    lab.prepare(lab.post())
    google.tokens.clear()

    assert lab.check().ok


# --- the access token -----------------------------------------------------------------------------------


def test_one_access_token_serves_many_posts(lab: Lab, google: FakeGoogleBusiness) -> None:
    for _ in range(3):
        assert lab.attempt(lab.post()).platform_post_id

    assert token_requests(google) == 1


def test_a_token_that_ends_soon_is_replaced_before_the_call(lab: Lab, google: FakeGoogleBusiness) -> None:
    google.token_lasts = 299
    lab.attempt(lab.post())
    google.token_lasts = 3599

    assert lab.attempt(lab.post()).platform_post_id
    assert token_requests(google) == 2


def test_a_token_that_google_took_back_is_replaced_for_the_next_attempt(lab: Lab, google: FakeGoogleBusiness) -> None:
    lab.prepare(lab.post())
    for _ in range(2):
        google.tokens.clear()
        assert isinstance(lab.attempt(lab.post()).error, Transient)
        assert lab.attempt(lab.post()).platform_post_id


def test_a_second_token_that_google_does_not_take_is_the_accounts_fault(lab: Lab, google: FakeGoogleBusiness) -> None:
    google.takes_tokens = False
    errors = [lab.attempt(lab.post()).error for _ in range(2)]

    assert [type(error) for error in errors] == [Transient, AccountRejected]
    assert not lab.check().ok


def test_of_two_attempts_whose_token_was_taken_back_the_second_leaves_the_new_one_alone(
    lab: Lab, google: FakeGoogleBusiness
) -> None:
    with lab.at_work() as (publisher, _):
        held = Tokens(str(google.settings["token_url"]), publisher.account.credentials)
        old = held.have(publisher.http)
        held.refused(old)
        new = held.have(publisher.http)

        assert not held.refused(old)
        assert held.held() == new != old


def test_without_a_token_nothing_is_sent(lab: Lab, google: FakeGoogleBusiness) -> None:
    attempt = lab.attempt(lab.post(), prepared={})

    assert attempt.kind == "transient" and google.requests == []


def test_one_account_never_posts_with_the_token_of_another(lab: Lab, google: FakeGoogleBusiness) -> None:
    lab.prepare(lab.post())

    with FakeGoogleBusiness() as other:
        attempt = Lab(GoogleBusiness, other, make_post()).attempt(lab.post())

    assert attempt.platform_post_id
    assert {request["token"] for request in other.requests[1:]} == set(other.tokens)


def test_the_access_token_is_kept_nowhere_and_shown_nowhere(
    lab: Lab, google: FakeGoogleBusiness, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    post = lab.post()
    shown = [str(lab.prepare(post)), str(lab.check())]
    attempt = lab.attempt(post)
    shown += [str(attempt.outcome), str(attempt.calls)]
    google.tokens = dict.fromkeys(google.tokens, 0.0)
    attempt = lab.attempt(lab.post(), prepared={})
    shown += [str(attempt.outcome), repr(attempt.error), str(attempt.calls)]
    shown += [record.getMessage() for record in caplog.records]
    with lab.at_work() as (publisher, _):
        shown += [repr(publisher), repr(publisher.account)]

    assert google.tokens
    assert not [text for text in shown for token in google.tokens if token in text]


# --- settings --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "location",
    ["", "locations/1", "accounts/1", "accounts/a/locations/1", "accounts/1/locations/1/", "accounts/1/locations/²"],
)
def test_a_location_needs_both_parts(location: str) -> None:
    with pytest.raises(ValidationError, match=r"accounts/<number>/locations/<number>"):
        LocationSettings(location=location)


@pytest.mark.parametrize(
    "address", ["", "mybusiness.googleapis.com/v4", "https://", "https://a.example/?b=c", "ftp://a.b"]
)
def test_an_address_of_an_api_is_a_web_address(address: str) -> None:
    with pytest.raises(ValidationError, match="web address"):
        LocationSettings(location=LOCATION, api_url=address)


def test_addresses_and_language_have_defaults() -> None:
    settings = LocationSettings(location=LOCATION, api_url="https://mybusiness.googleapis.com/v4/")

    assert settings == LocationSettings(location=LOCATION, language="en")
