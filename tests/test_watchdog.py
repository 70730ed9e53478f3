"""A worker process that is no longer fit ends itself, so that a supervisor starts it anew."""

from __future__ import annotations

from pathlib import Path

import pytest
from processes import Processes

from autoposter.worker import EXIT_UNFIT


@pytest.mark.parametrize(("end", "said"), [("hangs", "heartbeat thread hangs"), ("dies", "heartbeat thread is dead")])
def test_a_worker_without_a_heartbeat_ends_itself(run_processes: Processes, end: str, said: str) -> None:
    folder = str(Path(__file__).parent)
    options = ("--processes", "1", "--threads", "2", "--path", folder)

    worker = run_processes.start("dramatiq", "unfit", *options, UNFIT=end)

    assert worker.popen.wait(20) == EXIT_UNFIT
    assert said in worker.output
