"""The host of the plugins, against real small distributions on `sys.path`."""

from __future__ import annotations

import importlib.util
import logging
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from textwrap import dedent

import pytest

from autoposter.errors import AutoposterError
from autoposter.plugins import Host, NoPublisher, Plugin
from autoposter.publishers import Delivery
from autoposter.publishers.stub import Stub

#: A whole plugin; a test says only what is different.
SOUND = """
from datetime import timedelta
from pydantic import BaseModel
from autoposter import hookimpl
from autoposter.publishers import Delivery, Publisher, Receipt

class Board(Publisher):
    platform = "{platform}"
    delivery = Delivery.BLIND
    def publish(self, post, prepared):
        return Receipt("1")

@hookimpl
def autoposter_publishers():
    return [Board]
"""

Install = Callable[..., Path]


class Notebook:
    """What plugins have written: they `import notebook`."""

    def __init__(self) -> None:
        self.notes: list[object] = []


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder on `sys.path`; what was imported meanwhile is forgotten afterwards."""
    before = set(sys.modules)
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    yield folder
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", None) or "").startswith(str(tmp_path)):
            del sys.modules[name]


@pytest.fixture
def install(site: Path) -> Install:
    """`install("autoposter-board", source)`: writes a distribution as an installer does."""

    def write(
        name: str,
        source: str | None = None,
        *,
        entry_point: str | None = None,
        version: str = "1.0",
        folder: Path = site,
    ) -> Path:
        module = name.replace("-", "_")
        platform = module.removeprefix("autoposter_")
        text = SOUND.replace("{platform}", platform) if source is None else dedent(source)
        (folder / f"{module}.py").write_text(text)
        info = folder / f"{module}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        (info / "entry_points.txt").write_text(f"[autoposter]\n{entry_point or platform} = {module}\n")
        return info

    return write


@pytest.fixture
def notebook(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    book = Notebook()
    monkeypatch.setitem(sys.modules, "notebook", book)
    return book.notes


def plugin(host: Host, distribution: str) -> Plugin:
    [found] = [plugin for plugin in host.plugins() if plugin.distribution == distribution]
    return found


def refusal(host: Host, platform: str) -> str:
    with pytest.raises(NoPublisher) as refused:
        host.publisher_for(platform)
    return str(refused.value)


# --- What works ----------------------------------------------------------------------------------------------------


def test_the_stub_comes_by_the_same_door() -> None:
    host = Host()

    assert host.publisher_for("stub") is Stub
    assert plugin(host, "autoposter").platforms == {"stub": Delivery.FINDABLE}


def test_a_plugin_is_shown_with_all_that_is_known_of_it(install: Install) -> None:
    install("autoposter-board", version="2.3")

    host = Host()

    expected = Plugin("autoposter-board", "2.3", "board", {"board": Delivery.BLIND}, None)
    assert plugin(host, "autoposter-board") == expected
    assert expected.id == "autoposter-board:board"
    assert host.platforms() == ["board", "stub"]
    assert host.publisher_for("board").platform == "board"


def test_two_distributions_may_use_one_entry_point_name(install: Install) -> None:
    install("autoposter-first", entry_point="board")
    install("autoposter-second", entry_point="board")

    assert Host().platforms() == ["first", "second", "stub"]


def test_a_distribution_found_twice_counts_once(install: Install, site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    later = site.parent / "later"
    later.mkdir()
    monkeypatch.setattr(sys, "path", [*sys.path, str(later)])
    install("autoposter-board", version="2.0")
    install("autoposter-board", version="1.0", folder=later, entry_point="old_name")

    host = Host()

    assert plugin(host, "autoposter-board").version == "2.0"
    assert host.publisher_for("board").platform == "board"


@pytest.mark.parametrize("allowed", ["autoposter-board", "Autoposter_Board"])
def test_an_allow_list_leaves_out_all_others_but_the_stub(
    install: Install, allowed: str, notebook: list[object]
) -> None:
    install("autoposter-board")
    install("autoposter-other", "import notebook; notebook.notes.append('imported')")

    host = Host(allow=[allowed])

    assert host.platforms() == ["board", "stub"]
    assert notebook == []
    assert refusal(host, "other") == "Nobody can publish on other: AUTOPOSTER_PLUGINS leaves out autoposter-other."


def test_an_empty_allow_list_leaves_the_stub() -> None:
    assert Host(allow=[]).platforms() == ["stub"]


def test_a_plugin_installed_while_running_is_found(install: Install) -> None:
    host = Host()
    refusal(host, "board")

    install("autoposter-board")

    assert host.publisher_for("board").platform == "board"
    assert host.platforms() == ["board", "stub"]


def test_a_plugin_is_found_even_if_its_folder_seems_unchanged(install: Install, site: Path) -> None:
    host = Host()
    assert importlib.util.find_spec("nowhere_to_be_found") is None  # now Python remembers what the folder holds
    before = site.stat()

    install("autoposter-board")
    os.utime(site, ns=(before.st_atime_ns, before.st_mtime_ns))  # both within one tick of the file system's clock

    assert host.publisher_for("board").platform == "board"


def test_a_plugin_whose_files_arrive_late_is_tried_again(install: Install, site: Path) -> None:
    info = install("autoposter-board")
    module = site / "autoposter_board.py"
    source = module.read_text()
    module.unlink()
    host = Host()
    assert "No module named 'autoposter_board'" in refusal(host, "board")

    module.write_text(source)

    assert info.exists()
    assert host.publisher_for("board").platform == "board"


def test_an_unknown_platform_is_not_looked_for_again_while_nothing_changes(
    install: Install, notebook: list[object]
) -> None:
    install("autoposter-broken", "import notebook; notebook.notes.append('imported'); raise OSError")
    host = Host()

    for _ in range(5):
        refusal(host, "nowhere")

    assert len(notebook) == 2  # at the start, and once for the first refusal


def test_many_threads_get_one_class_of_a_plugin_installed_while_running(install: Install) -> None:
    host = Host()
    install("autoposter-board")
    start = threading.Barrier(8)

    def ask(_: int) -> object:
        start.wait(timeout=5)
        return host.publisher_for("board")

    with ThreadPoolExecutor(8) as pool:
        found = set(pool.map(ask, range(8)))

    assert len(found) == 1


# --- What is refused -----------------------------------------------------------------------------------------------


def test_an_unknown_platform_is_named_with_those_that_are_there(install: Install) -> None:
    install("autoposter-board")

    assert refusal(Host(), "tiktok") == (
        "No installed plugin publishes on tiktok; there are: board, stub."
        " Install the one that does (by custom autoposter-tiktok), then `autoposter posts retry`."
    )


def test_a_misspelt_platform_is_answered_with_the_nearest(install: Install) -> None:
    install("autoposter-board")

    assert (
        refusal(Host(), "bord")
        == "No installed plugin publishes on bord; there are: board, stub (did you mean board?)."
    )


def test_a_refusal_is_an_error_for_people() -> None:
    assert issubclass(NoPublisher, AutoposterError)


@pytest.mark.parametrize(
    ("source", "why"),
    [
        ("import nowhere_to_be_found", "ModuleNotFoundError: No module named 'nowhere_to_be_found'"),
        ("def oops(:", "SyntaxError: invalid syntax"),
        ("raise SystemExit(3)", "SystemExit: 3"),
        ("class Panic(BaseException): pass\nraise Panic('at the disco')", "Panic: at the disco"),
        ("class E(Exception):\n    def __str__(self): return 1 / 0\nraise E", "E: no message"),
        ("raise OSError('line 1\\nline 2')", "OSError: line 1 line 2"),
    ],
)
def test_a_plugin_that_cannot_be_imported_stops_only_itself(
    install: Install, source: str, why: str, caplog: pytest.LogCaptureFixture
) -> None:
    install("autoposter-broken", source)
    install("autoposter-board")

    host = Host()

    assert host.platforms() == ["board", "stub"]
    assert why in str(plugin(host, "autoposter-broken").error)
    assert refusal(host, "broken").startswith(
        f"Nobody can publish on broken: the plugin autoposter-broken is broken: {why}"
    )
    assert f"the plugin autoposter-broken is broken: {why}" in refusal(host, "unheard_of")
    assert len([record for record in caplog.records if record.exc_info]) == 1  # logged once, with its trace


def test_a_plugin_that_never_comes_back_from_its_import_stops_only_itself_and_is_left_alone(
    install: Install, monkeypatch: pytest.MonkeyPatch, notebook: list[object]
) -> None:
    monkeypatch.setattr("autoposter.installed.LOAD_TIMEOUT", timedelta(milliseconds=300))
    notebook.append(release := threading.Event())
    install("autoposter-stuck", "import notebook; notebook.notes.append('imported'); notebook.notes[0].wait()")
    install("autoposter-board")

    host = Host()

    assert host.platforms() == ["board", "stub"]
    assert "the plugin autoposter-stuck is broken: it has not come back from its import" in refusal(host, "stuck")
    imports = [thread for thread in threading.enumerate() if thread.name == "imports autoposter-stuck:stuck"]
    assert len(imports) == 1 and notebook[1:] == ["imported"]
    release.set()


def test_ctrl_c_while_a_plugin_is_imported_ends_the_program(install: Install) -> None:
    install("autoposter-slow", "raise KeyboardInterrupt")

    with pytest.raises(KeyboardInterrupt):
        Host()


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("platform = None", "`platform` must be a name in lower_snake_case"),
        ("platform = 'Board'", "`platform` must be a name in lower_snake_case"),
        ("platform = 'my-board'", "`platform` must be a name in lower_snake_case"),
        ("delivery = 'blind'", "`delivery` must be Delivery.KEYED"),
        ("delivery = Delivery.FINDABLE", "it is FINDABLE, so it needs a `find` of its own"),
        ("publish = Publisher.publish", "`publish` is not implemented"),
        ("async def publish(self, post, prepared): ...", "`publish` must be a plain method, not async"),
        ("validate = None", "`validate` must be a plain method"),
        ("publish_timeout = 30", "`publish_timeout` must be a timedelta"),
        ("publish_timeout = timedelta(0)", "`publish_timeout` must be longer than timedelta(0)"),
        ("find_after = timedelta(seconds=-1)", "`find_after` must be at least timedelta(0)"),
        ("prepare_ahead = None", "`prepare_ahead` must be a timedelta"),
        ("setup = None", "`setup` must be a text"),
        ("api_ends = '2028-07-29'", "`api_ends` must be a date"),
        ("choices = None", "`choices` must be a plain method"),
        ("prepare_timeout = timedelta.max", "`prepare_timeout` must be at most 365 days"),
        ("pictures = ('image/jpeg',)", "`pictures` must be a PictureLimits"),
        ("key_lasts = timedelta(0)", "`key_lasts` must be longer than timedelta(0)"),
        ("Credentials = dict", "`Credentials` must be a subclass of pydantic.BaseModel"),
        ("Settings = object()", "`Settings` must be a subclass of pydantic.BaseModel"),
        ("class Options: pass", "`Options` must be a subclass of pydantic.BaseModel"),
    ],
)
def test_a_wrong_class_is_named_with_what_is_wrong(install: Install, line: str, why: str) -> None:
    source = SOUND.replace("{platform}", "board").replace("\n@hookimpl", f"    {line}\n\n@hookimpl")
    install("autoposter-board", source)

    host = Host()

    assert f"Board: {why}" in str(plugin(host, "autoposter-board").error)
    assert f"the plugin autoposter-board is broken: Board: {why}" in refusal(host, "board")
    assert host.platforms() == ["stub"]


def test_times_that_may_be_nothing_and_a_key_that_lasts_for_ever_are_taken(install: Install) -> None:
    lines = "find_after = timedelta(0); prepare_ahead = timedelta(0); key_lasts = None"
    install(
        "autoposter-board", SOUND.replace("{platform}", "board").replace("\n@hookimpl", f"    {lines}\n\n@hookimpl")
    )

    assert "board" in Host().platforms()


@pytest.mark.parametrize(
    ("returned", "why"),
    [
        ("None", "autoposter_publishers returned None, not a list of classes"),
        ("Board", "autoposter_publishers returned <class 'autop..._board.Board'>, not a list"),
        ("[Board, 7]", "7 is no subclass of autoposter.publishers.Publisher"),
        ("['board']", "'board' is no subclass of autoposter.publishers.Publisher"),
        ("[BaseModel]", "is no subclass of autoposter.publishers.Publisher"),
        ("iter(lambda: Board, None)", "autoposter_publishers returned more than 100 classes"),
        ("(1 / 0 for _ in [1])", "ZeroDivisionError: division by zero"),
        ("1 / 0", "ZeroDivisionError: division by zero"),
        ("exit(4)", "SystemExit: 4"),
        ("[Board, type('Twin', (Board,), {})]", "it brings two publishers for board: Board and Twin"),
    ],
)
def test_a_hook_that_returns_garbage_stops_only_its_plugin(install: Install, returned: str, why: str) -> None:
    install("autoposter-board", SOUND.replace("{platform}", "board").replace("[Board]", returned))
    install("autoposter-other")

    host = Host()

    assert host.platforms() == ["other", "stub"]
    assert why in str(plugin(host, "autoposter-board").error)
    assert why in refusal(host, "board")


def test_a_broken_plugin_is_known_by_the_platforms_it_declares(install: Install) -> None:
    source = SOUND.replace("{platform}", "pinboard").replace("[Board]", "[Board, 7]")
    install("autoposter-acme", source)

    host = Host()

    assert plugin(host, "autoposter-acme").platforms == {"pinboard": Delivery.BLIND}
    assert "the plugin autoposter-acme is broken" in refusal(host, "pinboard")


@pytest.mark.parametrize(
    ("hook", "why"),
    [
        (
            "@hookimpl\ndef autoposter_publisher(): ...",
            "there is no hook autoposter_publisher; is it autoposter_publishers?",
        ),
        ("def autoposter_publishers(): return []", "it implements no hook; is @hookimpl missing?"),
        ("@hookimpl\ndef autoposter_post_missed(post, mood): ...", "{'mood'}"),
        ("@hookimpl(wrapper=True)\ndef autoposter_post_missed(post): yield", "neither async nor a wrapper"),
        ("@hookimpl\nasync def autoposter_post_missed(post): ...", "neither async nor a wrapper"),
    ],
)
def test_a_hook_that_would_never_be_called_is_its_plugins_error(install: Install, hook: str, why: str) -> None:
    install("autoposter-listener", f"from autoposter import hookimpl\n{hook}\n")

    assert why in str(plugin(Host(), "autoposter-listener").error)


def test_two_publishers_for_one_platform_stop_that_platform_only(install: Install) -> None:
    both = SOUND + "\nclass Other(Board):\n    platform = 'other'\n"
    install("autoposter-first", both.replace("{platform}", "board").replace("[Board]", "[Board, Other]"))
    install("autoposter-second", SOUND.replace("{platform}", "board"))

    host = Host()

    message = refusal(host, "board")
    assert "autoposter-first:first and autoposter-second:second" in message
    assert host.platforms() == ["other", "stub"]
    assert str(plugin(host, "autoposter-second").error) in message


def test_broken_metadata_of_another_distribution_hurts_nobody(install: Install, site: Path) -> None:
    install("autoposter-board")
    info = install("autoposter-broken")
    (info / "entry_points.txt").write_text("[autoposter]\nno equals sign\n")
    (site / "nameless-1.0.dist-info").mkdir()

    assert Host().platforms() == ["board", "stub"]


# --- Events --------------------------------------------------------------------------------------------------------

LISTENER = """
import notebook
from autoposter import hookimpl

