"""A plugin is installed and removed with pip beside running workers, in an environment of their own."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
import venv
from pathlib import Path
from typing import Any

import pytest
from cryptography.fernet import Fernet
from factories import Factories
from processes import Running
from pydantic import SecretStr

from autoposter import cli
from autoposter.credentials import Keyring
from autoposter.testing import Answer, FakeServer, Request, publishes

HERE = Path(__file__).parent


def run(*command: str | Path) -> str:
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def wheel(project: Path, folder: Path) -> Path:
    """The project's wheel, built with the hatchling that is here."""
    before = set(folder.glob("*.whl"))
    run(
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "-q",
        "--no-deps",
        "--no-index",
        "--no-build-isolation",
        "-w",
        folder,
        project,
    )
    [made] = set(folder.glob("*.whl")) - before
    return made


class Environment:
    """A virtual environment with autoposter's wheel; all that autoposter needs is looked for where it is installed."""

    def __init__(self, folder: Path) -> None:
        venv.create(folder, with_pip=False, symlinks=True)
        self.python = folder / "bin" / "python"
        [site] = folder.glob("lib/python*/site-packages")
        (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")

    def pip(self, *arguments: str | Path) -> None:
        run(sys.executable, "-m", "pip", "--python", self.python, "-q", *arguments)

    def install(self, wheel: Path) -> None:
        self.pip("install", "--no-deps", "--no-index", wheel)


class Board(FakeServer):
    """The platform of a plugin that `new-plugin` has written: takes every notice."""

    @publishes("POST /posts")
    def hang(self, request: Request) -> Answer:
        notice = self.publish(request.body["text"])
        return Answer.json(201, {"id": notice.id, "url": f"{self.url}/posts/{notice.id}"})


@pytest.fixture
def environment(tmp_path: Path) -> Environment:
    made = Environment(tmp_path / "venv")
    made.install(wheel(HERE.parent, tmp_path))
    return made


@pytest.fixture
def plugin(tmp_path: Path) -> Path:
    """The wheel of a plugin for the platform `chalkboard`."""
    assert cli.main(["new-plugin", "chalkboard", "--into", str(tmp_path)]) == 0
    return wheel(tmp_path / "autoposter-chalkboard", tmp_path)


def start_worker(environment: Environment, run_processes: Any, key: str) -> Running:
    """The bare command, in that environment."""
    options = ["--processes", "1", "--threads", "4"]
    command = [str(environment.python), "-m", "dramatiq", "autoposter.actors", *options]
    started: Running = run_processes.start(*command, AUTOPOSTER_SECRET_KEYS=key, PYTHONPATH="")
    return started


def test_installing_a_wheel_is_all_that_running_workers_need_and_removing_it_fails_only_its_posts(
    environment: Environment, plugin: Path, fresh: Factories, run_processes: Any, wait_until: Any
) -> None:
    key = Fernet.generate_key().decode()
    board = Board()

    def post(account: int) -> int:
        """As any program does it."""
        [(content,)] = fresh.query("insert into content_item (caption) values ('We are open.') returning id")
        insert = (
            "insert into post_instance (channel_account_id, content_item_id, scheduled_for)"
            " values (%s, %s, now() + interval '1 s') returning id"
        )
        return int(fresh.query(insert, (account, content))[0][0])

    def became(post_id: int, status: str, worker: Running) -> dict[str, Any]:
        wait_until(lambda: fresh.row("post_instance", post_id)["status"] == status, 20, lambda: worker.output[-3000:])
        return fresh.row("post_instance", post_id)

    with board:
        stub, chalk = fresh.account(), fresh.account("chalkboard", settings={"api_url": board.url})
        token = Keyring([SecretStr(key)]).encrypt(chalk, {"token": "the-right-token"})
        fresh.query("update channel_account set credentials = %s where id = %s", (token, chalk))
        worker = start_worker(environment, run_processes, key)
        became(post(stub), "Posted", worker)

        environment.install(plugin)
        posted = became(post(chalk), "Posted", worker)

        assert [notice.text for notice in board.published()] == ["We are open."]
        assert posted["permalink"].startswith(board.url)
        wait_until(lambda: fresh.query("select platforms from worker")[0][0] == ["chalkboard", "stub"], 10)

        environment.pip("uninstall", "-y", "autoposter-chalkboard")
        worker.end()
        worker = start_worker(environment, run_processes, key)
        failed = became(post(chalk), "Failed", worker)
        became(post(stub), "Posted", worker)

    assert failed["last_error"] == (
        "No installed plugin publishes on chalkboard; there are: stub."
        " Install the one that does (by custom autoposter-chalkboard), then `autoposter posts retry`."
    )
    assert len(board.published()) == 1
