"""The command `autoposter`, as people and scripts use it."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from select import select

import pytest
from media_files import A_PICTURE, picture
from PIL import Image
from pydantic import SecretStr

from autoposter import cli
from autoposter.cli import times
from autoposter.credentials import Keyring, new_key
from autoposter.errors import WrongUsage
from autoposter.local import Urls
from autoposter.local.home import Home
from autoposter.publishers.stub import Stub

AUTOPOSTER = Path(sys.executable).parent / "autoposter"

BOARD = """
from pydantic import BaseModel, SecretStr
from autoposter import hookimpl
from autoposter.publishers import Delivery, PictureLimits, Publisher


class Board(Publisher):
    platform = "board"
    delivery = Delivery.BLIND
    pictures = PictureLimits(("image/jpeg",), max_ratio=2)

    class Settings(BaseModel):
        handle: str
        api_url: str = "https://board.example"

    class Credentials(BaseModel):
        token: SecretStr

    def publish(self, post, prepared):
        raise NotImplementedError


@hookimpl
def autoposter_publishers():
    return [Board]
"""


@dataclass
class Ran:
    code: int
    out: str
    err: str

    @property
    def json(self):
        return json.loads(self.out)


@pytest.fixture
def environment(tmp_path, monkeypatch) -> pytest.MonkeyPatch:
    """No setting of ours, in a folder without an `up`, in Berlin."""
    for name in [name for name in os.environ if name.startswith("AUTOPOSTER_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    yield monkeypatch
    monkeypatch.delenv("TZ")
    time.tzset()


@pytest.fixture
def run(environment, database, database_url, capsys) -> Callable[..., Ran]:
    """`run("posts", "list")`: what the command says and how it ends, on the test's database."""
    environment.setenv("AUTOPOSTER_DATABASE_URL", database_url)

    def run_it(*args: object) -> Ran:
        capsys.readouterr()
        code = cli.main([str(arg) for arg in args])
        said = capsys.readouterr()
        return Ran(code, said.out, said.err)

    return run_it


@pytest.fixture
def board(tmp_path, environment) -> Iterator[Path]:
    """An installed plugin whose accounts need a handle and a token."""
    folder = tmp_path / "site"
    info = folder / "autoposter_board-1.0.dist-info"
    info.mkdir(parents=True)
    (folder / "autoposter_board.py").write_text(BOARD)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: autoposter-board\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[autoposter]\nboard = autoposter_board\n")
    environment.syspath_prepend(folder)
    yield folder
    sys.modules.pop("autoposter_board", None)  # or the next plugin of this name would be this one


# --- a new user's mistakes -------------------------------------------------------------------------------------------

SCHEDULE = ["schedule", "Hello", "--account", "shop"]

