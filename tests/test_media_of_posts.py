"""What is wrong with a post's media is said when it is scheduled, a day ahead, and ends or delays it when it is due."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx2
import puppets
import pytest
from factories import Factories
from media_files import A_PICTURE, mp4, picture
from puppets import Puppet
from town import PUBLIC, Town, answer, living_in, ok

import autoposter
from autoposter.errors import AutoposterError
from autoposter.media import MediaShelf
from autoposter.preparing import Preparing
from autoposter.publishers import Post
from autoposter.publishing import publish_post
from autoposter.recovery import look
from autoposter.scanning import begin_preparing
from autoposter.turns import Turns
from autoposter.validating import validate
from autoposter.workbench import Workbench

TOMORROW = datetime.now(UTC) + timedelta(days=1)
SECOND = timedelta(seconds=1)
BUSY = answer("503 Service Unavailable", b"", "Content-Length: 0")


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    with living_in(tmp_path_factory.mktemp("town")) as town:
        town.names["cdn.town.example"] = [[PUBLIC]]
        yield town


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "door.png").write_bytes(picture("PNG"))
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nnot at all")
    return tmp_path


@pytest.fixture
def bench(database: Any, root: Path, town: Town) -> Workbench:
    town.pages |= {"/door.png": ok(picture("PNG")), "/busy.png": BUSY}
    return puppets.bench(shelf=MediaShelf(root, None))


def post_with(factories: Factories, source: str, due_in: timedelta = -SECOND, platform: str = "puppet") -> int:
    content = factories.content()
    factories.media(content, source=source)
    return factories.post(due_in, content_item_id=content, channel_account_id=factories.account(platform=platform))


LASTING = {
    "nowhere.png": "There is no file nowhere.png",
    "../door.png": "lies outside AUTOPOSTER_MEDIA_ROOT",
    "broken.png": "broken.png is a broken picture (image/png).",
    "https://127.0.0.1/door.png": "has the address 127.0.0.1, which is not of the public internet",
    "https://cdn.town.example/nowhere.png": "the server answers 404",
    "http://cdn.town.example/door.png": "by https, not by http",
}
PASSING = {
    "https://cdn.town.example/busy.png": "the server answers 503",
    "https://nowhere.town.example/door.png": "cannot be looked up",
}


# --- when it is scheduled --------------------------------------------------------------------------------------------


@pytest.fixture
def application(database: Any, database_url: str, root: Path, town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    town.pages |= {"/door.png": ok(picture("PNG")), "/busy.png": BUSY}
    monkeypatch.setenv("AUTOPOSTER_DATABASE_URL", database_url)
    monkeypatch.setenv("AUTOPOSTER_MEDIA_ROOT", str(root))


@pytest.mark.parametrize("source", LASTING)
def test_media_that_can_never_be_published_are_not_scheduled(
    source: str, application: None, factories: Factories
) -> None:
    factories.account(name="Shop", platform="elsewhere")  # no plugin for it need be installed here

    with pytest.raises(AutoposterError) as refused:
        autoposter.schedule("Open", account="Shop", at=TOMORROW, media=[source])

    assert LASTING[source] in str(refused.value)
    assert factories.query("select count(*) from content_item") == [(0,)]


@pytest.mark.parametrize("source", PASSING)
def test_media_that_cannot_be_had_just_now_are_scheduled_with_a_warning(
    source: str, application: None, factories: Factories, caplog: pytest.LogCaptureFixture
) -> None:
    factories.account(name="Shop")

    autoposter.schedule("Open", account="Shop", at=TOMORROW, media=[source])

    assert PASSING[source] in caplog.text
    assert "It is tried again when the post is due." in caplog.text
    assert factories.query("select count(*) from post_instance") == [(1,)]


@pytest.mark.parametrize(
    ("source", "kind"),
    [
        ("https://cdn.town.example/i/8f3a", "image"),
        ("https://cdn.town.example/i/8f3a?format=mp4", "image"),
        ("https://cdn.town.example/v/8f3a.php", "video"),
        ("8f3a", "image"),
    ],
)
def test_media_whose_name_does_not_tell_are_scheduled_as_what_they_are(
    source: str, kind: str, application: None, factories: Factories, root: Path, town: Town
) -> None:
    factories.account(name="Shop")
    (root / "8f3a").write_bytes(picture())
    town.pages |= {"/i/8f3a": ok(picture()), "/v/8f3a.php": ok(mp4())}

    autoposter.schedule("Open", account="Shop", at=TOMORROW, media=["door.png", source])

    found = factories.query("select kind, source from media_asset order by position")
    assert found == [("image", "door.png"), (kind, source)]


def test_media_whose_name_does_not_tell_need_a_look_and_without_one_it_is_said_what_to_do(
    application: None, factories: Factories, monkeypatch: pytest.MonkeyPatch, town: Town
) -> None:
    factories.account(name="Shop")
    town.pages["/busy"] = BUSY

    with pytest.raises(AutoposterError) as busy:
        autoposter.schedule("Open", account="Shop", at=TOMORROW, media=["https://cdn.town.example/busy?s=s3cret"])
    monkeypatch.delenv("AUTOPOSTER_MEDIA_ROOT")  # an application's machine need not have the files
    with pytest.raises(AutoposterError) as nowhere:
        autoposter.schedule("Open", account="Shop", at=TOMORROW, media=["door"])

    assert "the server answers 503. 'https://cdn.town.example/busy' does not tell by its name" in str(busy.value)
    assert str(nowhere.value).startswith("'door' does not tell by its name whether it is a picture or a video")
    assert "let its name end in .jpg" in str(nowhere.value)
    assert factories.query("select count(*) from content_item") == [(0,)]


@pytest.mark.parametrize("path", ["/door.png", "/i/8f3a"])
def test_a_post_that_its_reference_finds_again_needs_its_media_no_more(
    path: str, application: None, factories: Factories, town: Town
) -> None:
    factories.account(name="Shop")
    town.pages[path] = ok(picture("PNG"))
    once: dict[str, Any] = {"account": "Shop", "at": TOMORROW, "reference": "order-5"}
    once["media"] = [f"https://cdn.town.example{path}"]
    post = autoposter.schedule("Open", **once)
    town.pages[path] = answer("410 Gone", b"", "Content-Length: 0")

    assert autoposter.schedule("Open", **once) == post


# --- a day ahead -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("source", LASTING)
def test_a_post_whose_media_can_never_be_published_is_flagged_ahead_of_its_time(
    source: str, bench: Workbench, factories: Factories
) -> None:
    post = post_with(factories, source, timedelta(hours=1))

    validate(post, bench.host, bench.shelf)

    found = factories.row("post_instance", post)
    assert found["status"] == "Scheduled"
    assert found["last_error"].startswith("It would be refused: ")
    assert LASTING[source] in found["last_error"]


def test_a_flagged_post_is_unflagged_when_its_file_is_there(bench: Workbench, factories: Factories, root: Path) -> None:
    post = post_with(factories, "late.png", timedelta(hours=1))
    validate(post, bench.host, bench.shelf)
    (root / "late.png").write_bytes(A_PICTURE)

    validate(post, bench.host, bench.shelf)

    assert factories.row("post_instance", post)["last_error"] is None


@pytest.mark.parametrize("source", PASSING)
def test_what_may_pass_flags_no_post(
    source: str, bench: Workbench, factories: Factories, caplog: pytest.LogCaptureFixture
) -> None:
    post = post_with(factories, source, timedelta(hours=1))

    validate(post, bench.host, bench.shelf)

    assert factories.row("post_instance", post)["last_error"] is None
    assert PASSING[source] in caplog.text


# --- when it is due --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("source", LASTING)
def test_a_due_post_whose_media_can_never_be_published_fails_before_its_publisher_is_asked(
    source: str, bench: Workbench, factories: Factories
) -> None:
    post = post_with(factories, source)

    publish_post(post, bench)

    found = factories.row("post_instance", post)
    assert found["status"] == "Failed"
    assert LASTING[source] in found["last_error"]
    assert factories.query("select status, error_kind, intent_at from publish_job") == [("failed", "content", None)]
    assert Puppet.asked == []


@pytest.mark.parametrize("source", PASSING)
def test_a_due_post_whose_media_cannot_be_had_just_now_is_tried_again(
    source: str, bench: Workbench, factories: Factories
) -> None:
    post = post_with(factories, source)

    publish_post(post, bench)

    found = factories.row("post_instance", post)
    assert (found["status"], found["retry_at"] is not None) == ("Scheduled", True)
    assert PASSING[source] in found["last_error"]
    assert Puppet.asked == []


@pytest.mark.parametrize("source", ["door.png", "https://cdn.town.example/door.png"])
def test_a_publisher_is_handed_what_the_media_are(source: str, bench: Workbench, factories: Factories) -> None:
    def read(_: Puppet, post: Post) -> Any:
        with post.media[0].open() as stream:
            contents.append(stream.read())
        return _

    contents: list[bytes] = []
    Puppet.acts["publish"] = read
    post = post_with(factories, source)

    publish_post(post, bench)

    [handed] = [one for shown in Puppet.board for one in shown.media]
    assert (handed.mime_type, handed.width, handed.height, handed.size) == ("image/png", 64, 48, len(picture("PNG")))
    assert contents == [picture("PNG")]
    assert factories.row("post_instance", post)["status"] == "Posted"


def test_a_post_is_not_prepared_without_its_media(bench: Workbench, factories: Factories) -> None:
    post = post_with(factories, "nowhere.png", timedelta(minutes=30))
    begin_preparing({"puppet": timedelta(hours=1)})

    Preparing(bench, Turns()).prepare(post)

    assert "There is no file nowhere.png" in factories.row("post_instance", post)["last_error"]
    assert Puppet.asked == []


# --- afterwards ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("platform", ["findable", "keyed"])
def test_an_attempt_is_looked_for_when_its_media_are_gone(
    platform: str, bench: Workbench, factories: Factories, root: Path
) -> None:
    def lose(_: Puppet, post: Post) -> Any:
        Puppet.board.append(post)
        raise httpx2.ReadTimeout("no answer")

    Puppet.acts["publish"] = lose
    post = post_with(factories, "door.png", platform=platform)
    publish_post(post, bench)
    del Puppet.acts["publish"]
    (root / "door.png").unlink()
    factories.query("update publish_job set look_at = now()")

    look(factories.query("select id from publish_job")[0][0], bench)

    assert factories.row("post_instance", post)["status"] == "Posted"


@pytest.mark.parametrize("platform", ["keyed"])
def test_what_another_process_sends_again_says_of_its_media_what_was_said(
    platform: str, bench: Workbench, factories: Factories, root: Path
) -> None:
    Puppet.acts["publish"] = puppets.raises(httpx2.ReadTimeout("no answer"))
    post_with(factories, "door.png", platform=platform)
    publish_post(factories.query("select id from post_instance")[0][0], bench)
    factories.query("update publish_job set look_at = now()")
    another = puppets.bench(shelf=MediaShelf(root, None))

    look(factories.query("select id from publish_job")[0][0], another)

    [sent] = Puppet.board
    assert (sent.media[0].width, sent.media[0].mime_type) == (64, "image/png")
