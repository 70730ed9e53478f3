"""From connecting an account to the address of a post, with the commands of a user; and a token that has expired.

`pytest tests/platforms/test_instagram_for_users.py -s` prints what was typed and what was said.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from factories import Factories
from media_files import mp4, picture
from platforms import instagram_login
from platforms.users import User
from processes import Processes, wait_until

from fake_instagram import OTHER_USER, FakeInstagram


def running() -> Iterator[FakeInstagram]:
    with FakeInstagram() as instagram:
        yield instagram
        assert instagram.troubles == []


cafe = pytest.fixture(running, name="cafe")
bakery = pytest.fixture(running, name="bakery")


@pytest.fixture
def user(run_processes: Processes, fresh: Factories, tmp_path: Path) -> User:
    (tmp_path / "front.jpg").write_bytes(picture(size=(640, 640)))
    (tmp_path / "film.mp4").write_bytes(mp4(200_000, header_first=True, width=1080, height=1920))
    return User(run_processes, fresh, tmp_path)


def connect(user: User, instagram: FakeInstagram, name: str) -> None:
    user.connects("instagram", name, instagram.settings, instagram.credentials)


def test_a_user_connects_an_account_and_sees_where_the_posts_are(user: User, cafe: FakeInstagram) -> None:
    user.starts_workers()
    connect(user, cafe, "cafe")
    posts = [
        user.schedules("cafe", "We are open.", "--media", "front.jpg", "--alt", "The café from outside"),
        user.schedules("cafe", "How we bake.", "--media", "film.mp4"),
        user.schedules("cafe", "", "--media", "front.jpg", instagram={"kind": "story"}),
        user.schedules("cafe", "Our day.", "--media", "front.jpg", "--media", "film.mp4"),
    ]
    for post in posts:
        user.waits_for(post, "Posted")

    shown = [user.sees(post) for post in posts]

    assert {one["permalink"] for one in shown} == {cafe.shown(post)["permalink"] for post in cafe.published()}
    assert sorted(cafe.kinds.values()) == ["CAROUSEL", "IMAGE", "REELS", "STORIES"]


def test_a_token_that_has_expired_disconnects_its_account_and_nothing_else_fails(
    user: User, cafe: FakeInstagram, bakery: FakeInstagram
) -> None:
    user.starts_workers()
    connect(user, cafe, "cafe")
    token = "the-other-token"
    user.connects("instagram", "bakery", {**bakery.settings, "ig_user_id": OTHER_USER}, {"access_token": token})
    bakery.expired = {token}

    lost = user.schedules("bakery", "Fresh bread.", "--media", "front.jpg")
    kept = user.schedules("cafe", "We are open.", "--media", "front.jpg")

    user.waits_for(lost, "Failed")
    user.waits_for(kept, "Posted")
    accounts = json.loads(user.types("accounts", "list", "--json"))
    assert {one["name"]: one["status"] for one in accounts} == {"bakery": "disconnected", "cafe": "active"}
    assert "has expired: reconnect the account" in user.sees(lost)["last_error"]
    assert len(bakery.published()) == 0 and len(cafe.published()) == 1


def test_a_token_of_facebook_login_that_ends_in_three_days_is_announced(user: User, cafe: FakeInstagram) -> None:
    cafe.ends["the-right-token"] = datetime.now(UTC) + timedelta(days=3)
    app = {"app_id": "the-app", "app_secret": "the-app-secret"}
    user.connects("instagram", "cafe", cafe.settings, {**cafe.credentials, **app})

    worker = user.starts_workers()

    reconnect = "`autoposter accounts reconnect instagram:cafe`"
    wait_until(lambda: "the credentials of instagram:cafe expire at" in worker.output, 30, lambda: worker.output)
    assert f"expire in 2 days: {reconnect}" in user.types("accounts", "show", "cafe")
    assert "The credentials of instagram:cafe expire at" in user.types("doctor")


def test_a_token_of_instagram_login_is_refreshed_a_day_after_it_was_given(
    user: User, cafe: FakeInstagram, fresh: Factories, run_processes: Processes, tmp_path: Path
) -> None:
    instagram_login.install(tmp_path, run_processes, at=cafe.url)
    connect(user, cafe, "cafe")
    fresh.query("update channel_account set refresh_at = refresh_at - interval '25 hours'")

    worker = user.starts_workers()

    wait_until(lambda: "instagram (cafe) is refreshed" in worker.output, 30, lambda: worker.output)
    del cafe.tokens["the-right-token"]
    post = user.schedules("cafe", "We are open.", "--media", "front.jpg")
    user.waits_for(post, "Posted")
    assert "(refreshed before)" in user.types("accounts", "show", "cafe")