MISTAKES = [
    # what was typed, the exit code, what the one line says
    (["schedul"], 2, "Did you mean 'schedule'?"),
    (["posts", "lst"], 2, "Did you mean 'list'?"),
    (["posts", "list", "--foo"], 2, "autoposter posts list --help"),
    (["posts", "list", "--status", "Schedulled"], 2, "did you mean 'Scheduled'?"),
    (["posts", "list", "--account", "shpo"], 1, "did you mean 'shop'?"),
    (["posts", "list", "--since", "yesterday"], 2, "2030-12-24 18:00"),
    (["posts", "show"], 2, "autoposter posts show --help"),
    (["posts", "show", "first"], 2, "integer"),
    (["posts", "show", "4711"], 1, "There is no post 4711."),
    (["posts", "show", "99999999999999999999"], 1, "There is no post 99999999999999999999."),
    (["posts", "cancel"], 2, "--account, --because or --since"),
    (["posts", "cancel", "1", "--account", "shop"], 2, "not both"),
    (["posts", "cancel", "4711"], 1, "There is no post 4711."),
    (["posts", "reschedule", "1"], 2, "Say when"),
    (["posts", "reschedule", "1", "--at", "2020-01-01 10:00"], 2, "days ago"),
    (["posts", "resolve", "1"], 2, "--posted, --not-posted and --retry"),
    (["posts", "resolve", "1", "--posted", "--retry"], 2, "one of"),
    (["posts", "resolve", "1", "--retry", "--id", "77"], 2, "--posted"),
    (SCHEDULE, 2, "--at '2030-12-24 18:00' or --in 10m"),
    (["schedule", "Hello", "--in", "1m"], 2, "account"),
    ([*SCHEDULE, "--at", "tomorrow"], 2, "write it as 2030-12-24 18:00"),
    ([*SCHEDULE, "--at", "2030-12-24"], 2, "lacks the time of day"),
    ([*SCHEDULE, "--at", "2030-12-24 25:00"], 2, "is no time"),
    ([*SCHEDULE, "--at", "2030-12-24 18:00 Europe/Berlni"], 2, "no time zone 'Europe/Berlni'"),
    ([*SCHEDULE, "--at", "2027-03-28 02:30"], 2, "does not exist"),
    ([*SCHEDULE, "--at", "2027-10-31 02:30"], 2, "comes twice"),
    ([*SCHEDULE, "--at", "2020-01-01 10:00"], 2, "--in 0s to publish now"),
    ([*SCHEDULE, "--at", "0001-01-01 00:00"], 2, "too far away"),
    ([*SCHEDULE, "--at", "9999-12-31 23:59+00:00"], 2, "9999"),
    ([*SCHEDULE, "--in", "soon"], 2, "15m"),
    ([*SCHEDULE, "--in", "99999999d"], 2, "too far away"),
    ([*SCHEDULE, "--in", "999999999999d"], 2, "longer than any time"),
    ([*SCHEDULE, "--in", "1m", "--at", "2030-12-24 18:00"], 2, "not both"),
    ([*SCHEDULE, "--in", "1m", "--account", "cafe", "--reference", "a"], 2, "A reference belongs to one post"),
    (["schedule", "Hello", "--account", "shpo", "--in", "1m"], 1, "did you mean 'shop'?"),
    (["schedule", "Hello", "--account", "twin", "--in", "1m"], 1, "board:twin or stub:twin"),
    (["schedule", "", "--account", "shop", "--in", "1m"], 2, "nothing to publish"),
    ([*SCHEDULE, "--in", "1m", "--media", "a.jpg"], 2, "AUTOPOSTER_MEDIA_ROOT is not set"),
    ([*SCHEDULE, "--in", "1m", "--media", "http://cdn.example/a.jpg"], 1, "by https, not by http"),
    ([*SCHEDULE, "--in", "1m", "--media", "ftp://cdn.example/a.jpg"], 2, "https addresses"),
    ([*SCHEDULE, "--in", "1m", "--alt", "A door"], 2, "1 descriptions (--alt) for 0 media"),
    ([*SCHEDULE, "--in", "1m", "--link", "shop.example"], 2, "https://example.org/page"),
    ([*SCHEDULE, "--in", "1m", "--options", "{"], 2, "not JSON"),
    ([*SCHEDULE, "--in", "1m", "--options", "[1]"], 2, "object for each platform"),
    ([*SCHEDULE, "--in", "1m", "--options", "@nowhere.json"], 2, "No such file"),
    (["accounts", "add", "facebok", "--name", "x"], 1, "there are: board, stub"),
    (["accounts", "add", "board"], 2, "--name"),
    (["accounts", "add", "board", "--name", "x"], 2, "also need handle, token"),
    (["accounts", "add", "board", "--name", "x", "--set", "hndle=@shop"], 2, "did you mean 'handle'?"),
    (["accounts", "add", "board", "--name", "x", "--set", "s3cret"], 2, "KEY=VALUE"),
    (["accounts", "add", "board", "--name", "x", "--set", "token=@nowhere"], 2, "nowhere cannot be read"),
    (["accounts", "add", "board", "--name", "x", "--set", "token=env:NOWHERE"], 2, "NOWHERE is not set"),
    (
        ["accounts", "add", "board", "--name", "x", "--set", "handle=@shop", "--set", "token=s3cret"],
        2,
        "autoposter keys new",
    ),
    (["accounts", "add", "stub", "--name", "shop"], 1, "already"),
    (["accounts", "add", "stub", "--name", "x", "--set", "a=b"], 2, "stub accounts have no 'a'"),
    (["accounts", "show", "shpo"], 1, "did you mean 'shop'?"),
    (["accounts", "enable", "gone"], 1, "autoposter accounts reconnect"),
]


