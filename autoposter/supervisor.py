"""The processes of `autoposter up`: servers, worker and scheduler under one foreground process with one log.

Start: local servers (where the settings name none), migrations, worker, scheduler.  What ends by itself is started
again.  Stop, on Ctrl-C, SIGTERM or SIGHUP: scheduler, worker (which finishes what it publishes), servers; each within
a bounded time, then it is killed with all its descendants.  A second Ctrl-C does not wait for the worker: what it was
publishing is reconciled at the next start.  Killed itself, `up` leaves nothing that its next start does not stop.

One thread: child output, restarts and signals are looked at in one loop, so that nothing forks beside a thread.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

import redis

from autoposter import database, migrations
from autoposter.errors import OutOfReach, Refused
from autoposter.local import LocalServers
from autoposter.local.processes import MARK, Child
from autoposter.settings import Settings

#: Threads of the worker process: enough for a quick start on one machine; production runs `dramatiq` itself.
WORKER_THREADS = 8

#: How long the worker may take to finish what it publishes, in seconds: a call's deadline of 30 s, and settling.
WORKER_STOP_SECONDS = 40.0

#: How long the scheduler and each server may take to end, in seconds.
STOP_SECONDS = 10.0

#: Waits before a process that ended is started again, in seconds: 0.5, 1, 2, ... 30, and anew after a minute's life.
FIRST_WAIT_SECONDS = 0.5
LONGEST_WAIT_SECONDS = 30.0
STEADY_SECONDS = 60.0

#: A process that from the start ends so often in a row, each time within so many seconds, cannot work here: `up` gives
#: up.  Later it never does: an outage of the broker, during which the scheduler ends at each tick, may be long.
TRIES = 5
SHORT_LIFE_SECONDS = 5.0

#: How long a process that has ended is read to its end, in seconds: a descendant in another group may keep its pipe.
DRAIN_SECONDS = 1.0

#: How often the loop looks around when nothing is written, in seconds.
TICK_SECONDS = 0.1

#: Takes one line of the log: the name of the process, and what it wrote.
Write = Callable[[str, str], None]


def run(folder: Path, settings: Settings, write: Write) -> None:
    """Run everything in the foreground until told to stop.  Raises Refused or OutOfReach where it cannot start."""
    with _stop_requests() as requests:
        try:
            with LocalServers(
                folder,
                postgres=settings.database_url is None,
                valkey=settings.redis_url is None,
                say=lambda line: write("up", line),
            ) as servers:
                environment = _environment(servers, settings)
                _prepare(environment)
                supervisor = Supervisor(servers, environment, write)
                _greet(servers, write)
                requests.interrupt = False  # from here on the loop looks at them
                supervisor.run(requests)
        except KeyboardInterrupt:
            write("up", "stopped before it had started")


class Requests:
    """How often we were asked to stop; while starting, being asked interrupts what is done."""

    def __init__(self) -> None:
        self.count = 0
        self.interrupt = True

    def __call__(self, _signal: int, _frame: FrameType | None) -> None:
        """The signal handler."""
        self.count += 1
        if self.interrupt:
            self.interrupt = False  # once: what is cleaned up is not interrupted
            raise KeyboardInterrupt


@contextmanager
def _stop_requests() -> Iterator[Requests]:
    requests = Requests()
    taken = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:  # started with nohup, a hangup stays ignored
        taken.append(signal.SIGHUP)
    before = {number: signal.signal(number, requests) for number in taken}
    try:
        yield requests
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _environment(servers: LocalServers, settings: Settings) -> dict[str, str]:
    """What the worker and the scheduler are started with."""
    made = {"PYTHONUNBUFFERED": "1", MARK: os.fspath(servers.home.path)}
    if servers.urls.database_url:
        made["AUTOPOSTER_DATABASE_URL"] = servers.urls.database_url
    if servers.urls.redis_url:
        made["AUTOPOSTER_REDIS_URL"] = servers.urls.redis_url
    if not settings.secret_keys:
        made["AUTOPOSTER_SECRET_KEYS"] = servers.home.keep_secret_key()
    return dict(os.environ) | made


def _prepare(environment: dict[str, str]) -> None:
    """Migrate the database and look for the broker, which may both be other machines'."""
    database.connect_to(environment["AUTOPOSTER_DATABASE_URL"])
    try:
        with database.out_of_reach_in_one_sentence():
            migrations.migrate()
    finally:
        database.database.close_all()
    broker = redis.Redis.from_url(environment["AUTOPOSTER_REDIS_URL"], socket_timeout=5, socket_connect_timeout=5)
    try:
        broker.ping()
    except redis.RedisError as error:
        raise OutOfReach(f"The broker cannot be reached: {error}.") from error
    finally:
        broker.close()


def _greet(servers: LocalServers, write: Write) -> None:
    write("up", f"autoposter runs in {servers.home.folder}; Ctrl-C stops it")
    if servers.postgres:
        command = shlex.join([servers.postgres.psql, servers.postgres.url()])
        write("up", f"the database from another shell: {command}")
    if servers.urls.database_url or servers.urls.redis_url:
        write("up", "`autoposter` commands in this folder find it by themselves")


@dataclass
class _Program:
    """One process that is kept running."""

    child: Child
    start: Callable[[], None]
    stop_seconds: float
    started_at: float = 0.0
    start_again_at: float | None = None
    wait_seconds: float = FIRST_WAIT_SECONDS
    short_lives: int | None = 0
    """In a row, from the start; None: it was up for longer once."""
    rest: bytes = field(default=b"", repr=False)
    """The beginning of a line whose end has not come yet."""


