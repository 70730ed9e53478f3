"""What the README says is done, word for word, by a user who reads nothing else."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg2
import pytest
from processes import Processes, Running

from autoposter.local import urls_of

README = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")
BIN = Path(sys.executable).parent


def blocks(language: str) -> list[str]:
    """The README's code blocks in a language."""
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def commands() -> list[str]:
    """The README's commands, a line each, without their comments."""
    lines = "".join(blocks("sh")).splitlines()
    return [line.partition("#")[0].strip() for line in lines if line.strip()]


def environment(**added: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AUTOPOSTER_")}
    return kept | {"PATH": f"{BIN}:{kept['PATH']}"} | added


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An empty folder that a user stands in."""
    made = tmp_path / "shop"
    made.mkdir()
    return made


@pytest.fixture
def processes(tmp_path: Path) -> Iterator[Processes]:
    running = Processes(tmp_path, {})
    yield running
    for one in running._all:
        one.end(30)
    print(running.report())


def up(processes: Processes, folder: Path, wait_until: Any) -> Running:
    assert "autoposter up" in commands()
    started = processes.start("autoposter", "up", cwd=folder)
    wait_until(lambda: urls_of(folder) and "starts with" in started.output, 40, lambda: started.output)
    return started


def run(command: str, folder: Path, **added: str) -> str:
    done = subprocess.run(
        shlex.split(command), cwd=folder, env=environment(**added), capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, f"{command}: {done.stderr}"
    return done.stdout


def test_a_reader_schedules_by_command_sql_and_python_and_all_is_posted_and_kept(
    processes: Processes, folder: Path, wait_until: Any
) -> None:
    first = up(processes, folder, wait_until)

    for command in commands():
        if command.startswith(("autoposter accounts", "autoposter schedule", "autoposter posts")):
            assert run(command, folder)
    urls = urls_of(folder)
    assert urls is not None and urls.database_url is not None
    connection = psycopg2.connect(urls.database_url)
    with connection, connection.cursor() as cursor:
        cursor.execute(blocks("sql")[0])
    script = folder / "application.py"
    script.write_text(blocks("python")[0])
    assert "Scheduled" in run(f"{sys.executable} application.py", folder, AUTOPOSTER_DATABASE_URL=urls.database_url)

    def late() -> list[float]:
        with connection, connection.cursor() as cursor:
            cursor.execute(
                "select extract(epoch from posted_at - scheduled_for) from post_instance where status = 'Posted'"
            )
            return [float(row[0]) for row in cursor.fetchall()]

    wait_until(lambda: len(late()) == 3, 60, lambda: first.output)
    assert min(late()) >= 0 and max(late()) < 2
    connection.close()
    first.popen.send_signal(signal.SIGINT)
    assert first.popen.wait(30) == 0
    assert urls_of(folder) is None

    up(processes, folder, wait_until)
    assert run("autoposter posts list --json", folder).count('"Posted"') == 3


def test_the_readme_names_the_two_commands_of_production_and_the_one_of_the_tests() -> None:
    assert "dramatiq autoposter.actors" in commands() and "periodiq autoposter.actors" in commands()
    ci = (Path(__file__).parent.parent / ".ci" / "run").read_text()
    assert "python3 -m venv .venv && .venv/bin/pip install tox && .venv/bin/tox" in commands()
    assert "python3 -m venv .venv && .venv/bin/pip install tox && .venv/bin/tox" in ci