@pytest.mark.parametrize(("typed", "code", "says"), MISTAKES, ids=[" ".join(mistake[0]) for mistake in MISTAKES])
def test_a_new_users_mistake_is_one_line_that_says_what_to_do(typed, code, says, run, board, make_account, factories):
    for platform, name in (("stub", "shop"), ("stub", "cafe"), ("stub", "twin"), ("board", "twin")):
        make_account(platform=platform, name=name)
    make_account(name="gone", status="disconnected")

    ran = run(*typed)

    assert (ran.code, ran.out) == (code, "")
    assert re.fullmatch(r"[^\n]+\n", ran.err)
    assert says in ran.err
    assert "s3cret" not in ran.err
    assert factories.query("select count(*) from post_instance") == [(0,)]
    assert factories.query("select count(*) from content_item") == [(0,)]
    assert factories.query("select count(*) from channel_account") == [(5,)]


@pytest.mark.parametrize(
    ("settings", "code", "says"),
    [
        ({}, 2, "set AUTOPOSTER_DATABASE_URL, or start `autoposter up` in this folder"),
        ({"DATABASE_URL": "postgresql://ana:s3cret@127.0.0.1:1/shop"}, 3, "cannot be reached"),
        ({"DATABASE_URL": "postgresql://ana:s3cret@127.0.0.1:one/shop"}, 3, '"port"'),
        ({"DATABASE_URL": "postgresql://ana:s3cret@[127/shop"}, 2, "AUTOPOSTER_DATABASE_URL"),
        ({"DATABASE_URL": "mysql://ana:s3cret@h/shop"}, 2, "AUTOPOSTER_DATABASE_URL"),
        ({"MAX_LATENESS": "often"}, 2, "AUTOPOSTER_MAX_LATENESS"),
        ({"SECRET_KEYS": "s3cret"}, 2, "autoposter keys new"),
    ],
)
def test_wrong_settings_are_one_line_without_a_password(settings, code, says, environment, capsys):
    for name, value in settings.items():
        environment.setenv(f"AUTOPOSTER_{name}", value)

    ended = cli.main(["posts", "list"])

    said = capsys.readouterr()
    assert (ended, said.out) == (code, "")
    assert re.fullmatch(r"[^\n]+\n", said.err)
    assert says in said.err
    assert "s3cret" not in said.err


def test_a_database_that_was_not_migrated_names_the_command(run, factories):
    factories.query("alter table autoposter_migration rename to elsewhere")
    try:
        ran = run("posts", "list")
    finally:
        factories.query("alter table elsewhere rename to autoposter_migration")

    assert ran.code == 1
    assert ran.err == "The database has no autoposter tables: run `autoposter migrate` first.\n"


def test_a_bug_of_ours_keeps_its_trace_without_local_variables(environment, tmp_path):
    program = (
        "import autoposter.cli, autoposter.cli.keys as keys\n"
        "def broken():\n    token = 's3' + 'cret'\n    raise RuntimeError('a bug')\n"
        "keys.new_key = broken\nautoposter.cli.main(['keys', 'new'])\n"
    )

    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)

    assert ended.returncode == 1
    assert "Traceback" in ended.stderr
    assert "s3cret" not in ended.stderr


# --- which database --------------------------------------------------------------------------------------------------


def test_a_command_finds_the_up_that_runs_in_its_folder(run, board, environment, database_url, tmp_path, factories):
    environment.delenv("AUTOPOSTER_DATABASE_URL")
    home = Home(tmp_path)

    with home.held():
        key = home.keep_secret_key()
        home.announce(Urls(database_url=database_url))
        ran = run("accounts", "add", "board", "--name", "shop", "--set", "handle=@shop", "--set", "token=s3cret")
    afterwards = run("accounts", "list")

    [(account_id, text)] = factories.query("select id, credentials from channel_account")
    assert ran.code == 0
    assert Keyring([SecretStr(key)]).decrypt(account_id, text) == {"token": "s3cret"}
    assert afterwards.code == 2, "it does not run any more"


# --- schedule --------------------------------------------------------------------------------------------------------


