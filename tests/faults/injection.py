"""Strikes a process at its N-th input or output.  Loaded only into processes that a fault test starts.

Every SQL statement (COMMIT is one, BEGIN a part of the first), opened connection, socket call and sleep of the armed
thread is one step; for a process that is to be frozen each look at the clock too, since what it saw is then no longer
true.  They are wrapped where Python leaves for the system, so that nothing in the code under test knows about it, and
nothing that it does escapes.

It also takes safeguards out of its statements (`remove`).
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import psycopg2
import psycopg2.extensions
from faults.removal import rewritten

from autoposter import plans


class Fault(StrEnum):
    """What happens at the step."""

    KILL = "kill"
    """SIGKILL: nothing more is done or written."""
    ERROR = "error"
    """The connection is cut, and an error raised: instead of the step, or after it was done (its answer was lost)."""
    LOST = "lost"
    """The connection is cut: the database ends the session, the socket is shut.  Whoever uses it next meets that."""
    FREEZE = "freeze"
    """SIGSTOP, until somebody sends SIGCONT."""


class Moment(StrEnum):
    """On which side of the step."""

    BEFORE = "before"
    AFTER = "after"


@dataclass(frozen=True)
class Strike:
    """One fault at one step."""

    fault: Fault
    moment: Moment
    at: int
    """1, 2, ..."""
    of: str = ""
    """Counted are the steps with this in their names."""


@dataclass
class Steps:
    """What the armed thread has done so far."""

    strike: Strike | None
    trace: int
    """A file's descriptor: a line for each step, written before it is taken, so that it outlives us."""
    thread: int
    done: int = 0

    def counts(self, name: str) -> bool:
        """Whether this is a step for its fault."""
        if self.strike is None:
            return name not in CLOCKS
        return self.strike.of in name and (name not in CLOCKS or self.strike.fault is Fault.FREEZE)


#: Looks at the clock.
CLOCKS = {"time.monotonic", "time.time"}

_steps: Steps | None = None
_connect = psycopg2.connect


def arm(strike: Strike | None, trace: int) -> None:
    """Count the steps of the calling thread from now on, and strike at one of them."""
    global _steps
    _steps = Steps(strike, trace, threading.get_ident())


# --- One step ------------------------------------------------------------------------------------------------------


@contextmanager
def step(name: str, fail: Callable[[], Exception] | None, cut: Callable[[], None] | None) -> Iterator[None]:
    """Around one input or output.  `fail`: the error it may raise; `cut`: how its connection is lost."""
    steps = _steps
    if steps is None or steps.thread != threading.get_ident() or _striking.active or not steps.counts(name):
        yield
        return
    steps.done += 1
    number = steps.done
    os.write(steps.trace, f"{name}\n".encode())
    _strike_if(steps, number, Moment.BEFORE, fail, cut)
    yield
    _strike_if(steps, number, Moment.AFTER, fail, cut)


class _Striking(threading.local):
    active = False


_striking = _Striking()


def _strike_if(
    steps: Steps,
    number: int,
    moment: Moment,
    fail: Callable[[], Exception] | None,
    cut: Callable[[], None] | None,
) -> None:
    strike = steps.strike
    if strike is None or (strike.at, strike.moment) != (number, moment):
        return
    match strike.fault:
        case Fault.KILL:
            os.kill(os.getpid(), signal.SIGKILL)
        case Fault.FREEZE:
            os.kill(os.getpid(), signal.SIGSTOP)
        case Fault.ERROR:
            if fail is not None:
                _cut(cut)
                raise fail()
        case Fault.LOST:
            _cut(cut)


def _cut(cut: Callable[[], None] | None) -> None:
    if cut is not None:
        _striking.active = True
        try:
            cut()
        finally:
            _striking.active = False


# --- What is wrapped -----------------------------------------------------------------------------------------------


class Cursor(psycopg2.extensions.cursor):
    """Each statement is a step."""

    def execute(self, query: Any, vars: Any = None) -> Any:
        """Run one statement, rewritten where a test took a safeguard away."""
        query = rewritten(query, _removed, _tell)
        with step(_first_words(query), _database_fails, lambda: _end_session(self.connection)):
            return super().execute(query, vars)


_removed: dict[str, str] = {}
_told = Path()


def _tell(met: str) -> None:
    with _told.open("a") as file:
        file.write(f"{met}\n")


def remove(texts: dict[str, str], told: Path) -> None:
    """Replace these texts in every statement of this process, however spaced; `told` gets each that was met."""
    global _told
    _told = told
    _removed.update(texts)


class Connection(plans.Connection):
    """Hands out counting cursors, whatever kind it is asked for."""

    def run(self, statement: plans.Planned, parameters: Any, execute: Callable[..., Any]) -> Any:
        """As it stands where safeguards are taken away: in a plan, places have other names."""
        return execute(statement.plain, parameters) if _removed else super().run(statement, parameters, execute)

    def cursor(self, *arguments: Any, **options: Any) -> Any:
        """A cursor whose statements are steps."""
        return super().cursor(*arguments, **options | {"cursor_factory": Cursor})


def _connected(*arguments: Any, **options: Any) -> Any:
    with step("connect to the database", _database_fails, None):
        return _connect(*arguments, **options | {"connection_factory": Connection})


def _database_fails() -> Exception:
    return psycopg2.OperationalError("injected: the connection to the server was lost")


def _end_session(connection: Any) -> None:
    with contextlib.closing(_connect(connection.dsn)) as other, other.cursor() as cursor:
        cursor.execute("select pg_terminate_backend(%s, 2000)", (connection.info.backend_pid,))


def _first_words(query: Any) -> str:
    text = " ".join((query if isinstance(query, str) else str(query)).split())
    return f"sql {text[:70]}"


def _wrap_socket(name: str) -> None:
    original = getattr(socket.socket, name)

    def wrapped(self: socket.socket, *arguments: Any, **options: Any) -> Any:
        with step(f"socket {name}", _socket_fails, lambda: _shut(self)):
            return original(self, *arguments, **options)

    setattr(socket.socket, name, wrapped)


def _socket_fails() -> Exception:
    return ConnectionResetError("injected: connection reset by peer")


def _shut(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)


def _wrap_clock(name: str) -> None:
    original = getattr(time, name)

    def wrapped(*arguments: Any) -> Any:
        with step(f"time.{name}", None, None):
            return original(*arguments)

    setattr(time, name, wrapped)


def install() -> None:
    """Wrap everything.  Once per process, before it opens a connection."""
    psycopg2.connect = _connected
    for name in ("connect", "send", "sendall", "recv", "recv_into"):
        _wrap_socket(name)
    for name in ("sleep", "monotonic", "time"):
        _wrap_clock(name)
