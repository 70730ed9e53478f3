"""A worker that is or becomes unfit as `UNFIT` says, soon after its start: `dramatiq unfit`."""

import os
import time
from datetime import timedelta

from autoposter import duty, heartbeat


def _hang(_: heartbeat.Heartbeat) -> timedelta:
    time.sleep(3600)
    raise AssertionError("nobody waits so long")


def _die(_: heartbeat.Heartbeat) -> timedelta:
    raise SystemExit("out of threads")


def _never_begin(_: duty.Duty) -> None:
    raise RuntimeError("can't start new thread")


duty.HANGS_AFTER = timedelta(seconds=1)
match os.environ["UNFIT"]:
    case "hangs":
        heartbeat.Heartbeat.beat = _hang  # type: ignore[method-assign]
    case "dies":
        heartbeat.Heartbeat.beat = _die  # type: ignore[method-assign]
    case "never begins":
        duty.Duty.start = _never_begin  # type: ignore[method-assign]

from autoposter.actors import broker  # noqa: E402, F401 # after the change above: importing it builds the worker