def test_a_post_is_scheduled_and_shown_in_the_users_zone(run, make_account, factories):
    make_account(name="shop")

    ran = run("schedule", "Hello", "--account", "shop", "--at", "2030-12-24 18:00")

    [(post_id, scheduled_for)] = factories.query("select id, scheduled_for from post_instance")
    assert ran.out == f"Post {post_id} is Scheduled on stub:shop for 2030-12-24 18:00:00 CET.\n"
    assert scheduled_for == datetime(2030, 12, 24, 17, tzinfo=UTC)
    assert (ran.code, ran.err) == (0, "")


@pytest.fixture
def gallery(board, make_account, environment, tmp_path) -> Path:
    """The media root, with a picture in each of its files, and an account that takes only JPEG."""
    make_account(name="wall", platform="board", settings='{"handle": "@shop"}')
    environment.setenv("AUTOPOSTER_MEDIA_ROOT", str(tmp_path / "media"))
    (tmp_path / "media").mkdir()
    lying = Image.Exif()
    lying[0x0112] = 6  # to be turned by a quarter
    for name, data in {
        "door.png": picture("PNG"),
        "door.jpg": picture(),
        "wide.png": picture("PNG", size=(90, 10)),
        "lying.jpg": picture(exif=lying),
        "broken.png": A_PICTURE,
    }.items():
        (tmp_path / "media" / name).write_bytes(data)
    return tmp_path / "media"


HANG = ["schedule", "Hello", "--account", "wall", "--in", "10m", "--media"]


def test_a_picture_that_the_platform_does_not_take_is_named_with_what_to_do(run, gallery, factories):
    ran = run(*HANG, "door.png")

    assert ran.code == 1
    assert "board would refuse this post: The picture is PNG, and only JPEG is taken: convert it" in ran.err
    assert "`autoposter schedule --fit`" in ran.err
    assert factories.query("select count(*) from post_instance") == [(0,)]


@pytest.mark.parametrize("json", [False, True])
def test_fit_converts_a_picture_and_says_what_it_did(run, gallery, factories, json):
    ran = run(*HANG, "door.png", "--alt", "A door", "--fit", *(["--json"] if json else []))

    [(source, alt_text)] = factories.query("select source, alt_text from media_asset")
    assert (ran.code, alt_text) == (0, "A door")
    assert Image.open(gallery / source).format == "JPEG"
    told = ran.err if json else ran.out
    assert told.splitlines()[0] == (
        f"door.png is not changed; {source} is what fits: PNG became JPEG, its metadata were left out."
    )
    assert not json or ran.json


def test_fit_converts_a_picture_whose_name_does_not_tell_that_it_is_one(run, gallery, factories):
    (gallery / "door.png").rename(gallery / "8f3a")

    ran = run(*HANG, "8f3a", "--fit")

    [(kind, source)] = factories.query("select kind, source from media_asset")
    assert (ran.code, kind) == (0, "image")
    assert Image.open(gallery / source).format == "JPEG"


def test_fit_leaves_what_fits(run, gallery, factories):
    ran = run(*HANG, "door.jpg", "--fit")

    assert ran.out.startswith("--fit: the pictures stay as they are.\nPost ")
    assert factories.query("select source from media_asset") == [("door.jpg",)]


def test_what_fit_cannot_mend_is_still_named(run, gallery, factories):
    wide, broken = run(*HANG, "wide.png", "--fit"), run(*HANG, "broken.png", "--fit")

    assert (wide.code, broken.code) == (1, 1)
    assert "The picture is 9.00 times as wide as high, and at most 2 is taken: cut it." in wide.err
    assert broken.err.startswith("broken.png (image/png) cannot be converted here: ")
    assert factories.query("select count(*) from post_instance") == [(0,)]


def test_a_picture_that_asks_to_be_turned_is_told_and_fit_turns_it(run, gallery, factories):
    plain, turned = run(*HANG, "lying.jpg"), run(*HANG, "lying.jpg", "--fit")

    assert "lying.jpg lies on its side and asks to be turned" in plain.err
    assert (turned.code, turned.err) == (0, "")
    assert "it was turned upright" in turned.out


def test_fit_says_where_nothing_is_known_of_a_platform(run, gallery, make_account):
    make_account(name="shop")

    ran = run("schedule", "Hello", "--account", "shop", "--in", "10m", "--media", "door.png", "--fit")

    assert ran.code == 0
    assert ran.out.startswith("--fit: it is not known which pictures these platforms take")


