"""The real commands as processes, with their output in files, and nothing of them left at the end."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")


class Running:
    """One command that was started."""

    def __init__(self, name: str, popen: subprocess.Popen[bytes], log: Path) -> None:
        self.name = name
        self.popen = popen
        self.log = log

    @property
    def pid(self) -> int:
        return self.popen.pid

    @property
    def output(self) -> str:
        """What it wrote so far, stdout and stderr."""
        return self.log.read_text(encoding="utf-8", errors="replace")

    def kill_group(self, signal_number: int = signal.SIGKILL) -> None:
        """Signal it and all its descendants that stayed in its group."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.popen.pid, signal_number)

    def end(self, timeout: float = 15.0) -> int:
        """Ask it to end as a supervisor would; its exit code (after `timeout` seconds it is killed: -9)."""
        self.popen.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.popen.wait(timeout)
        self.kill_group()
        return self.popen.wait()


class Processes:
    """Starts commands of this environment (`dramatiq`, `periodiq`, `autoposter`), with our settings and no others.

    A command that is a whole path may be another environment's.
    """

    def __init__(self, folder: Path, settings: Mapping[str, str]) -> None:
        self.folder = folder
        self._settings = dict(settings)
        self._all: list[Running] = []

    def start(self, *command: str, cwd: Path | None = None, **settings: str) -> Running:
        """Start a command; `settings` are environment variables added for it alone."""
        environment = {name: value for name, value in os.environ.items() if not name.startswith("AUTOPOSTER_")}
        environment |= self._settings | settings
        log = self.folder / f"{len(self._all) + 1:02}-{Path(command[0]).name}.log"
        program = Path(sys.executable).parent / command[0]
        with log.open("wb") as output:
            popen = subprocess.Popen(
                [str(program), *command[1:]],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=cwd or self.folder,
                env=environment,
                start_new_session=True,
            )
        self._all.append(Running(command[0], popen, log))
        return self._all[-1]

    def tell(self, **settings: str) -> None:
        """Settings of what is started from now on."""
        self._settings |= settings

    def worker(self, *, processes: int = 1, threads: int = 4, **settings: str) -> Running:
        """`dramatiq autoposter.actors`."""
        options = ["--processes", str(processes), "--threads", str(threads)]
        return self.start("dramatiq", "autoposter.actors", *options, **settings)

    def scheduler(self, **settings: str) -> Running:
        """`periodiq autoposter.actors`."""
        return self.start("periodiq", "autoposter.actors", **settings)

    def end_all(self) -> None:
        """Kill all of them, with their descendants."""
        for running in self._all:
            running.kill_group()
            running.popen.wait()

    def report(self) -> str:
        """The end of each log, for a failed test."""
        return "\n".join(f"--- {running.log.name}\n{running.output[-4000:]}" for running in self._all)


def wait_until(condition: Callable[[], T], timeout: float = 10.0, message: str | Callable[[], Any] = "") -> T:
    """Ask until the answer is true, and return it; after `timeout` seconds the test fails with the message."""
    import time

    until = time.monotonic() + timeout
    while True:
        answer = condition()
        if answer:
            return answer
        if time.monotonic() > until:
            said = message() if callable(message) else message
            raise AssertionError(f"after {timeout} s still not: {said or getattr(condition, '__name__', 'true')}")
        time.sleep(0.02)
