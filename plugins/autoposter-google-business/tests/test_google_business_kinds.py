"""Each kind of post: what goes over the wire, in which order, and what the location then has.

`pytest test_google_business_kinds.py -s` prints the requests.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from autoposter.testing import Lab, make_post
from autoposter_google_business.publisher import GoogleBusiness
from fake_google_business import LOCATION, FakeGoogleBusiness
from google_business_examples import KINDS, LINK, PHOTO_URL, offer, options


@pytest.fixture
def lab() -> Iterator[Lab]:
    with FakeGoogleBusiness() as google:
        yield Lab(GoogleBusiness, google, make_post())
        assert google.troubles == []


@pytest.fixture
def google(lab: Lab) -> FakeGoogleBusiness:
    assert isinstance(lab.platform, FakeGoogleBusiness)
    return lab.platform


@pytest.mark.parametrize("name", KINDS)
def test_a_post_of_each_kind_is_published_by_one_request(lab: Lab, google: FakeGoogleBusiness, name: str) -> None:
    kind, post = KINDS[name]

    attempt = lab.attempt(lab.own(post))

    print(f"\n{name}")
    for request, content in zip(google.requests, google.received, strict=True):
        body = content.split(b"\n", 1)[1].decode()
        print(f"    {request['method']} {request['path']}  {'(form)' if request['path'] == '/token' else body}")
    assert [f"{one['method']} {one['path']}" for one in google.requests] == [
        "POST /token",
        f"POST /v4/{LOCATION}/localPosts",
    ]
    (made,) = google.made
    assert made.said["topicType"] == kind
    assert attempt.platform_post_id == made.name


@pytest.mark.parametrize("name", KINDS)
def test_a_post_of_each_kind_is_found_when_its_answer_was_lost(lab: Lab, google: FakeGoogleBusiness, name: str) -> None:
    post = lab.own(KINDS[name][1])
    lab.attempt(post)
    google.made[0].at -= google.listing_lag

    found = lab.find(post)

    assert found and found.platform_post_id == google.made[0].name
    assert found.permalink and found.permalink.startswith("https://local.google.com/place?")


def test_an_offer_says_all_that_was_given(lab: Lab, google: FakeGoogleBusiness) -> None:
    lab.attempt(lab.own(KINDS["an offer"][1]))

    assert google.made[0].said == {
        "languageCode": "en-US",
        "summary": "A third off.",
        "topicType": "OFFER",
        "event": {
            "title": "Spring sale",
            "schedule": {
                "startDate": {"year": 2126, "month": 5, "day": 1},
                "startTime": {"hours": 9, "minutes": 0},
                "endDate": {"year": 2126, "month": 5, "day": 7},
                "endTime": {"hours": 18, "minutes": 0},
            },
        },
        "offer": {"couponCode": "SPRING", "redeemOnlineUrl": LINK, "termsConditions": "One each"},
        "media": [{"mediaFormat": "PHOTO", "sourceUrl": PHOTO_URL}],
    }


def test_whole_days_begin_at_midnight_and_end_in_the_last_minute(lab: Lab, google: FakeGoogleBusiness) -> None:
    lab.attempt(lab.own(KINDS["an event of whole days"][1]))

    schedule = google.made[0].said["event"]["schedule"]
    assert (schedule["startTime"], schedule["endTime"]) == ({"hours": 0, "minutes": 0}, {"hours": 23, "minutes": 59})


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        ({}, {"callToAction": {"actionType": "LEARN_MORE", "url": LINK}}),
        ({"call_to_action": {"action": "SHOP"}}, {"callToAction": {"actionType": "SHOP", "url": LINK}}),
        (
            {"call_to_action": {"action": "SHOP", "url": LINK}},
            {"callToAction": {"actionType": "SHOP", "url": LINK}},
        ),
    ],
    ids=["alone", "of a button", "twice the same"],
)
def test_the_link_of_a_post_becomes_its_button(
    lab: Lab, google: FakeGoogleBusiness, given: dict[str, object], sent: dict[str, object]
) -> None:
    lab.attempt(lab.own(make_post(link=LINK, options=options(**given))))

    assert {name: google.made[0].said.get(name) for name in sent} == sent


def test_the_link_of_an_offer_is_where_it_is_redeemed(lab: Lab, google: FakeGoogleBusiness) -> None:
    lab.attempt(lab.own(make_post(link=LINK, options=offer())))

    assert google.made[0].said["offer"] == {"redeemOnlineUrl": LINK}
    assert "callToAction" not in google.made[0].said


def test_a_permalink_that_the_answer_lacks_is_asked_for_once(lab: Lab, google: FakeGoogleBusiness) -> None:
    google.search_urls = False

    attempt = lab.attempt(lab.post())

    assert [call["method"] for call in attempt.calls] == ["POST", "GET"]
    assert attempt.platform_post_id == google.made[0].name
