"""What each answer of Google's becomes: every row of the fact sheet's tables, over a real socket, judged by the core.

`pytest test_google_business_answers.py -s` prints the classes and the sentences.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest

import google_business_answers as answers
from autoposter.publishers import (
    AccountRejected,
    ContentRejected,
    OutcomeUnknown,
    PublishError,
    RateLimited,
    Transient,
)
from autoposter.testing import Lab, Rule, make_post, refuse
from autoposter_google_business.publisher import GoogleBusiness
from fake_google_business import FakeGoogleBusiness
from google_business_examples import PHOTO_URL, photo


@pytest.fixture
def lab() -> Iterator[Lab]:
    with FakeGoogleBusiness() as google:
        yield Lab(GoogleBusiness, google, make_post())
        assert google.troubles == []


@pytest.fixture
def google(lab: Lab) -> FakeGoogleBusiness:
    assert isinstance(lab.platform, FakeGoogleBusiness)
    return lab.platform


@pytest.mark.parametrize("name", answers.ROWS)
def test_each_answer_of_the_publishing_request_has_its_class(lab: Lab, name: str) -> None:
    http, body, raises, words = answers.ROWS[name]
    post = lab.post(media=(photo(),))
    prepared = lab.prepare(post)
    lab.follow(refuse(http, body))

    attempt = lab.attempt(post, prepared)

    print(f"{http} {name}: {raises.__name__ if raises else 'unknown'}: {attempt.error}")
    if raises is None:
        assert attempt.is_unknown
    else:
        assert type(attempt.error) is raises and attempt.kind
        assert words in str(attempt.error)


BODIES = {name: row[:2] for name, row in answers.ROWS.items() if row[0] >= 400}
BODIES |= {"html": (200, "<html>"), "nothing": (200, ""), "a list": (200, "[]")}


@pytest.mark.parametrize("name", BODIES)
def test_no_answer_to_a_look_is_a_verdict_on_the_post(lab: Lab, name: str) -> None:
    http, body = BODIES[name]
    post = lab.post()
    lab.attempt(post)
    lab.follow(refuse(http, body, on="other"))

    with pytest.raises((Transient, RateLimited, AccountRejected)):
        lab.find(post, {})


def test_a_photo_that_cannot_be_fetched_is_named_and_tried_again(lab: Lab, google: FakeGoogleBusiness) -> None:
    google.web.clear()

    attempt = lab.attempt(lab.post(media=(photo(),)))

    assert isinstance(attempt.error, Transient) and PHOTO_URL in attempt.error.message
    assert google.made == []


@pytest.mark.parametrize(
    ("rule", "waits"),
    [
        (refuse(429, answers.error(429, answers.EXHAUSTED)), 60),
        (refuse(429, answers.error(429, answers.EXHAUSTED), retry_after="7"), 7),
        (refuse(429, answers.error(429, answers.EXHAUSTED, details=[{"retryDelay": "30s"}])), 30),
        (refuse(429, answers.error(429, answers.EXHAUSTED, details=[{"retryDelay": "soon"}])), 60),
    ],
    ids=["not said", "Retry-After", "RetryInfo", "illegible"],
)
def test_a_pause_lasts_as_long_as_google_asks(lab: Lab, rule: Rule, waits: int) -> None:
    post = lab.post()
    prepared = lab.prepare(post)
    lab.follow(rule)

    error = lab.attempt(post, prepared).error

    assert isinstance(error, RateLimited) and error.retry_after == timedelta(seconds=waits)


@pytest.mark.parametrize(("http", "error", "raises"), answers.TOKEN_ROWS)
def test_each_answer_of_the_token_endpoint_has_its_class(
    lab: Lab, google: FakeGoogleBusiness, http: int, error: str, raises: type[PublishError]
) -> None:
    google.grant_error = http, error

    with pytest.raises(raises) as raised:
        lab.prepare(lab.post())

    print(f"{http} {error}: {raises.__name__}: {raised.value}")
    assert not any(secret in str(raised.value) for secret in lab.secrets)


@pytest.mark.parametrize(
    "answer", ["<html>", "", "[]", "null", "{}", '{"access_token": ""}', '{"access_token": "a b"}']
)
def test_an_answer_without_a_token_is_trouble_and_no_verdict(lab: Lab, answer: str) -> None:
    lab.follow(refuse(200, answer, on="other"))

    with pytest.raises(Transient):
        lab.prepare(lab.post())


# --- Accepted, and yet not published ---------------------------------------------------------------------------------


def test_a_post_that_is_rejected_at_once_is_refused(lab: Lab, google: FakeGoogleBusiness) -> None:
    attempt = lab.attempt(lab.post(caption="REJECT NOW"))

    assert isinstance(attempt.error, ContentRejected) and attempt.kind
    assert [made.state for made in google.made] == ["REJECTED"]


def test_a_post_that_is_found_rejected_is_not_sent_again(lab: Lab, google: FakeGoogleBusiness) -> None:
    post = lab.post(caption="REJECT NOW")
    lab.attempt(post)
    google.made[0].at -= google.listing_lag

    with pytest.raises(ContentRejected):
        lab.find(post)


def test_a_rejection_that_is_seen_with_the_permalink_is_found_out(lab: Lab, google: FakeGoogleBusiness) -> None:
    google.search_urls = False
    post = lab.post(caption="REJECT LATER")

    assert lab.attempt(post).is_unknown

    google.made[0].at -= google.listing_lag
    with pytest.raises(ContentRejected):
        lab.find(post)


@pytest.mark.parametrize("state", ["LIVE", "RECURRING", "PROCESSING", "SCHEDULED", "SOMETHING_NEW"])
def test_a_post_in_any_other_state_is_googles(lab: Lab, state: str) -> None:
    post = lab.post()
    prepared = lab.prepare(post)
    lab.follow(Rule(status=200, body=f'{{"name": "accounts/1/locations/2/localPosts/3", "state": "{state}"}}'))

    assert lab.attempt(post, prepared).platform_post_id == "accounts/1/locations/2/localPosts/3"


@pytest.mark.parametrize("name", ["", "3", "localPosts/3", "accounts/1/locations/2/localPosts/", "a\nb/localPosts/1"])
def test_an_answer_that_names_no_post_leaves_the_outcome_unknown(lab: Lab, name: str) -> None:
    post = lab.post()
    prepared = lab.prepare(post)
    lab.follow(Rule(status=200, body=f'{{"name": {name!r}, "state": "LIVE"}}'.replace("'", '"')))

    attempt = lab.attempt(post, prepared)

    assert attempt.is_unknown and isinstance(attempt.error, OutcomeUnknown)


def test_a_location_that_is_gone_is_the_accounts_fault(lab: Lab, google: FakeGoogleBusiness) -> None:
    google.places.clear()

    assert isinstance(lab.attempt(lab.post()).error, AccountRejected)
