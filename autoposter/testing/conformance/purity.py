"""Whether a function asks anything of the world: the clock, files, sockets, other processes."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, datetime
from types import FrameType
from typing import Any

#: Built-in functions by module and name.
WORLDLY = {
    **{("time", name): "the clock" for name in ("time", "time_ns", "monotonic", "perf_counter", "localtime", "gmtime")},
    ("time", "sleep"): "for time to pass",
    ("_io", "open"): "a file",
    ("io", "open"): "a file",
    ("posix", "open"): "a file",
    ("_socket", "getaddrinfo"): "the network",
    ("_posixsubprocess", "fork_exec"): "another process",
    ("posix", "system"): "another process",
}

#: Methods that tell the present time.
CLOCK_METHODS = {"now", "utcnow", "today"}

#: Methods of a socket that reach out.
SOCKET_METHODS = {"connect", "connect_ex", "sendto"}


@contextmanager
def asked_of_the_world() -> Iterator[list[str]]:
    """What the code inside asks of the world, in this thread.  Logging is left out."""
    asked: list[str] = []

    def profile(frame: FrameType, event: str, called: Any) -> None:
        if event != "c_call" or str(frame.f_globals.get("__name__")).startswith("logging"):
            return
        if what := _worldly(called):
            asked.append(what)

    before = sys.getprofile()
    sys.setprofile(profile)
    try:
        yield asked
    finally:
        sys.setprofile(before)


def _worldly(called: Any) -> str | None:
    name, owner = getattr(called, "__name__", ""), getattr(called, "__self__", None)
    if isinstance(owner, type) and issubclass(owner, date) and name in CLOCK_METHODS:
        return f"the clock ({'datetime' if issubclass(owner, datetime) else 'date'}.{name})"
    if name in SOCKET_METHODS and type(owner).__module__ in ("socket", "_socket", "ssl"):
        return f"the network (socket.{name})"
    what = WORLDLY.get((getattr(called, "__module__", None) or "", name))
    return f"{what} ({name})" if what else None
