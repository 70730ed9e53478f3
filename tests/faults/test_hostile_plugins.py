"""Plugins that do all the harm they can, in real workers beside a healthy neighbour, whose posts stay on time."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import redis
from cryptography.fernet import Fernet
from factories import Factories
from faults import hostile_publishers
from processes import Processes, Running, wait_until

from autoposter.testing import Answer, FakeServer, Request, publishes, route

#: A neighbour's post may be so late beside a fault, in seconds.
ON_TIME = 1.0

THREADS = 8

#: So long before they are due, posts of a test are inserted.
AHEAD = timedelta(seconds=1.2)

TWIN = """
from autoposter import hookimpl
from faults.hostile_publishers import Hostile

class Twin(Hostile):
    platform = "{platform}"

@hookimpl
def autoposter_publishers():
    return [Twin]
"""


def install(site: Path, name: str, entry_point: str, source: str | None = None, module: str = "") -> None:
    """Lay a distribution into `site` as an installer does."""
    module = module or name.replace("-", "_")
    if source is not None:
        (site / f"{module}.py").write_text(source)
    info = site / f"{name.replace('-', '_')}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[autoposter]\n{entry_point} = {module}\n")


@dataclass
class Town:
    """A worker with hostile plugins, and the stub as their neighbour."""

    rows: Factories
    processes: Processes
    worker: Running
    journal: Path
    release: Path

    def post_beside_neighbours(self, *platforms: str, **account: Any) -> list[int]:
        """A post on each of these platforms and ten of the neighbour's, due at once and a little later."""
        accounts = [self.rows.account(platform, **account) for platform in platforms]
        offsets = [timedelta(0)] * len(accounts) + [number * timedelta(milliseconds=50) for number in range(10)]
        accounts += [self.rows.account()] * 10
        # In one statement: all are there well before the first is due, however busy the machine is.
        inserted = self.rows.query(
            "insert into post_instance (channel_account_id, content_item_id, scheduled_for)"
            " select account, %s, clock_timestamp() + %s + due_after"
            " from unnest(%s::bigint[], %s::interval[]) with ordinality as given (account, due_after, number)"
            " order by number returning id",
            (self.rows.content(), AHEAD, accounts, offsets),
        )
        posts = [int(found[0]) for found in inserted]
        self._neighbours = posts[len(platforms) :]
        return posts[: len(platforms)]

    def neighbours_are_on_time(self) -> None:
        """Wait for the neighbours that were posted last, and look how late they were."""
        wait_until(lambda: set(self._neighbours) <= self._published().keys(), 15, lambda: self.worker.output[-3000:])
        late = [self._published()[post] for post in self._neighbours]
        assert min(late) >= 0 and max(late) < ON_TIME, late

    def _published(self) -> dict[int, float]:
        lines = self.journal.read_text().splitlines(keepends=True) if self.journal.exists() else []
        records = [json.loads(line) for line in lines if line.endswith("\n")]
        moment = datetime.fromisoformat
        return {
            record["post_id"]: (moment(record["published_at"]) - moment(record["scheduled_for"])).total_seconds()
            for record in records
        }

    def say(self, program: str) -> None:
        """Run a few words of Python in the workers' environment."""
        said = self.processes.start("python", "-c", program)
        assert said.popen.wait(20) == 0, said.output

    def became(self, post: int, status: str) -> dict[str, Any]:
        """The post, once it has that status."""
        wait_until(
            lambda: self.post(post)["status"] == status, 15, lambda: (self.post(post), self.worker.output[-3000:])
        )
        return self.post(post)

    def post(self, post: int) -> dict[str, Any]:
        return self.rows.row("post_instance", post)