@hookimpl
def autoposter_post_failed({arguments}):
    {body}
"""


def tell(host: Host, event: str, **arguments: object) -> None:
    """Tell the listeners, and wait until they have heard it."""
    host.notify(event, **arguments)
    host.finish_telling(timedelta(seconds=5))


def listener(arguments: str, body: str) -> str:
    return LISTENER.format(arguments=arguments, body=body)


def test_an_event_comes_to_all_with_the_arguments_that_they_take(install: Install, notebook: list[object]) -> None:
    install("autoposter-all", listener("post, error", "notebook.notes.append((post, error))"))
    install("autoposter-some", listener("error", "notebook.notes.append(error)"))
    install("autoposter-none", listener("", "notebook.notes.append(None)"))
    install("autoposter-default", listener("error='?'", "notebook.notes.append([error])"))

    tell(Host(), "autoposter_post_failed", post=7, error="why")

    assert sorted(map(str, notebook)) == ["(7, 'why')", "None", "['why']", "why"]


@pytest.mark.parametrize("body", ["raise OSError('mine')", "raise SystemExit(1)"])
def test_a_listener_that_fails_keeps_no_other_from_hearing(
    install: Install, notebook: list[object], body: str, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("autoposter-a", "autoposter-c"):
        install(name, listener("post", "notebook.notes.append(post)"))
    install("autoposter-b", listener("post", body))

    with caplog.at_level(logging.ERROR):
        tell(Host(), "autoposter_post_failed", post=7, error="why")

    assert notebook == [7, 7]
    [record] = caplog.records
    assert record.getMessage() == "autoposter_post_failed of the plugin autoposter-b:b failed."
    assert record.exc_info


# --- The door ------------------------------------------------------------------------------------------------------


def test_importing_the_hook_marker_is_cheap() -> None:
    program = "import sys; from autoposter import hookimpl; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()

    assert not {"peewee", "dramatiq", "pydantic", "httpx2", "psycopg2"} & set(loaded)
