"""From connecting a location to the address of a post, with the commands of a user; and a token that is revoked.

`pytest tests/platforms/test_google_business_for_users.py -s` prints what was typed and what was said.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from factories import Factories
from platforms.users import User
from processes import Processes

from fake_google_business import LOCATION, FakeGoogleBusiness, Place
from google_business_examples import KINDS, PHOTO

BAKERY = "accounts/108494581129006735086/locations/7"


@pytest.fixture
def cafe() -> Iterator[FakeGoogleBusiness]:
    with FakeGoogleBusiness() as google:
        yield google
        assert google.troubles == []


@pytest.fixture
def bakery() -> Iterator[FakeGoogleBusiness]:
    with FakeGoogleBusiness(BAKERY, "Bakery Seed") as google:
        yield google
        assert google.troubles == []


@pytest.fixture
def user(run_processes: Processes, fresh: Factories, tmp_path: Path) -> User:
    (tmp_path / "terrace.png").write_bytes(PHOTO)
    return User(run_processes, fresh, tmp_path)


def connects(user: User, google: FakeGoogleBusiness, name: str, *, code: int = 0, **more: str) -> str:
    """Connect the location that the token leads to."""
    settings = {key: str(value) for key, value in google.settings.items() if key != "location"}
    return user.connects("google_business", name, settings | more, google.credentials, code=code)


def schedules(user: User, account: str, kind: str) -> int:
    """Schedule a post of a kind; its id."""
    post = KINDS[kind][1]
    words = ["--link", post.link] if post.link else []
    words += ["--media", "terrace.png"] if post.media else []
    options = post.options.model_dump(mode="json", exclude_none=True)
    return user.schedules(account, post.caption, *words, **({"google_business": options} if options else {}))


def test_a_user_connects_a_location_and_sees_where_the_posts_are(user: User, cafe: FakeGoogleBusiness) -> None:
    cafe.places[BAKERY] = Place("Bakery Seed")
    said = connects(user, cafe, "cafe", code=2)
    assert f"--set location={LOCATION} (Café Seed)" in said and BAKERY in said
    connects(user, cafe, "cafe", location=LOCATION)
    user.starts_workers()
    posts = [schedules(user, "cafe", kind) for kind in ("an update with a link", "an event", "an offer")]
    for post in posts:
        user.waits_for(post, "Posted")

    shown = [user.sees(post) for post in posts]

    assert [one["permalink"] for one in shown] == [cafe._shown(made)["searchUrl"] for made in cafe.made]
    assert [made.said["topicType"] for made in cafe.made] == ["STANDARD", "EVENT", "OFFER"]


def test_a_token_that_is_revoked_disconnects_its_account_and_nothing_else_fails(
    user: User, cafe: FakeGoogleBusiness, bakery: FakeGoogleBusiness
) -> None:
    connects(user, cafe, "cafe")
    connects(user, bakery, "bakery")
    user.starts_workers()
    bakery.grant_error = 400, "invalid_grant"
    bakery.tokens.clear()

    lost, kept = schedules(user, "bakery", "an update"), schedules(user, "cafe", "an update")

    user.waits_for(lost, "Failed")
    user.waits_for(kept, "Posted")
    accounts = json.loads(user.types("accounts", "list", "--json"))
    assert {one["name"]: one["status"] for one in accounts} == {"bakery": "disconnected", "cafe": "active"}
    assert "no longer takes the refresh token" in user.sees(lost)["last_error"]
    assert bakery.made == [] and len(cafe.made) == 1


def test_a_grant_that_ends_in_three_days_is_announced(user: User, cafe: FakeGoogleBusiness) -> None:
    cafe.grant_ends_in = 3 * 24 * 3600
    connects(user, cafe, "cafe")

    said = user.types("accounts", "show", "cafe")

    assert "expire in 2 days: `autoposter accounts reconnect google_business:cafe`" in said