@pytest.fixture(scope="module")
def workers(servers: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    folder = tmp_path_factory.mktemp("hostile")
    site = folder / "site"
    site.mkdir()
    install(site, "autoposter-hostile", "hostile", module=hostile_publishers.__name__)
    install(site, "autoposter-wreck", "wreck", "import nowhere_to_be_found")
    for number in ("one", "two"):
        install(site, f"autoposter-twin-{number}", "twin", TWIN.replace("{platform}", f"twin_{number}"))
    url, release = servers.copy(), folder / "release"
    settings = {
        "AUTOPOSTER_DATABASE_URL": url,
        "AUTOPOSTER_REDIS_URL": servers.redis_url,
        "AUTOPOSTER_SECRET_KEYS": Fernet.generate_key().decode(),
        "AUTOPOSTER_STUB_JOURNAL": str(folder / "journal.jsonl"),
        "AUTOPOSTER_MAX_ATTEMPTS": "1",
        "HOSTILE_RELEASE": str(release),
        "PYTHONPATH": os.pathsep.join([str(site), str(Path(__file__).parent.parent)]),
    }
    with closing(redis.Redis.from_url(servers.redis_url)) as broker:
        broker.flushdb()
        processes = Processes(folder, settings)
        worker = processes.worker(threads=THREADS)
        try:
            wait_until(lambda: Factories(url).query("select 1 from worker"), 40, lambda: worker.output[-3000:])
            yield Town(Factories(url), processes, worker, folder / "journal.jsonl", release)
            assert worker.popen.poll() is None, "the worker did not live until the end"
        finally:
            release.touch()
            processes.end_all()
            broker.flushdb()
            servers.drop(url)


@pytest.fixture
def town(workers: Town) -> Iterator[Town]:
    """The workers, of whom nobody is held up any more afterwards."""
    workers.release.unlink(missing_ok=True)
    yield workers
    workers.release.touch()


class Board(FakeServer):
    """Hangs every note, and has no page for addresses."""

    @publishes("POST /notes")
    def hang(self, request: Request) -> Answer:
        return Answer.json(201, {"id": self.publish(request.body["text"]).id})

    @route("GET /notes")
    def notes(self, request: Request) -> Answer:
        return Answer.json(200, {"notes": [{"id": note.id, "text": note.text} for note in self.listed()]})


@pytest.fixture
def board() -> Iterator[Board]:
    with Board() as board:
        yield board


# --- What is over at once: all of it rages together, beside one neighbour ------------------------------------------

#: By platform: what becomes of its post, and words that its error must contain.
ENDS = {
    "wreck": ("Failed", "the plugin autoposter-wreck is broken: ModuleNotFoundError"),
    "nothing_published": ("Unconfirmed", "a Receipt was expected, and it returned NoneType"),
    "garbage_published": ("Unconfirmed", "a Receipt was expected, and it returned Garbage"),
    "receipt_of_nothing": ("Unconfirmed", "its Receipt has no platform_post_id"),
    "speechless": ("Unconfirmed", "?"),
    "speechless_preparing": ("Failed", "?"),
    "nothing_validated": ("Failed", "validate() must return sentences, and returned None"),
    "one_text_validated": ("Failed", "validate() must return sentences, and returned one text"),
    "garbage_validated": ("Failed", "Garbage that cannot be shown"),
    "garbage_prepared": ("Failed", "prepare() returned what is no JSON"),
    "half_a_character_prepared": ("Failed", "prepare() returned what is no JSON"),
    "garbage_not_ready": ("Failed", "NotReady needs a timedelta, and has 30"),
    "garbage_checked": ("Failed", "No."),
    "giant_words": ("Unconfirmed", "xxx…"),
    "giant_prepared": ("Failed", "prepare() returned 20000014 characters of JSON"),
    "giant_validated": ("Failed", "Reason 9"),
    **{
        f"{error}_in_{method}": (status, f"{kind}: by its own fault")
        for error, kind in (("error", "ZeroDivisionError"), ("exit", "SystemExit"))
        for method, status in (
            ("init", "Failed"),
            ("validate", "Failed"),
            ("prepare", "Failed"),
            ("publish", "Unconfirmed"),
        )
    },
    **{f"{error}_in_check": ("Failed", "No.") for error in ("error", "exit")},
    **{f"{error}_in_find": ("Publishing", "It may be out.") for error in ("error", "exit")},
    **dict.fromkeys(("twin_one", "twin_two", "giant_receipt", "receipt_of_garbage"), ("Posted", "")),
}


@pytest.fixture(scope="module")
def rampage(workers: Town) -> dict[str, int]:
    """A post on each of these platforms, all due in the same second as the neighbour's, which are on time."""
    posts = dict(zip(ENDS, workers.post_beside_neighbours(*ENDS), strict=True))
    workers.neighbours_are_on_time()
    return posts


@pytest.mark.parametrize("platform", ENDS)
def test_what_a_plugin_raises_or_returns_ends_its_own_post_only(
    town: Town, rampage: dict[str, int], platform: str
) -> None:
    status, words = ENDS[platform]

    said = town.became(rampage[platform], status)["last_error"] or ""

    assert words in said and len(said) < 30_000


def test_a_search_that_fails_is_repeated(town: Town, rampage: dict[str, int]) -> None:
    post = rampage["error_in_find"]

    wait_until(
        lambda: town.rows.query("select 1 from publish_job where post_instance_id = %s and looks > 0", (post,)), 20
    )

    assert town.post(post)["status"] == "Publishing"


@pytest.mark.parametrize("platform", ["error_in_check", "exit_in_check", "garbage_checked"])
def test_a_check_that_fails_disconnects_nobody(town: Town, rampage: dict[str, int], platform: str) -> None:
    post = town.became(rampage[platform], "Failed")

    assert town.rows.row("channel_account", post["channel_account_id"])["status"] == "active"


@pytest.mark.parametrize("platform", ["giant_receipt", "receipt_of_garbage"])
def test_a_receipt_that_is_more_or_less_than_one_is_cut_to_what_can_be_kept(
    town: Town, rampage: dict[str, int], platform: str
) -> None:
    kept = town.became(rampage[platform], "Posted")

    assert kept["platform_post_id"].startswith("h") and len(kept["platform_post_id"]) <= 500
    assert len(kept["permalink"] or "") <= 2000


# --- How long it takes ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("platform", ["endless_loop", "endless_wait"])
def test_a_publisher_that_does_not_come_back_holds_up_nobody_else(town: Town, platform: str) -> None:
    [post] = town.post_beside_neighbours(platform)

    town.neighbours_are_on_time()

    assert town.post(post)["status"] == "Publishing"
    town.release.touch()
    town.became(post, "Posted")


def test_validating_ahead_that_does_not_come_back_holds_up_nobody(town: Town) -> None:
    account = town.rows.account("endless_validate")
    later = [town.rows.post(timedelta(hours=1), channel_account_id=account) for _ in range(THREADS)]
    town.say(f"from autoposter.actors import validate; [validate.send(post) for post in {later}]")  # as the scan does

    town.post_beside_neighbours("stub")
    town.neighbours_are_on_time()

    town.release.touch()
    for post in later:
        wait_until(lambda post=post: town.post(post)["last_error"] == "It would be refused: It is too bad.", 15)


def test_a_listener_that_does_not_come_back_holds_up_nobody(town: Town) -> None:
    posts = town.post_beside_neighbours(*["heard"] * THREADS)

    town.neighbours_are_on_time()

    for post in posts:
        town.became(post, "Posted")
    posts = town.post_beside_neighbours("heard")  # while it still hangs
    town.neighbours_are_on_time()
    town.became(posts[0], "Posted")


# --- What it sends and says ----------------------------------------------------------------------------------------


def test_a_second_irreversible_call_reaches_nobody(town: Town, board: Board) -> None:
    [post] = town.post_beside_neighbours("sends_twice", settings={"url": board.url})

    town.neighbours_are_on_time()

    assert town.became(post, "Posted")["platform_post_id"] == "p1"
    assert len(board.published()) == 1


def test_a_permalink_that_cannot_be_looked_up_fails_no_post(town: Town, board: Board) -> None:
    [post] = town.post_beside_neighbours("looks_up_the_address", settings={"url": board.url})

    town.neighbours_are_on_time()

    assert town.became(post, "Posted")["platform_post_id"] == "p1"
    assert len(board.published()) == 1


def test_ten_thousand_lines_in_the_log_hold_up_nobody(town: Town) -> None:
    [post] = town.post_beside_neighbours("noisy")

    town.neighbours_are_on_time()

    town.became(post, "Posted")
    assert "line 9999 of 10,000" in town.worker.output
