"""Whether a post whose answer was lost is out: what `find` compares, how far it reads, and when it cannot tell."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from autoposter.publishers import OutcomeUnknown, Post
from autoposter.testing import Lab, make_post
from autoposter_google_business.content import local_post
from autoposter_google_business.listing import MOST_PAGES, search
from autoposter_google_business.publisher import GoogleBusiness
from fake_google_business import FakeGoogleBusiness
from google_business_examples import LINK, event, options

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def sought(caption: str = "We are open.", **given: Any) -> Post:
    """The post whose answer was lost at noon."""
    given.setdefault("options", options())
    return make_post(caption, attempted_at=NOW, **given)


def listed(post: Post, *, after: timedelta = timedelta(seconds=1), number: int = 1, **changes: Any) -> dict[str, Any]:
    """A post as it stands in a listing."""
    at = (NOW + after).isoformat().replace("+00:00", "Z")
    return local_post(post, "en") | {"name": f"n/localPosts/{number}", "createTime": at, "state": "LIVE"} | changes


def found(post: Post, *items: dict[str, Any]) -> bool:
    """Whether it is found among these."""
    return search([{"localPosts": list(items)}], post) is not None


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace("\n", "\r\n"),
        lambda text: f" {text}\n",
        lambda text: text.replace("é", "e\N{COMBINING ACUTE ACCENT}"),
    ],
    ids=["line ends", "outer space", "decomposed"],
)
def test_a_text_is_recognised_however_it_is_written(change: Callable[[str], str]) -> None:
    post = sought("Café\nopen")

    assert found(post, listed(post, summary=change("Café\nopen")))


@pytest.mark.parametrize(
    "other",
    [
        {"summary": "We are open. And more."},
        {"summary": "We are"},
        {"topicType": "EVENT", "event": {"title": "We are open."}},
        {"callToAction": {"actionType": "BOOK", "url": LINK}},
        {"createTime": "2026-05-01T11:57:59.999Z"},
    ],
    ids=["longer", "shorter", "another kind", "another button", "earlier"],
)
def test_another_post_is_not_taken_for_it(other: dict[str, Any]) -> None:
    assert not found(sought(), listed(sought()) | other)


def test_a_post_of_our_clock_running_ahead_is_recognised() -> None:
    assert found(sought(), listed(sought(), after=-2 * MINUTE))


def test_an_event_is_recognised_by_its_title_too() -> None:
    post, other = sought(options=event(title="Tasting")), sought(options=event(title="Concert"))

    assert found(post, listed(post))
    assert not found(post, listed(other))


def test_an_address_that_google_writes_in_another_way_is_no_other_post() -> None:
    post = sought(link="https://shop.example")

    assert found(post, listed(post, callToAction={"actionType": "LEARN_MORE", "url": "https://shop.example/"}))


def test_of_two_that_fit_the_one_with_the_same_address_is_it() -> None:
    post, other = sought(link=LINK), sought(link=f"{LINK}/2")

    it = search([{"localPosts": [listed(other, number=1), listed(post, number=2)]}], post)

    assert it and it["name"] == "n/localPosts/2"


def test_of_two_that_are_alike_none_is_chosen() -> None:
    with pytest.raises(OutcomeUnknown, match="2 posts"):
        search([{"localPosts": [listed(sought(), number=1), listed(sought(), number=2)]}], sought())


# --- How far it reads ------------------------------------------------------------------------------------------------


@pytest.fixture
def lab() -> Iterator[Lab]:
    with FakeGoogleBusiness() as google:
        google.listing_lag = timedelta(0)
        yield Lab(GoogleBusiness, google, make_post())
        assert google.troubles == []


@pytest.fixture
def google(lab: Lab) -> FakeGoogleBusiness:
    assert isinstance(lab.platform, FakeGoogleBusiness)
    return lab.platform


def test_a_post_on_a_later_page_is_found(lab: Lab, google: FakeGoogleBusiness) -> None:
    post = lab.post()
    name = lab.attempt(post).platform_post_id
    google.made += [replace(google.made[0], name=f"{google.made[0].name}{n}", said=_other(n)) for n in range(250)]
    google.made = google.made[1:] + google.made[:1]

    found = lab.find(post)

    assert found and found.platform_post_id == name
    assert sum(request["path"].endswith("/localPosts") for request in google.requests) == 1 + 3


def _other(number: int) -> dict[str, Any]:
    return {"languageCode": "en", "summary": f"Post {number}", "topicType": "STANDARD"}


def test_a_page_in_order_that_ends_a_day_before_is_the_last_one() -> None:
    def pages() -> Iterator[dict[str, Any]]:
        yield {"localPosts": [listed(sought("Another")), listed(sought("A third"), after=-timedelta(days=2))]}
        raise AssertionError("It reads on.")

    assert search(pages(), sought()) is None


def test_a_page_in_no_order_is_not_the_last_one() -> None:
    old, new = listed(sought("Another"), after=-timedelta(days=2)), listed(sought("A third"))

    assert search([{"localPosts": [old, new, old]}, {"localPosts": [listed(sought())]}], sought())


def test_a_listing_without_end_is_no_absence() -> None:
    page = {"localPosts": [listed(sought("Another"))]}

    assert search([page] * MOST_PAGES, sought()) is None
    with pytest.raises(OutcomeUnknown, match="more than 1000 posts"):
        search([page] * (MOST_PAGES + 1), sought())


@pytest.mark.parametrize(
    "page",
    [
        {"localPosts": {}},
        {"localPosts": ["a post"]},
        {"localPosts": [{"name": "n", "topicType": "STANDARD"}]},
        {"localPosts": [{"createTime": "yesterday"}]},
        {"localPosts": [{"createTime": "2026-05-01T12:00:00"}]},
    ],
    ids=["no list", "no objects", "no time", "no date", "no zone"],
)
def test_a_listing_that_cannot_be_read_is_no_absence(page: dict[str, Any]) -> None:
    with pytest.raises(OutcomeUnknown):
        search([page], sought())


def test_a_location_without_posts_has_none() -> None:
    assert search([{}], sought()) is None