class Supervisor:
    """Keeps the servers, the worker and the scheduler running, and passes on what they write."""

    def __init__(self, servers: LocalServers, environment: dict[str, str], write: Write) -> None:
        folder = servers.home.folder
        worker = ["--processes", "1", "--threads", str(WORKER_THREADS), "--worker-shutdown-timeout"]
        worker.append(str(int((WORKER_STOP_SECONDS - 5) * 1000)))
        self._write = write
        self._selector = selectors.DefaultSelector()
        self._servers = [
            _Program(server.child, server.start, STOP_SECONDS, short_lives=None) for server in servers.running
        ]
        self._ours = [
            self._program("worker", ["dramatiq", "autoposter.actors", *worker], environment, folder),
            self._program("scheduler", ["periodiq", "autoposter.actors"], environment, folder),
        ]
        self._ours[0].stop_seconds = WORKER_STOP_SECONDS

    def _program(self, name: str, command: Sequence[str], environment: dict[str, str], folder: Path) -> _Program:
        # `--path` without a path: both would look into the current folder first, where a file named like a module
        # (`redis.py`) would be imported instead of it.
        child = Child(name, [script(command[0]), *command[1:], "--path"], folder, environment)
        program = _Program(child, lambda: self._start(program), STOP_SECONDS)
        return program

    def _start(self, program: _Program) -> None:
        program.child.start(subprocess.PIPE)
        assert program.child.process is not None and program.child.process.stdout is not None
        os.set_blocking(program.child.process.stdout.fileno(), False)
        self._selector.register(program.child.process.stdout, selectors.EVENT_READ, program)

    def run(self, requests: Requests) -> None:
        """Start the worker and the scheduler, and keep all running until asked to stop."""
        try:
            for program in self._ours:
                program.start()
                program.started_at = time.monotonic()
            while not requests.count:
                self._pass_on(TICK_SECONDS)
                for program in (*self._servers, *self._ours):
                    self._mend(program)
        finally:
            self._stop(requests)

    def _pass_on(self, timeout_seconds: float) -> None:
        """Write what the children wrote, waiting for it at most so long."""
        for key, _ in self._selector.select(timeout_seconds):
            program: _Program = key.data
            try:
                received = os.read(key.fd, 65536)
            except BlockingIOError:
                continue
            if not received:
                self._selector.unregister(key.fileobj)
            *lines, program.rest = (program.rest + received).split(b"\n")
            if program.rest and (not received or len(program.rest) > 65536):
                lines, program.rest = [*lines, program.rest], b""
            for line in lines:
                self._write(program.child.name, line.decode("utf-8", "replace"))

    def _mend(self, program: _Program) -> None:
        """Start a process again that has ended, after a wait that grows."""
        if program.child.is_running:
            return
        now = time.monotonic()
        if program.start_again_at is None:
            self._clear_away(program)
            self._plan(program, now)
        elif now >= program.start_again_at:
            program.start_again_at = None
            program.started_at = now
            program.start()

    def _plan(self, program: _Program, now: float) -> None:
        name, ended = program.child.name, _how_it_ended(program.child.exit_code())
        if now - program.started_at >= STEADY_SECONDS:
            program.wait_seconds = FIRST_WAIT_SECONDS
        if now - program.started_at >= SHORT_LIFE_SECONDS:
            program.short_lives = None
        if program.short_lives is not None:
            program.short_lives += 1
            if program.short_lives >= TRIES:
                raise Refused(f"The {name} {ended}, the {TRIES}th time in a row: its last lines above say why.")
        self._write("up", f"{name} {ended}; it is started again in {program.wait_seconds:g} s")
        program.start_again_at = now + program.wait_seconds
        program.wait_seconds = min(program.wait_seconds * 2, LONGEST_WAIT_SECONDS)

    def _clear_away(self, program: _Program) -> None:
        """Kill the descendants of a process that has ended, and write its last lines."""
        program.child.kill()
        until = time.monotonic() + DRAIN_SECONDS
        for key in [key for key in self._selector.get_map().values() if key.data is program]:
            while time.monotonic() < until and key.fd in self._selector.get_map():
                self._pass_on(TICK_SECONDS)
            with contextlib.suppress(KeyError):
                self._selector.unregister(key.fileobj)

    def _stop(self, requests: Requests) -> None:
        """Scheduler first, then the worker; the servers are stopped by whoever started them."""
        self._write("up", "stopping")
        for program in reversed(self._ours):
            until = time.monotonic() + program.stop_seconds
            program.child.tell(program.child.stop_signal)
            told = False
            while program.child.is_running and time.monotonic() < until and requests.count < 2:
                self._pass_on(TICK_SECONDS)
                if not told and time.monotonic() > until - program.stop_seconds + 2:
                    told = True
                    self._write("up", f"waiting for the {program.child.name}; Ctrl-C again kills it")
            self._clear_away(program)
        self._selector.close()


def _how_it_ended(exit_code: int | None) -> str:
    if exit_code is not None and exit_code < 0:
        with contextlib.suppress(ValueError):
            return f"was ended by {signal.Signals(-exit_code).name}"
    return f"ended with exit code {exit_code}"


def script(name: str) -> str:
    """A command that was installed with us."""
    beside = Path(sys.executable).parent / name
    found = os.fspath(beside) if beside.exists() else shutil.which(name)
    if found is None:
        raise Refused(f"The command {name} is missing: install autoposter anew.")
    return found