def test_everything_that_can_be_said_is_scheduled(run, make_account, factories, tmp_path, environment):
    make_account(name="shop")
    make_account(name="cafe", status="disabled")
    (tmp_path / "a.jpg").write_bytes(A_PICTURE)
    (tmp_path / "options.json").write_text('{"facebook": {"feed": true}}')
    environment.setenv("AUTOPOSTER_MEDIA_ROOT", str(tmp_path))
    media = ["--media", "a.jpg", "--alt", "A door", "--media", "https://cdn.example/b.mp4"]

    ran = run(
        *["schedule", "Hello", "--account", "shop", "--account", "stub:cafe", "--in", "10m", *media],
        *["--link", "https://shop.example", "--options", "@options.json", "--json"],
    )

    posts = ran.json
    [(link, options)] = factories.query("select link, options from content_item")
    assets = factories.query("select kind, source, alt_text from media_asset order by position")
    assert [post["account"] for post in posts] == ["shop", "cafe"]
    assert abs(datetime.fromisoformat(posts[0]["scheduled_for"]) - datetime.now(UTC)) < timedelta(minutes=11)
    assert (link, options) == ("https://shop.example", {"facebook": {"feed": True}})
    assert assets == [("image", "a.jpg", "A door"), ("video", "https://cdn.example/b.mp4", None)]
    said = ran.err.splitlines()
    assert said[0].startswith("https://cdn.example/b.mp4 ")
    assert said[0].endswith(" It is tried again when the post is due.")
    assert said[1:] == ["stub:cafe is disabled: its posts wait for `autoposter accounts enable`."]


def test_a_post_that_no_plugin_here_could_check_is_scheduled_and_said_to_be_unchecked(run, make_account):
    make_account(platform="chalkboard", name="cafe")

    ran = run("schedule", "Hello", "--account", "cafe", "--in", "10m")

    assert "Post " in ran.out
    assert ran.err == "chalkboard:cafe: not checked, since no plugin here publishes on it; the workers may have one.\n"


def test_a_reference_may_be_repeated_even_after_its_time(run, make_account, make_post):
    account_id = make_account(name="shop")
    post_id = make_post(channel_account_id=account_id, reference="order-5", status="Posted")

    ran = run(*SCHEDULE, "--at", "2020-01-01 10:00", "--reference", "order-5")

    assert ran.code == 0
    assert f"Post {post_id} has the reference 'order-5' already: nothing was changed." in ran.out


def test_now_is_a_time_to_publish(run, make_account):
    make_account(name="shop")

    assert run(*SCHEDULE, "--in", "0s").code == 0
    assert run(*SCHEDULE, "--at", datetime.now(UTC).isoformat()).code == 0


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("2030-12-24 18:00", datetime(2030, 12, 24, 17, tzinfo=UTC)),
        ("2030-06-24T18:00:30", datetime(2030, 6, 24, 16, 0, 30, tzinfo=UTC)),
        ("2030-12-24 18:00Z", datetime(2030, 12, 24, 18, tzinfo=UTC)),
        ("2030-12-24T18:00-05:00", datetime(2030, 12, 24, 23, tzinfo=UTC)),
        ("2030-12-24 18:00 America/New_York", datetime(2030, 12, 24, 23, tzinfo=UTC)),
        ("2030-12-24 18:00 UTC", datetime(2030, 12, 24, 18, tzinfo=UTC)),
        ("2027-10-31 02:30+02:00", datetime(2027, 10, 31, 0, 30, tzinfo=UTC)),
    ],
)
def test_a_time_is_read_with_a_zone_or_by_the_users_own(written, meant, environment):
    assert times.read("--at", written) == meant


@pytest.mark.parametrize(
    ("written", "either"),
    [
        ("2027-10-31 02:30", "2027-10-31 02:30:00+02:00 or 2027-10-31 02:30:00+01:00"),
        ("2027-03-28 02:30 Europe/Berlin", "2027-03-28 01:30:00+01:00 or 2027-03-28 03:30:00+02:00"),
    ],
)
def test_a_time_that_the_clocks_make_doubtful_is_answered_with_what_to_say(written, either, environment):
    with pytest.raises(WrongUsage, match=re.escape(either)):
        times.read("--at", written)


