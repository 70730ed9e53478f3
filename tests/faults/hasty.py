"""A worker that gives hung publishers one second of grace instead of thirty: `dramatiq faults.hasty`."""

from datetime import timedelta

from autoposter import publishing

publishing.GRACE = timedelta(seconds=1)

from autoposter.actors import broker  # noqa: E402, F401 # after the change above: importing it builds the worker
