"""The fake is as strict as Google: what it lets pass would prove nothing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

from fake_google_business import LOCATION, FakeGoogleBusiness


@pytest.fixture
def google() -> Iterator[FakeGoogleBusiness]:
    with FakeGoogleBusiness() as google:
        yield google
        assert google.troubles == []


def asked(google: FakeGoogleBusiness, method: str, path: str, **how: Any) -> httpx2.Response:
    google._granted()
    token = next(iter(google.tokens))
    headers = {"Authorization": f"Bearer {token}", "X-GOOG-API-FORMAT-VERSION": "2"}
    return httpx2.request(method, f"{google.url}{path}", headers=headers, trust_env=False, **how)


def test_the_fake_answers_html_where_google_has_no_such_path(google: FakeGoogleBusiness) -> None:
    answer = asked(google, "GET", "/v4/locations/1/localPosts")

    assert answer.status_code == 404 and answer.text.startswith("<!DOCTYPE html>")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"scheduledFor": "now"}, "Unknown name"),
        ({"topicType": None}, "Invalid value"),
        ({"topicType": "PARTY"}, "Invalid topic type"),
        ({"summary": "x" * 1501}, "at most 1500"),
        ({"topicType": "OFFER"}, "event is required"),
        ({"offer": {}}, "only for offers"),
        ({"callToAction": {"actionType": "CALL", "url": "https://a.b"}}, "must not be set"),
        ({"callToAction": {"actionType": "BOOK"}}, "Url is required"),
        ({"media": [{"mediaFormat": "PHOTO", "dataRef": "1"}]}, "Unknown name"),
        ({"media": [{"mediaFormat": "PHOTO", "sourceUrl": "https://nobody.example"}]}, "Fetching image failed"),
        ({"media": [{"mediaFormat": "VIDEO", "sourceUrl": "https://nobody.example"}]}, "INTERNAL"),
    ],
)
def test_the_fake_refuses_what_google_refuses(google: FakeGoogleBusiness, change: dict[str, Any], words: str) -> None:
    body = {"topicType": "STANDARD", "summary": "Open", "languageCode": "en"} | change
    answer = asked(google, "POST", f"/v4/{LOCATION}/localPosts", json=body)

    assert answer.status_code >= 400 and words in answer.text
    assert google.made == []


def test_the_fake_takes_both_grants_as_forms_only(google: FakeGoogleBusiness) -> None:
    google.codes.add("4/code")
    form = {**google.client, "grant_type": "authorization_code", "code": "4/code", "redirect_uri": "http://localhost"}
    url = f"{google.url}/token"

    assert httpx2.post(url, json=form, trust_env=False).json()["error"] == "invalid_request"
    assert httpx2.post(url, data=form, trust_env=False).json()["refresh_token"] == google.refresh_token
    assert httpx2.post(url, data=form, trust_env=False).json()["error"] == "invalid_grant"


def test_the_fake_lists_nothing_as_an_empty_object(google: FakeGoogleBusiness) -> None:
    assert asked(google, "GET", f"/v4/{LOCATION}/localPosts", params={"pageSize": "100"}).json() == {}
    assert asked(google, "GET", f"/v4/{LOCATION}/localPosts", params={"pageSize": "101"}).status_code == 400
