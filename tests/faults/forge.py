"""Forks processes that each do one thing, struck by one fault.  Run as a program; `Forge` starts it.

Everything is imported once; a fork then costs milliseconds.  It reads orders from stdin, one JSON line each, and
answers each with one line.  What an order does is what a worker's actors do, with nothing around it.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from queue import Queue
from threading import Lock
from typing import Any

from faults.injection import Fault, Moment, Strike

#: A process that takes longer is ended by SIGALRM: what a test took away may have been what ends a loop.
LONGEST_SECONDS = 120


@dataclass(frozen=True)
class Order:
    """What a process is to do."""

    do: str
    """`publish` a post, `look` at a job, `recover` everything, ... (see `deeds`)."""
    what: int = 0
    """The post or the job."""
    strike: Strike | None = None
    remove: Mapping[str, str] = field(default_factory=dict)
    """Safeguards to take out of the SQL statements: text by text."""
    sabotage: Sequence[str] = ()
    """Safeguards to take out of the code: names of `sabotage`'s functions."""


@dataclass(frozen=True)
class Ran:
    """What became of it."""

    order: Order
    by: int
    """Which of the forge's programs is its parent."""
    pid: int
    ended: int | None
    """The exit code, or minus the signal; None: it is stopped and waits for SIGCONT."""
    steps: tuple[str, ...]
    trace: str
    """What it raised, if anything."""
    removed: tuple[str, ...]
    """Which of the texts to remove were met."""
    seconds: float
    """How long it took."""

    @property
    def was_struck(self) -> bool:
        """Whether it came as far as the step of its strike."""
        return self.order.strike is not None and len(self.steps) >= self.order.strike.at

    def __str__(self) -> str:
        strike = self.order.strike
        if strike is None:
            return f"{self.order.do} {self.order.what}"
        step = self.steps[strike.at - 1] if self.was_struck else "never reached"
        return f"{self.order.do} {self.order.what}, {strike.fault} {strike.moment} step {strike.at} ({step})"


class Forge:
    """Several forking programs, each doing one order at a time.  A second of CPU each: one forge for a run."""

    def __init__(self, folder: Path, size: int = 3) -> None:
        self._folder = folder
        self.environment: Mapping[str, str] = {}
        """The settings of what is forked from now on."""
        self._frozen: dict[int, Ran] = {}
        self._started = [self._start(number) for number in range(size)]
        self._locks = [Lock() for _ in self._started]
        self._free: Queue[int] = Queue()
        for number in range(size):
            self._free.put(number)
        self._threads = ThreadPoolExecutor(size)

    def _start(self, number: int) -> subprocess.Popen[str]:
        with (self._folder / f"forge-{number}.log").open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "faults.forge", str(self._folder)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env={name: value for name, value in os.environ.items() if not name.startswith("AUTOPOSTER_")}
                | {"PYTHONPATH": os.pathsep.join([str(Path(__file__).parent.parent), str(self._folder)])},
                text=True,
            )

    def run(self, order: Order) -> Ran:
        """Do it and wait until it has ended, or is stopped."""
        number = self._free.get()
        try:
            return self._run(order, number)
        finally:
            self._free.put(number)

    def _run(self, order: Order, number: int) -> Ran:
        program = self._started[number]
        assert program.stdin is not None and program.stdout is not None
        with self._locks[number]:
            began = time.monotonic()
            program.stdin.write(json.dumps(asdict(order) | {"environment": dict(self.environment)}) + "\n")
            program.stdin.flush()
            answer = program.stdout.readline()
        assert answer, f"the forge has ended; its log is in {self._folder}"
        told = json.loads(answer)
        ran = Ran(
            order=order,
            by=number,
            pid=told["pid"],
            ended=told["ended"],
            steps=tuple(told["steps"]),
            trace=told["trace"],
            removed=tuple(told["removed"]),
            seconds=time.monotonic() - began,
        )
        if ran.ended is None:
            self._frozen[ran.pid] = ran
        return ran

    def start(self, order: Order) -> Future[Ran]:
        """The same, without waiting."""
        return self._threads.submit(self.run, order)

    def run_all(self, orders: Sequence[Order]) -> list[Ran]:
        """Do all of them, as many at once as there are programs."""
        return list(self._threads.map(self.run, orders))

    def thaw(self, ran: Ran) -> Ran:
        """Let a stopped process go on, and wait until it has ended."""
        if self._frozen.pop(ran.pid, None) is None:
            return ran
        return replace(self._run(Order("thaw", ran.pid), ran.by), order=ran.order)

    def kill_frozen(self) -> None:
        """End what is still stopped."""
        for ran in self._frozen.values():
            os.kill(ran.pid, signal.SIGKILL)
            self._run(Order("thaw", ran.pid), ran.by)
        self._frozen.clear()

    def close(self) -> None:
        """End the programs."""
        self.kill_frozen()
        self._threads.shutdown(cancel_futures=True)
        for program in self._started:
            assert program.stdin is not None
            program.stdin.close()
        for program in self._started:
            program.wait(30)


# --- The program ---------------------------------------------------------------------------------------------------


def main(folder: Path) -> None:
    """Take orders until stdin ends."""
    from faults import deeds, injection

    injection.install()
    stopped: dict[int, Path] = {}
    for number, line in enumerate(sys.stdin):
        order = json.loads(line)
        prefix = folder / f"{os.getpid()}-{number}"
        if order["do"] == "thaw":
            pid = order["what"]
            prefix = stopped.pop(pid)
            os.kill(pid, signal.SIGCONT)
        else:
            pid = _fork(order, prefix, deeds.DEEDS)
        _, status = os.waitpid(pid, os.WUNTRACED)
        if os.WIFSTOPPED(status):
            stopped[pid] = prefix
        print(json.dumps(_told(pid, status, prefix)), flush=True)


def _fork(order: dict[str, Any], prefix: Path, deeds: Mapping[str, Any]) -> int:
    from faults import injection, sabotage

    pid = os.fork()
    if pid:
        return pid
    try:
        signal.alarm(LONGEST_SECONDS)
        os.environ.update(order["environment"])
        injection.remove(order["remove"], Path(f"{prefix}.removed"))
        for name in order["sabotage"]:
            getattr(sabotage, name)()
        strike = order["strike"]
        trace = os.open(f"{prefix}.steps", os.O_CREAT | os.O_APPEND | os.O_WRONLY)
        deeds[order["do"]](
            order["what"],
            lambda: injection.arm(
                Strike(**strike | {"fault": Fault(strike["fault"]), "moment": Moment(strike["moment"])})
                if strike
                else None,
                trace,
            ),
        )
    except BaseException:
        Path(f"{prefix}.trace").write_text(traceback.format_exc())
        os._exit(1)
    os._exit(0)


def _told(pid: int, status: int, prefix: Path) -> dict[str, Any]:
    return {
        "pid": pid,
        "ended": None if os.WIFSTOPPED(status) else os.waitstatus_to_exitcode(status),
        "steps": _lines(f"{prefix}.steps"),
        "trace": "\n".join(_lines(f"{prefix}.trace")),
        "removed": _lines(f"{prefix}.removed"),
    }


def _lines(path: str) -> list[str]:
    return Path(path).read_text().splitlines() if Path(path).exists() else []


if __name__ == "__main__":
    main(Path(sys.argv[1]))
