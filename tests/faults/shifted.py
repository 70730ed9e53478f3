"""A worker whose wall clock is wrong by as many seconds as a file says at the moment: `dramatiq faults.shifted`.

The file, named by `FAULTS_CLOCK`, holds one double.  Whoever writes it has the clock jump, forward or back.
"""

import mmap
import os
import struct
import time

import dramatiq.common

_wrong_by = mmap.mmap(os.open(os.environ["FAULTS_CLOCK"], os.O_RDONLY), struct.calcsize("d"), access=mmap.ACCESS_READ)
_right = time.time


def _wrong() -> float:
    return float(_right() + struct.unpack("d", _wrong_by)[0])


time.time = _wrong
dramatiq.common.time = _wrong  # type: ignore[attr-defined] # it took the function by its name; messages fall due by it

from autoposter.actors import broker  # noqa: E402, F401 # after the change above, so that nothing has the right one
