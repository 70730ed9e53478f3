"""What stands in deploy/, docker-compose.yml and the Dockerfile: well formed, and supervisor's part run for real."""

from __future__ import annotations

import configparser
import getpass
import importlib.util
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import timedelta
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest
import yaml
from factories import Factories

ROOT = Path(__file__).parent.parent
DEPLOY = ROOT / "deploy"
UNITS = sorted((DEPLOY / "systemd").glob("*.service"))
SCRIPTS = Path(sys.executable).parent

#: Dramatiq's own patience with its workers: nobody may kill them sooner.
DRAMATIQ_PATIENCE_SECONDS = 600


def compose() -> dict[str, Any]:
    return dict(yaml.safe_load((ROOT / "docker-compose.yml").read_text()))


def supervisor() -> configparser.RawConfigParser:
    conf = configparser.RawConfigParser(inline_comment_prefixes=(";",))
    conf.read(DEPLOY / "supervisor" / "autoposter.conf")
    return conf


def commands() -> Iterator[tuple[str, list[str]]]:
    """Every command of ours that a deploy file runs, and which file it is."""
    for name, service in compose()["services"].items():
        if "build" in service:
            yield f"docker-compose.yml: {name}", service["command"]
    for line in (ROOT / "Dockerfile").read_text().splitlines():
        if line.startswith("CMD "):
            yield "Dockerfile", json.loads(line.removeprefix("CMD "))
    for unit in UNITS:
        for line in unit.read_text().splitlines():
            if line.startswith("ExecStart="):
                yield unit.name, shlex.split(line.removeprefix("ExecStart="))
    for section in supervisor().sections():
        script = shlex.split(supervisor()[section]["command"])[-1]
        yield f"autoposter.conf: {section}", shlex.split(script.partition("exec ")[2])


def test_every_command_of_a_deploy_file_exists() -> None:
    scripts = {script.name for script in entry_points(group="console_scripts")}

    found = list(commands())

    assert len(found) == 8, found
    for where, (program, argument) in found:
        assert Path(program).name in scripts, f"{where} runs {program}"
        if argument != "migrate":
            assert importlib.util.find_spec(argument), f"{where} runs {program} {argument}"


