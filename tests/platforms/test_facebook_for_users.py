"""From connecting a Page to the address of a post, with the commands of a user.

`pytest tests/platforms/test_facebook_for_users.py -s` prints what was typed and what was said.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from factories import Factories
from media_files import mp4, picture
from platforms.users import User
from processes import Processes, wait_until

from fake_facebook import FakeFacebook


def running() -> Iterator[FakeFacebook]:
    with FakeFacebook() as facebook:
        yield facebook
        assert facebook.troubles == []


cafe = pytest.fixture(running, name="cafe")


@pytest.fixture
def user(run_processes: Processes, fresh: Factories, tmp_path: Path) -> User:
    (tmp_path / "front.jpg").write_bytes(picture(size=(640, 640)))
    (tmp_path / "film.mp4").write_bytes(mp4(200_000, header_first=True, width=1080, height=1920))
    return User(run_processes, fresh, tmp_path)


def test_a_user_connects_a_page_and_sees_where_the_posts_are_until_its_token_expires(
    user: User, cafe: FakeFacebook
) -> None:
    user.starts_workers()
    user.connects("facebook", "cafe", cafe.settings, {"access_token": "the-user-token"})  # the Page's own is kept
    posts = [
        user.schedules("cafe", "We are open."),
        user.schedules("cafe", "The menu.", "--link", "https://cafe.example/menu"),
        user.schedules("cafe", "Our front.", "--media", "front.jpg", "--alt", "The café from outside"),
        user.schedules("cafe", "How we bake.", "--media", "film.mp4", facebook={"kind": "reel"}),
    ]
    for post in posts:
        user.waits_for(post, "Posted")

    shown = [user.sees(post)["permalink"] for post in posts]

    assert {one.removeprefix("https://www.facebook.com") for one in shown} == {
        cafe.permalink(post.id).removeprefix("https://www.facebook.com") for post in cafe.published()
    }
    cafe.expired = {"the-right-token"}
    lost = user.schedules("cafe", "Closing time.")
    user.waits_for(lost, "Failed")
    (account,) = json.loads(user.types("accounts", "list", "--json"))
    assert account["status"] == "disconnected"
    assert "has expired: reconnect the account" in user.sees(lost)["last_error"]


def test_a_token_that_ends_in_three_days_is_announced(user: User, cafe: FakeFacebook) -> None:
    cafe.ends["the-right-token"] = datetime.now(UTC) + timedelta(days=3)
    app = {"app_id": "the-app", "app_secret": "the-app-secret"}
    user.connects("facebook", "cafe", cafe.settings, {"access_token": "the-right-token", **app})

    worker = user.starts_workers()

    reconnect = "`autoposter accounts reconnect facebook:cafe`"
    wait_until(lambda: "the credentials of facebook:cafe expire at" in worker.output, 30, lambda: worker.output)
    assert f"expire in 2 days: {reconnect}" in user.types("accounts", "show", "cafe")
    assert "The credentials of facebook:cafe expire at" in user.types("doctor")
