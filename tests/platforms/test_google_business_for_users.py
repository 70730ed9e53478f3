"""From connecting a location to the address of a post, with the commands of a user; and a token that is revoked.

`pytest tests/platforms/test_google_business_for_users.py -s` prints what was typed and what was said.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from processes import Processes, wait_until

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


class User:
    """Types commands."""

    def __init__(self, processes: Processes, folder: Path) -> None:
        self._processes = processes
        self.media = {"AUTOPOSTER_MEDIA_ROOT": str(folder), "AUTOPOSTER_MEDIA_BASE_URL": "https://media.example"}
        (folder / "terrace.png").write_bytes(PHOTO)

    def types(self, *command: str, code: int = 0, **environment: str) -> str:
        """What `autoposter` answers, with this exit code."""
        running = self._processes.start("autoposter", *command, **self.media, **environment)
        assert running.popen.wait(60) == code, running.output
        print(f"$ autoposter {' '.join(command)}\n{running.output}")
        return running.output

    def connects(self, google: FakeGoogleBusiness, name: str, *more: str, code: int = 0) -> str:
        """Connect the location that the token leads to, with the secrets in the environment."""
        secrets = {key.upper(): value for key, value in google.credentials.items()}
        given = [f"{key}=env:{key.upper()}" for key in google.credentials]
        given += [f"{key}={value}" for key, value in google.settings.items() if key != "location"]
        pairs = [word for pair in [*given, *more] for word in ("--set", pair)]
        return self.types("accounts", "add", "google_business", "--name", name, *pairs, code=code, **secrets)

    def schedules(self, account: str, kind: str) -> int:
        """Schedule a post of a kind; its id."""
        post = KINDS[kind][1]
        options = post.options.model_dump(mode="json", exclude_none=True)
        words = ["--options", json.dumps({"google_business": options})] if options else []
        words += ["--link", post.link] if post.link else []
        words += ["--media", "terrace.png"] if post.media else []
        (said,) = json.loads(self.types("schedule", post.caption, "--account", account, "--in", "1s", "--json", *words))
        return int(said["id"])

    def sees(self, post_id: int) -> dict[str, Any]:
        """What `posts show` says of it."""
        said: dict[str, Any] = json.loads(self.types("posts", "show", str(post_id), "--json"))["post"]
        return said


@pytest.fixture
def user(run_processes: Processes, tmp_path: Path) -> User:
    made = User(run_processes, tmp_path)
    run_processes.worker(**made.media)
    run_processes.scheduler()
    return made


def test_a_user_connects_a_location_and_sees_where_the_posts_are(
    user: User, cafe: FakeGoogleBusiness, post_status: Callable[[int], str]
) -> None:
    cafe.places[BAKERY] = Place("Bakery Seed")
    said = user.connects(cafe, "cafe", code=2)
    assert f"--set location={LOCATION} (Café Seed)" in said and BAKERY in said
    user.connects(cafe, "cafe", f"location={LOCATION}")
    posts = [user.schedules("cafe", kind) for kind in ("an update with a link", "an event", "an offer")]
    for post in posts:
        wait_until(lambda post=post: post_status(post) == "Posted", 20, lambda post=post: post_status(post))

    shown = [user.sees(post) for post in posts]

    assert [one["permalink"] for one in shown] == [cafe._shown(made)["searchUrl"] for made in cafe.made]
    assert [made.said["topicType"] for made in cafe.made] == ["STANDARD", "EVENT", "OFFER"]


def test_a_token_that_is_revoked_disconnects_its_account_and_nothing_else_fails(
    user: User, cafe: FakeGoogleBusiness, bakery: FakeGoogleBusiness, post_status: Callable[[int], str]
) -> None:
    user.connects(cafe, "cafe")
    user.connects(bakery, "bakery")
    bakery.grant_error = 400, "invalid_grant"
    bakery.tokens.clear()

    lost, kept = user.schedules("bakery", "an update"), user.schedules("cafe", "an update")

    wait_until(lambda: post_status(lost) == "Failed", 20, lambda: post_status(lost))
    wait_until(lambda: post_status(kept) == "Posted", 20, lambda: post_status(kept))
    accounts = json.loads(user.types("accounts", "list", "--json"))
    assert {one["name"]: one["status"] for one in accounts} == {"bakery": "disconnected", "cafe": "active"}
    assert "no longer takes the refresh token" in user.sees(lost)["last_error"]
    assert bakery.made == [] and len(cafe.made) == 1


def test_a_grant_that_ends_in_three_days_is_announced(user: User, cafe: FakeGoogleBusiness) -> None:
    cafe.grant_ends_in = 3 * 24 * 3600
    user.connects(cafe, "cafe")

    said = user.types("accounts", "show", "cafe")

    assert "expire in 2 days: `autoposter accounts reconnect google_business:cafe`" in said


@pytest.fixture
def post_status(fresh: Any) -> Callable[[int], str]:
    """The status of a post."""
    return lambda post_id: str(fresh.row("post_instance", post_id)["status"])