# --- posts -----------------------------------------------------------------------------------------------------------


def test_lists_tell_the_same_to_people_and_programs(run, make_account, make_post, make_content):
    shop = make_account(name="shop")
    nasty = make_content(caption="two\nlines [bold] \x1b[31mred")
    first = make_post(channel_account_id=shop, content_item_id=nasty)
    second = make_post(status="Failed", last_error="The page is gone.")

    table, rows = run("posts", "list"), run("posts", "list", "--json")

    assert [post["id"] for post in rows.json] == [second, first]
    assert rows.json[1]["caption"] == "two\nlines [bold] \x1b[31mred"
    assert "two lines [bold] \\x1b[31mred" in table.out
    assert "The page is gone." in table.out
    assert "\x1b" not in table.out
    assert [post["id"] for post in run("posts", "list", "--status", "failed", "--json").json] == [second]
    assert [post["id"] for post in run("posts", "list", "--account", "shop", "--json").json] == [first]
    assert [post["id"] for post in run("posts", "list", "--problems", "--json").json] == [second]
    assert [post["id"] for post in run("posts", "list", "--limit", 1, "--json").json] == [second]
    assert run("posts", "list", "--status", "Posted").out == "There are no such posts.\n"


def test_a_story_tells_what_happened(run, make_post, factories):
    post_id = make_post(status="Unconfirmed", last_error="The answer was lost.")
    post = factories.row("post_instance", post_id)
    factories.insert(
        "publish_job",
        {
            "post_instance_id": post_id,
            "channel_account_id": post["channel_account_id"],
            "attempt": 1,
            "status": "unknown",
            "scheduled_for": post["scheduled_for"],
            "content": {},
            "idempotency_key": "key",
            "intent_at": post["scheduled_for"],
            "worker": "host-1",
            "looks": 2,
            "error": "The answer was lost.",
            "evidence": {
                "worker": "host-1",
                "calls": [
                    {"method": "GET", "host": "b.org", "path": "/me", "status": 200, "ms": 6, "request_id": "r7"},
                    {"method": "POST", "host": "b.org", "path": "/p", "status": None, "ms": 9, "error": "reset\x1b"},
                ],
                "look_1": {"calls": []},
                "look_10": {"calls": [{"method": "GET", "host": "b.org", "path": "/p", "status": 502, "ms": 3}]},
                "look_2": None,
                "last_look": "502",
                "sent_again_at": "2026-11-26T12:00:00.5+00:00",
                "other_receipts": ["43", "44"],
                "account_rejected": True,
                "retries": 0,
            },
        },
    )

    ran = run("posts", "show", post_id)

    for part in (
        "it is Unconfirmed",
        "Attempt 1: outcome unknown",
        "claimed by host-1",
        "promised to make the call",
        "nobody saw the call end",
        "looked for 2 times",
        "The answer was lost.",
        f"autoposter posts resolve {post_id}",
        "  GET b.org/me: 200 after 6 ms, request r7\n  POST b.org/p: reset\\x1b after 9 ms\n",
        "  look 1: nothing was asked\n",
        "  look 2: nothing was asked\n  look 10: GET b.org/p: 502 after 3 ms\n",
        "  the last look: 502\n",
        "  sent again, with the same key, at: 2026-11-26 ",
        "  other receipts that came for it: 43, 44\n",
        "  the platform rejected the account's credentials\n",
    ):
        assert part in ran.out
    assert run("posts", "show", post_id, "--json").json["jobs"][0]["worker"] == "host-1"


def test_a_cancel_that_is_too_late_says_what_was_done_instead(run, make_post, factories):
    post_id = make_post(status="Publishing")

    ran = run("posts", "cancel", post_id)

    assert ran.code == 1
    assert "too late" in ran.err and "switched off" in ran.err
    assert not factories.row("post_instance", post_id)["autopost_enabled"]


