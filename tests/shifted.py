"""A worker on a machine whose clock is wrong by `SHIFT` seconds: `dramatiq shifted`."""

import os
import time

from dramatiq import common

_right = time.time


def _wrong() -> float:
    return _right() + float(os.environ["SHIFT"])


time.time = common.time = _wrong  # type: ignore[attr-defined] # Dramatiq keeps a name of its own for it

from autoposter.actors import broker  # noqa: E402, F401 # after the change above: importing it builds the worker
