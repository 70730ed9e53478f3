"""A worker whose heartbeat ends as `UNFIT` says, soon after its start: `dramatiq unfit`."""

import os
import time
from datetime import timedelta

from autoposter import duty, heartbeat


def _hang(_: heartbeat.Heartbeat) -> timedelta:
    time.sleep(3600)
    raise AssertionError("nobody waits so long")


def _die(_: heartbeat.Heartbeat) -> timedelta:
    raise SystemExit("out of threads")


duty.HANGS_AFTER = timedelta(seconds=1)
heartbeat.Heartbeat.beat = {"hangs": _hang, "dies": _die}[os.environ["UNFIT"]]  # type: ignore[method-assign]

from autoposter.actors import broker  # noqa: E402, F401 # after the change above: importing it builds the worker
