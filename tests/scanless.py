"""A worker whose heartbeat does not scan: `dramatiq scanless`.  Only periodiq's minute scan finds posts then."""

from datetime import timedelta

from autoposter.worker import BEAT, WorkerDuties


def _scan_nothing(duties: WorkerDuties) -> timedelta:
    return BEAT


WorkerDuties._scan_once = _scan_nothing  # type: ignore[method-assign]

from autoposter.actors import broker  # noqa: E402, F401 # after the change above: importing it builds the worker
