"""A worker process that is not fit, or is so no longer, ends itself, so that a supervisor starts it anew."""

from __future__ import annotations

from pathlib import Path

import pytest
from factories import Factories
from processes import Processes

from autoposter.worker import EXIT_UNFIT


@pytest.mark.parametrize(("end", "said"), [("hangs", "heartbeat thread hangs"), ("dies", "heartbeat thread is dead")])
def test_a_worker_without_a_heartbeat_ends_itself(run_processes: Processes, end: str, said: str) -> None:
    folder = str(Path(__file__).parent)
    options = ("--processes", "1", "--threads", "2", "--path", folder)

    worker = run_processes.start("dramatiq", "unfit", *options, UNFIT=end)

    assert worker.popen.wait(20) == EXIT_UNFIT
    assert said in worker.output


def test_a_worker_that_cannot_write_to_its_database_does_not_start(run_processes: Processes, fresh: Factories) -> None:
    """As one that meets a standby in the midst of a failover: without duties it would publish, and nobody notice."""
    fresh.query(
        f"alter database {fresh.query('select current_database()')[0][0]} set default_transaction_read_only = on"
    )

    worker = run_processes.start("dramatiq", "autoposter.actors", "--processes", "1", "--threads", "2")

    assert worker.popen.wait(20) == 3
    assert "The database refuses this worker: cannot execute INSERT in a read-only transaction" in worker.output
    assert "Traceback" not in worker.output


def test_a_worker_that_cannot_begin_its_duties_does_not_start(run_processes: Processes) -> None:
    folder = str(Path(__file__).parent)

    worker = run_processes.start(
        "dramatiq", "unfit", "--processes", "1", "--threads", "2", "--path", folder, UNFIT="never begins"
    )

    assert worker.popen.wait(20) == EXIT_UNFIT
    assert "this worker cannot start" in worker.output
    assert "can't start new thread" in worker.output