def test_docker_compose_follows_the_compose_schema() -> None:
    checked = subprocess.run(
        [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", "docker-compose.yml"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_docker_compose_carries_no_password_and_asks_for_those_it_needs() -> None:
    example = (ROOT / ".env.example").read_text()

    asked = re.findall(r"\$\{([A-Z_]+)([^}]*)\}", (ROOT / "docker-compose.yml").read_text())

    assert {name for name, _ in asked} == {"POSTGRES_PASSWORD", "AUTOPOSTER_SECRET_KEYS"}
    for name, otherwise in asked:
        assert otherwise.startswith(":?"), f"{name} has a default"
        assert re.search(rf"^{name}=$", example, re.MULTILINE), f"{name} is not empty in .env.example"


def test_nothing_kills_a_worker_before_dramatiq_itself_gives_up() -> None:
    worker = "autoposter-worker"
    minutes = {
        "docker-compose.yml": compose()["services"]["worker"]["stop_grace_period"].removesuffix("m"),
        "systemd": re.findall(r"TimeoutStopSec=(\d+)min", (DEPLOY / "systemd" / f"{worker}.service").read_text())[0],
        "supervisor": supervisor().getint(f"program:{worker}", "stopwaitsecs") / 60,
    }

    assert all(float(given) * 60 > DRAMATIQ_PATIENCE_SECONDS for given in minutes.values()), minutes


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_systemd_understands_every_line_of_the_unit(unit: Path, tmp_path: Path) -> None:
    if not shutil.which("systemd-analyze"):
        pytest.skip("this machine has no systemd-analyze")
    installed = tmp_path / unit.name
    installed.write_text(unit.read_text().replace("/opt/autoposter/bin", str(SCRIPTS)))

    said = subprocess.run(
        ["systemd-analyze", "verify", str(installed)], capture_output=True, text=True, timeout=60
    ).stderr

    assert not [line for line in said.splitlines() if "autoposter" in line], said  # others' units may have faults


class Supervised:
    """A supervisord of this test's own, running deploy/supervisor/autoposter.conf with other paths."""

    def __init__(self, folder: Path, settings: dict[str, str]) -> None:
        self.folder = folder
        (folder / "autoposter.env").write_text("".join(f"{key}='{value}'\n" for key, value in settings.items()))
        conf = (DEPLOY / "supervisor" / "autoposter.conf").read_text()
        for installed, here in {
            "/opt/autoposter/bin": SCRIPTS,
            "/etc/autoposter": folder,
            "/var/lib/autoposter": folder,
            "/var/log/autoposter": folder,
            "user=autoposter": f"user={getpass.getuser()}",
        }.items():
            assert installed in conf
            conf = conf.replace(installed, str(here))
        (folder / "autoposter.conf").write_text(conf)
        (folder / "supervisord.conf").write_text(
            "[supervisord]\nnodaemon=true\nlogfile=supervisord.log\npidfile=supervisord.pid\n"
            f"user={getpass.getuser()}\n"
            "[unix_http_server]\nfile=supervisor.sock\n"
            "[supervisorctl]\nserverurl=unix://supervisor.sock\n"
            "[rpcinterface:supervisor]\n"
            "supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface\n"
            "[include]\nfiles=autoposter.conf\n"
        )
        self.process = subprocess.Popen(
            [SCRIPTS / "supervisord", "--configuration", "supervisord.conf"],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            env={name: value for name, value in os.environ.items() if not name.startswith("AUTOPOSTER_")},
        )

    def pid(self, program: str) -> int:
        """The pid of a program; 0 while it does not run."""
        said = subprocess.run(
            [SCRIPTS / "supervisorctl", "--configuration", "supervisord.conf", "pid", program],
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=30,
        ).stdout
        return int(said) if said.strip().isdigit() else 0

    def processes(self) -> dict[int, str]:
        """What runs with this test's settings, supervisord apart: pid and command line."""
        mine = f"={self.folder}/".encode()
        found = {}
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                if mine in (entry / "environ").read_bytes():
                    found[int(entry.name)] = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            except OSError:
                continue  # it ended meanwhile, or is another user's
        return found

    def logs(self) -> str:
        return "\n".join(f"--- {log.name}\n{log.read_text()[-4000:]}" for log in sorted(self.folder.glob("*.log")))


@pytest.fixture
def supervised(tmp_path: Path, fresh_database_url: str, redis_url: str) -> Iterator[Supervised]:
    running = Supervised(
        tmp_path,
        {
            "AUTOPOSTER_DATABASE_URL": fresh_database_url,
            "AUTOPOSTER_REDIS_URL": redis_url,
            "AUTOPOSTER_STUB_JOURNAL": f"{tmp_path}/journal.jsonl",
        },
    )
    yield running
    print(running.logs())  # pytest shows it only when the test fails
    left = running.processes()
    running.process.kill()
    running.process.wait()
    for pid in left:
        os.kill(pid, signal.SIGKILL)


def test_supervisor_publishes_restarts_what_died_and_leaves_nothing_behind(
    supervised: Supervised, fresh: Factories, wait_until: Callable[..., Any]
) -> None:
    def is_posted(post: int) -> bool:
        return bool(fresh.row("post_instance", post)["status"] == "Posted")

    first = fresh.post(due_in=timedelta(seconds=1))
    wait_until(lambda: is_posted(first), timeout=30, message="the first post published")
    # Dramatiq watches its processes once all have started: of one that dies before, it hears after half a minute.
    wait_until(lambda: "is booting up" in supervised.logs(), timeout=30, message="all processes started")
    dramatiq, periodiq = supervised.pid("autoposter-worker"), supervised.pid("autoposter-scheduler")
    worker = min(pid for pid, line in supervised.processes().items() if "dramatiq" in line and pid != dramatiq)

    os.kill(worker, signal.SIGKILL)
    os.kill(periodiq, signal.SIGKILL)
    wait_until(lambda: supervised.pid("autoposter-worker") not in {0, dramatiq}, timeout=30, message="restarted")
    wait_until(lambda: supervised.pid("autoposter-scheduler") not in {0, periodiq}, timeout=30, message="restarted")
    second = fresh.post(due_in=timedelta(seconds=1))
    wait_until(lambda: is_posted(second), timeout=30, message="the second post published")

    supervised.process.terminate()
    assert supervised.process.wait(timeout=30) == 0
    assert supervised.processes() == {}
    assert "Killing worker process" not in supervised.logs()  # dramatiq's words on a second SIGTERM: posts are dropped