def test_of_several_posts_each_is_told(run, make_post):
    good, posted = make_post(), make_post(status="Posted")

    ran = run("posts", "cancel", good, posted, 4711)

    assert ran.code == 1
    assert ran.out == f"Post {good} is cancelled.\n"
    assert ran.err.splitlines() == [
        f"Post {posted} is Posted; only a post that is Draft or Scheduled can be cancelled.",
        "There is no post 4711.",
    ]


def test_a_selection_is_retried_without_what_was_cancelled(run, make_account, make_post, factories):
    account_id = make_account(name="shop")
    failed = make_post(channel_account_id=account_id, status="Failed", last_error="token expired")
    missed = make_post(channel_account_id=account_id, status="Missed")
    cancelled = make_post(channel_account_id=account_id, status="Cancelled")
    elsewhere = make_post(status="Failed")

    dry = run("posts", "retry", "--account", "shop", "--dry-run")
    untouched = factories.query("select count(*) from post_instance where status = 'Scheduled'")[0][0]
    ran = run("posts", "retry", "--account", "shop")

    assert "2 posts; nothing was done yet" in dry.out and untouched == 0
    assert ran.out.splitlines() == [f"Post {failed} is scheduled for now.", f"Post {missed} is scheduled for now."]
    assert factories.row("post_instance", cancelled)["status"] == "Cancelled"
    assert factories.row("post_instance", elsewhere)["status"] == "Failed"
    assert run("posts", "retry", cancelled).code == 0
    assert run("posts", "retry", "--because", "token").out == "0 posts are scheduled for now.\n"


def test_posts_are_rescheduled_and_shown_in_the_users_zone(run, make_post):
    post_id = make_post()

    ran = run("posts", "reschedule", post_id, "--at", "2030-12-24 18:00 UTC")

    assert ran.out == f"Post {post_id} is rescheduled for 2030-12-24 19:00:00 CET.\n"


# --- accounts --------------------------------------------------------------------------------------------------------


def test_a_credential_comes_from_a_file_or_a_variable_and_a_setting_does_not(run, board, environment, factories):
    key = new_key()
    environment.setenv("AUTOPOSTER_SECRET_KEYS", key)
    environment.setenv("BOARD_TOKEN", "s3cret-variable")
    Path("token").write_text("s3cret-file\n")

    for name, token in (("a", "@token"), ("b", "env:BOARD_TOKEN"), ("c", "s3cret-typed")):
        ran = run("accounts", "add", "board", "--name", name, "--set", "handle=@token", "--set", f"token={token}")
        assert ran.code == 0, ran.err
        assert "s3cret" not in ran.out + ran.err
        assert ("list of processes" in ran.err) == (token == "s3cret-typed")
    stored = factories.query("select id, credentials, settings from channel_account order by name")

    opened = [Keyring([SecretStr(key)]).decrypt(row[0], row[1])["token"] for row in stored]
    assert opened == ["s3cret-file", "s3cret-variable", "s3cret-typed"]
    assert [row[2] for row in stored] == [{"handle": "@token"}] * 3
    shown = run("accounts", "show", "a").out + run("accounts", "show", "a", "--json").out + run("accounts", "list").out
    assert "s3cret" not in shown and "v1:" not in shown
    assert "stored, encrypted" in shown


def test_what_is_missing_is_asked_for_and_secrets_are_not_echoed(run, board, environment, database_url, factories):
    environment.setenv("AUTOPOSTER_SECRET_KEYS", new_key())
    child, terminal = pty.fork()
    if child == 0:
        os.environ["PYTHONPATH"] = str(board)
        os.execv(AUTOPOSTER, [str(AUTOPOSTER), "accounts", "add", "board", "--name", "shop"])
    shown = b""
    questions = (
        (b"handle: ", b"@shop\n"),
        (b"api_url [https://board.example]: ", b"\n"),
        (b"token: ", b"s3cret-typed\n"),
    )
    for question, answer in (*questions, (b"connected", b"")):
        while question not in shown:
            assert select([terminal], [], [], 30)[0], shown
            shown += os.read(terminal, 1000)
        os.write(terminal, answer)
    _, code = os.waitpid(child, 0)
    os.close(terminal)

    assert code == 0
    assert b"s3cret" not in shown
    assert factories.query("select settings from channel_account") == [({"handle": "@shop"},)]


