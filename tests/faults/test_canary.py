"""Canary tokens in the credentials, a storm at DEBUG, and a look at everything that anybody could read afterwards.

pytest tests/faults/test_canary.py -s                a few seconds of storm
pytest tests/faults/test_canary.py -s --long         five minutes of it
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import redis
from faults import leaky_publishers
from faults.checker import PLATFORMS
from faults.machines import Machines
from faults.test_storm import WEATHER, Storm
from processes import wait_until

from autoposter.migrations import OUR_TABLES

#: What an operator types in the course of a day.
COMMANDS = (
    "accounts add leaky --name new --set api_url={url} --set token=env:CANARY",
    "accounts reconnect leaky:new --set token=@{file}",
    "accounts check",
    "accounts list --json",
    "accounts remove leaky:new",
    "keys rotate",
    "posts list --limit 1000 --json",
    "posts show {failed}",
    "posts validate --account leaky:leaky",
    "doctor",
)


class Watch:
    """What passes by while the storm lasts: the arguments of every process, and every command of the broker."""

    def __init__(self, machines: Machines) -> None:
        self.arguments: set[str] = set()
        self.broker: list[str] = []
        self._machines = machines
        self._over = threading.Event()

    @contextmanager
    def on(self) -> Iterator[None]:
        threads = [threading.Thread(target=watch) for watch in (self._processes, self._broker)]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self._over.set()
            for thread in threads:
                thread.join()

    def _processes(self) -> None:
        while not self._over.wait(0.05):
            for process in psutil.process_iter():
                with suppress(psutil.Error):
                    self.arguments.add(" ".join(process.cmdline()))

    def _broker(self) -> None:
        while not self._over.is_set():
            with suppress(redis.RedisError), self._machines.servers.redis() as client, client.monitor() as monitor:
                monitor.connection._sock.settimeout(0.5)
                while not self._over.is_set():
                    self.broker.append(str(monitor.next_command()))


def commands(machines: Machines, folder: Path, token: str) -> str:
    """What all the commands say, to either side."""
    file = folder / "token-for-reconnecting"
    failed = machines.rows.query("select max(id) from post_instance where status = 'Failed'")[0][0]
    file.write_text(token)
    said = []
    for command in COMMANDS:
        words = command.format(url=machines.platform.url, file=file, failed=failed).split()
        ran = machines.processes.start("autoposter", *words, CANARY=token)
        ran.popen.wait(60)
        said.append(f"{command}: {ran.popen.returncode}\n{ran.output}")
    file.unlink()
    return "\n".join(said)


def tables(machines: Machines) -> str:
    """Every row of every table, as text."""
    return "\n".join(
        str(row[0])
        for table in OUR_TABLES
        for row in machines.rows.query(f"select t::text from {table} t")  # noqa: S608
    )


def test_no_token_is_seen_anywhere_whatever_breaks(machines: Machines, tmp_path: Path, long: bool, seed: int) -> None:
    leaky_publishers.install(tmp_path)
    machines.processes.tell(AUTOPOSTER_LOG_LEVEL="DEBUG")
    name = machines.rows.query("select current_database()")[0][0]
    machines.rows.query(f"alter database {name} set log_statement = 'all'")
    machines.rows.query(
        "update channel_account set name = 'leaky', refresh_at = now(), credentials_expire_at = now() + interval '1 h'"
        " where id = %s",
        (machines.account("leaky"),),
    )
    watch = Watch(machines)

    with watch.on():
        storm = Storm(machines, seed)
        machines.platform.follow(*WEATHER, seed=seed)
        soon = time.time() + 1
        for number, way in enumerate(("", *leaky_publishers.WAYS)):
            machines.schedule([soon + number / 5] * 2, way, platforms=["leaky"])
        machines.schedule([soon + number / 10 for number in range(60)], platforms=PLATFORMS)
        storm.rage(300 if long else 8)
        storm.drop()
        left = "select count(*) from post_instance where status = 'Scheduled' and last_error is null"
        wait_until(lambda: machines.rows.query(left)[0][0] == 0, 90, machines.state)
        sealed = machines.rows.query("select id, credentials from channel_account where credentials is not null")
        tokens = [machines.world.keyring.decrypt(*row)["token"] for row in sealed]
        typed = f"c4nary{'0' * 6}typed"
        said = commands(machines, tmp_path, typed)

    seen = {
        "logs": "\n".join(log.read_text(errors="replace") for log in tmp_path.glob("*.log")),
        "tables": tables(machines),
        "broker": "\n".join(watch.broker),
        "process list": "\n".join(watch.arguments),
        "command output": said,
        "the database's log": machines.servers.postgres.log.read_text(errors="replace"),
    }
    landmarks = {
        "logs": ("Traceback", "DEBUG", "leaky.library", "could not be refreshed"),
        "tables": ("v1:", "does not allow this", "***"),
        "broker": ("autoposter", "publish_behind", "refresh"),
        "process list": ("autoposter.actors", "accounts add leaky"),
        "command output": ("posts validate", "leaky:new", "does not allow this", "works"),
        "the database's log": ("update publish_job", "refreshing_until"),
    }
    for where, text in seen.items():
        assert [mark for mark in landmarks[where] if mark not in text] == [], f"not the right place: {where}"
        assert [token for token in (*tokens, typed, machines.world.key) if token in text] == [], where
    sizes = ", ".join(f"{len(text):,} in {where}" for where, text in seen.items())
    print(f"seed {seed}: {len(tokens)} tokens; characters looked at: {sizes}")
