"""`autoposter up`: the real command, in a folder of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import psycopg2
import pytest
from factories import Factories
from leftovers import kill_all_of, processes_of
from processes import Processes, Running, wait_until

from autoposter.local import temporary_folder, urls_of

#: How long a start may take on a busy machine, in seconds: servers, migrations, and a worker that imports everything.
START = 60.0


@pytest.fixture
def folder() -> Iterator[Path]:
    with temporary_folder() as made:
        yield made.resolve()


@pytest.fixture
def commands(tmp_path: Path, folder: Path) -> Iterator[Processes]:
    """Starts commands without any setting of ours."""
    running = Processes(tmp_path, {})
    yield running
    kill_all_of(folder)
    running.end_all()
    print(running.report())  # pytest shows it only when the test fails


class Up:
    """`autoposter up` in a folder, ready to publish."""

    def __init__(self, commands: Processes, folder: Path, **settings: str) -> None:
        self.folder = folder
        self._commands = commands
        self.running: Running = commands.start("autoposter", "up", cwd=folder, **settings)
        wait_until(self._has_worker, START, lambda: f"a worker runs:\n{self.running.output}")

    @property
    def database(self) -> Factories:
        urls = urls_of(self.folder)
        assert urls is not None and urls.database_url is not None
        return Factories(urls.database_url)

    def _has_worker(self) -> bool:
        assert self.running.popen.poll() is None, self.running.output
        return "starts with 8 threads" in self.running.output

    def command(self, *arguments: str) -> Running:
        """Another `autoposter` command in the same folder, as from a second shell; it has ended."""
        running = self._commands.start("autoposter", *arguments, cwd=self.folder)
        running.popen.wait(60)
        return running

    def _insert(self) -> int | None:
        try:
            return self.database.post()
        except psycopg2.OperationalError:
            return None

    def publishes(self) -> bool:
        """Whether a post that is due now goes out."""
        post = wait_until(self._insert, 30, "the database answers")
        wait_until(
            lambda: self.database.row("post_instance", post)["status"] == "Posted",
            30,
            lambda: f"the post is Posted:\n{self.running.output[-3000:]}",
        )
        return True


def test_other_commands_in_the_folder_find_it_and_what_they_schedule_goes_out(
    commands: Processes, folder: Path
) -> None:
    (folder / "redis.py").write_text("raise RuntimeError('a file of the user, never to be taken for the library')")
    up = Up(commands, folder)

    up.command("accounts", "add", "stub", "--name", "Shop")
    scheduled = up.command("schedule", "We are open.", "--account", "Shop", "--in", "1s")

    assert scheduled.popen.returncode == 0, scheduled.output
    wait_until(lambda: "Posted" in up.command("posts", "list").output, 20, "the post is listed as Posted")
    assert "`autoposter` commands in this folder find it by themselves" in up.running.output


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_it_with_everything_it_started(number: signal.Signals, commands: Processes, folder: Path) -> None:
    ours = signal.signal(signal.SIGHUP, signal.SIG_DFL)  # tests that run under nohup would hand down that it is ignored
    try:
        up = Up(commands, folder)
    finally:
        signal.signal(signal.SIGHUP, ours)
    running = {"dramatiq", "periodiq", "postgres", "valkey-server"}
    assert all(processes_of(folder, name) for name in running)

    up.running.popen.send_signal(number)

    assert up.running.popen.wait(20) == 0, up.running.output
    assert processes_of(folder) == []
    assert urls_of(folder) is None


def test_a_signal_while_it_starts_ends_it_too(commands: Processes, folder: Path) -> None:
    up = commands.start("autoposter", "up", cwd=folder)
    wait_until((folder / ".autoposter" / "lock").exists, START)

    up.popen.send_signal(signal.SIGTERM)

    assert up.popen.wait(20) == 0, up.output
    assert "Traceback" not in up.output
    assert processes_of(folder) == []


def test_killed_it_leaves_nothing_running_and_its_next_start_goes_on(commands: Processes, folder: Path) -> None:
    first = Up(commands, folder)
    later = first.database.post()

    first.running.popen.kill()
    wait_until(lambda: not processes_of(folder), 30, lambda: f"all have ended: {processes_of(folder)}")
    second = Up(commands, folder)

    assert second.publishes()
    assert wait_until(lambda: second.database.row("post_instance", later)["status"] == "Posted", 30)


def test_a_second_one_in_the_folder_is_refused_in_one_sentence(commands: Processes, folder: Path) -> None:
    up = Up(commands, folder)

    second = up.command("up")

    assert second.popen.returncode == 1
    assert second.output == (
        f"autoposter already runs in {folder} (process {up.running.pid}): stop it first, or use another folder.\n"
    )
    assert up.publishes()


def test_what_ends_by_itself_is_started_again(commands: Processes, folder: Path) -> None:
    up = Up(commands, folder)

    for name in ("dramatiq", "periodiq", "postgres -D", "valkey-server"):
        killed = {process.pid for process in processes_of(folder, name)}
        os.kill(min(killed), signal.SIGKILL)  # the first of them started the others
        wait_until(partial(_another_runs, folder, name, killed), 30, f"{name} runs again")

    assert up.running.output.count("was ended by SIGKILL; it is started again in 0.5 s") == 4
    assert up.publishes()


def _another_runs(folder: Path, name: str, killed: set[int]) -> bool:
    return bool({process.pid for process in processes_of(folder, name)} - killed)


def test_it_gives_up_on_a_worker_that_cannot_start_here(commands: Processes, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "periodiq.py").write_text("raise SystemExit('this installation is broken')")

    up = commands.start("autoposter", "up", cwd=folder, PYTHONPATH=str(tmp_path / "broken"))

    assert up.popen.wait(START) == 1
    assert "this installation is broken" in up.output
    assert "the 5th time in a row: its last lines above say why." in up.output
    assert processes_of(folder) == []


def test_a_second_ctrl_c_does_not_wait_for_a_worker_that_hangs(commands: Processes, folder: Path) -> None:
    up = Up(commands, folder)
    for process in processes_of(folder, "dramatiq"):
        process.suspend()

    up.running.popen.send_signal(signal.SIGINT)
    wait_until(lambda: "waiting for the worker; Ctrl-C again kills it" in up.running.output)
    up.running.popen.send_signal(signal.SIGINT)

    assert up.running.popen.wait(10) == 0
    assert processes_of(folder) == []


def test_servers_that_the_settings_name_are_used_and_none_is_started(
    commands: Processes, folder: Path, fresh_database_url: str, redis_url: str
) -> None:
    post = Factories(fresh_database_url).post()
    settings = {"AUTOPOSTER_DATABASE_URL": fresh_database_url, "AUTOPOSTER_REDIS_URL": redis_url}

    Up(commands, folder, **settings)

    assert wait_until(lambda: Factories(fresh_database_url).row("post_instance", post)["status"] == "Posted", 30)
    assert not (folder / ".autoposter" / "postgres").exists()
    assert not (folder / ".autoposter" / "valkey").exists()


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"AUTOPOSTER_DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none"}, "The database cannot be reached"),
        ({"AUTOPOSTER_REDIS_URL": "redis://127.0.0.1:1/0"}, "The broker cannot be reached"),
    ],
)
def test_a_server_out_of_reach_is_one_sentence(
    settings: dict[str, str], sentence: str, commands: Processes, folder: Path
) -> None:
    up = commands.start("autoposter", "up", cwd=folder, **settings)

    assert up.popen.wait(START) == 3
    assert up.output.splitlines()[-1].startswith(sentence)
    assert "Traceback" not in up.output
    assert processes_of(folder) == []


def test_each_line_of_its_log_is_json_where_that_is_asked_for(commands: Processes, folder: Path) -> None:
    up = Up(commands, folder, AUTOPOSTER_LOG_FORMAT="json")
    ended = up.running.end(30)

    lines = [json.loads(line) for line in up.running.output.splitlines()]

    assert ended == 0
    assert {"autoposter.up", "autoposter.worker"} <= {line["logger"] for line in lines}


def test_it_ends_when_nobody_reads_its_log_any_more(folder: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AUTOPOSTER_")}
    program = Path(sys.executable).with_name("autoposter")
    up = subprocess.Popen(
        [program, "up"], cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    assert up.stdout is not None
    up.stdout.readline()

    up.stdout.close()

    assert up.wait(START) == 0
    assert processes_of(folder) == []