def test_accounts_are_listed_disabled_and_enabled(run, make_account):
    make_account(name="shop")

    assert run("accounts", "disable", "shop").out == "stub:shop is disabled: its posts wait.\n"
    assert run("accounts", "list", "--json").json[0]["status"] == "disabled"
    assert "disabled" in run("accounts", "list").out
    assert run("accounts", "enable", "stub:shop").out == "stub:shop is active.\n"
    assert run("accounts", "enable", "stub:shop").out == "stub:shop is already active.\n"


def test_a_pause_of_an_account_is_shown_while_it_lasts(run, make_account):
    make_account(name="resting", paused_until=datetime.now(UTC) + timedelta(hours=1))
    make_account(name="rested", paused_until=datetime.now(UTC) - timedelta(seconds=1))

    rested, resting = run("accounts", "list", "--json").json

    assert (rested["paused_until"], resting["paused_until"] is None) == (None, False)
    assert "paused until" in run("accounts", "show", "resting").out
    assert "paused until" not in run("accounts", "show", "rested").out


# --- the rest --------------------------------------------------------------------------------------------------------


def test_the_audit_ends_with_1_where_something_is_wrong(run, make_post):
    assert run("audit") == Ran(0, "The books are in order.\n", "")
    assert run("audit", "--json").json == []

    post_id = make_post(status="Publishing")

    ran = run("audit", "--json")
    assert (ran.code, ran.json[0]["post_id"]) == (1, post_id)
    assert "no attempt is under way" in run("audit").out


def test_plugins_are_listed(run, board):
    listed = {plugin["id"]: plugin["platforms"] for plugin in run("plugins", "--json").json}

    assert listed["autoposter-board:board"] == {"board": "blind"}
    shown = run("plugins").out
    assert "autoposter:stub" in shown and "stub (findable)" in shown and "board (blind)" in shown
    assert "Add one with pip" in shown and "autoposter new-plugin" in shown


def test_plugins_that_do_not_work_or_may_not_be_used_are_listed_with_the_reason(run, board, environment):
    (board / "autoposter_board.py").write_text("import nowhere_to_be_found")
    environment.setenv("AUTOPOSTER_PLUGINS", "autoposter-board")
    ran = run("plugins")
    assert "ModuleNotFoundError: No module named 'nowhere_to_be_found'" in ran.out
    assert "Traceback" not in ran.out + ran.err

    environment.setenv("AUTOPOSTER_PLUGINS", "autoposter-other")
    assert "AUTOPOSTER_PLUGINS leaves it out." in run("plugins").out


def test_the_end_of_a_platforms_api_is_listed(run, board, monkeypatch):
    monkeypatch.setattr(Stub, "api_ends", date(2028, 7, 29))

    ends = {plugin["id"]: plugin["api_ends"] for plugin in run("plugins", "--json").json}

    assert (ends["autoposter:stub"], ends["autoposter-board:board"]) == ({"stub": "2028-07-29"}, {})
    assert "2028-07-29" in run("plugins").out


def test_a_new_key_can_be_used(environment, capsys):
    environment.setenv("AUTOPOSTER_SECRET_KEYS", "nonsense")  # which does not keep anyone from making a right one

    assert cli.main(["keys", "new"]) == 0

    key = capsys.readouterr().out.strip()
    assert Keyring([SecretStr(key)]).encrypt(1, {}).startswith("v1:")


def test_migrate_says_what_it_did(run):
    assert run("migrate").out == "The database is up to date.\n"


@pytest.mark.parametrize("command", [[], ["accounts"], ["posts"], ["keys"]])
def test_a_command_without_a_word_shows_its_help(command, environment, capsys):
    assert cli.main(command) == 2
    assert "Commands:" in capsys.readouterr().err


def test_the_real_command_ends_quietly_when_nobody_reads_on(run, make_post, database_url):
    for _ in range(3):
        make_post()
    lister = subprocess.Popen([AUTOPOSTER, "posts", "list"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    lister.stdout.close()

    assert lister.stderr.read() == b""
    lister.stderr.close()
    assert lister.wait(timeout=60) in (0, 1)


def test_the_version_is_told(environment, capsys):
    assert cli.main(["--version"]) == 0
    assert re.fullmatch(r"\d+\.\d+\.\d+\S*\n", capsys.readouterr().out)
