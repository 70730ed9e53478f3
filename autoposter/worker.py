"""What a worker process does besides publishing: heartbeat, scan, watchdog, tuning.

Three threads, each with one duty, so that none waits for another's outage, nor for the threads that publish:
the heartbeat (PostgreSQL: clock, leases, take-over), the scan (PostgreSQL and Redis), the watchdog (no I/O).
"""

from __future__ import annotations

import logging
import os
import platform
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from importlib.metadata import version

import dramatiq
from dramatiq.middleware import SkipMessage

from autoposter.clock import CLOCK_TOLERANCE
from autoposter.database import DATABASE_AWAY, DATABASE_ERROR, OwnConnection, database_time, reason_away
from autoposter.duty import BEAT, Duty
from autoposter.errors import AutoposterError
from autoposter.heartbeat import Heartbeat
from autoposter.migrations import require_current_schema
from autoposter.publishers.http import tls_context
from autoposter.scanning import Found
from autoposter.store import workers
from autoposter.workbench import Workbench
from autoposter.workqueue import WorkQueue

log = logging.getLogger(__name__)

#: What is not urgent (late posts, strays) is done this often by each worker, so that it needs no scheduler.
CHORES = timedelta(minutes=1)

#: While overdue posts wait, the scan comes back so soon.
SCAN_AGAIN = timedelta(milliseconds=300)

#: How often an idle thread looks whether it is to end, in milliseconds, if nothing wakes it up before (`WorkQueue`).
WORKER_TIMEOUT_MS = 60_000

#: How soon a consumer that lost its broker begins anew.  With Dramatiq's 3 s posts were 3.0 s late (p99) when Redis was
#: restarted with its data.
RESTART_CONSUMER = timedelta(milliseconds=250)

#: When more than this share of the threads is lost to hung publishers, the process ends itself.
LOST_SHARE = 0.25

#: How long a process that ends itself waits for what can still be settled.
LAST_WAIT = timedelta(seconds=60)

#: How long a process that ends waits for what listeners of plugins were told: half of what `docker stop` gives it.
LAST_WORDS = timedelta(seconds=5)

#: The exit code of a process that ended itself because it was no longer fit; a supervisor starts it anew.
EXIT_UNFIT = 70


class WorkerDuties(dramatiq.Middleware):
    """Starts and stops the threads with Dramatiq's worker."""

    def __init__(
        self,
        bench: Workbench,
        *,
        scan: Callable[[], Found],
        chores: Callable[[], None],
        threads_known: Callable[[int], None],
        stopping: Callable[[], None],
    ) -> None:
        self._bench = bench
        self._scan = scan
        self._chores = chores
        self._threads_known = threads_known
        self._say_stopping = stopping
        self._booted_at = time.monotonic()
        self._parent = os.getppid()
        self._last_chores: float | None = None
        self._minute_scan_seen = threading.Event()
        self._clock_is_wrong = False
        self._stopping = threading.Event()
        self._stopped = threading.Event()
        self._unfit = threading.Event()
        self._duties: list[Duty] = []
        self._heartbeat = Heartbeat(bench, self._sign_of_life)
        self._scans_connection = OwnConnection()
        self._row = workers.WorkerRow(
            id=bench.worker,
            host=platform.node(),
            pid=os.getpid(),
            version=version("autoposter"),
            platforms=bench.host.platforms(),
            clock_offset=timedelta(0),
        )

    # --- Dramatiq's signals ---

    def before_worker_boot(self, broker: dramatiq.Broker, worker: dramatiq.Worker) -> None:
        """Tune Dramatiq, refuse a database that does not fit, and begin the duties.

        Raises nothing but SystemExit: Dramatiq logs all else and goes on, and would publish without leases, scan and
        watchdog.
        """
        try:
            self._boot(worker)
        except Exception:
            log.critical("this worker cannot start", exc_info=True)
            raise SystemExit(EXIT_UNFIT) from None

    def _boot(self, worker: dramatiq.Worker) -> None:
        worker.worker_timeout = WORKER_TIMEOUT_MS
        worker.work_queue = WorkQueue()
        dramatiq.worker.CONSUMER_RESTART_DELAY_SECS = RESTART_CONSUMER.total_seconds()
        # What a process fetches beyond its free threads, others' idle threads could publish.  Of 16 posts due at once,
        # with calls of 1 s and two processes of 8 threads, half were 1.06 s late with 64, all at most 0.02 s with 8.
        worker.queue_prefetch = worker.worker_threads
        self._threads_known(worker.worker_threads)
        tls_context()  # 25 to 46 ms of CPU, which the first post should not wait for
        self._open_database()
        log.info(
            "worker %s (autoposter %s) starts with %s threads; platforms: %s",
            self._row.id,
            self._row.version,
            worker.worker_threads,
            ", ".join(self._row.platforms) or "none",
        )
        self._duties = [
            Duty("heartbeat", self._heartbeat.beat, until=self._stopped),
            Duty("scan", self._scan_once, until=self._stopping),
        ]
        for duty in self._duties:
            duty.start()
        threading.Thread(target=self._watch, args=(worker,), name="watchdog", daemon=True).start()

    def before_process_message(self, broker: dramatiq.Broker, message: dramatiq.broker.MessageProxy) -> None:
        """A process that is about to end itself begins nothing."""
        if self._unfit.is_set():
            raise SkipMessage

    def before_worker_shutdown(self, broker: dramatiq.Broker, worker: dramatiq.Worker) -> None:
        """Dispatch nothing more; leases are renewed until all attempts have ended."""
        assert isinstance(worker.work_queue, WorkQueue)
        worker.work_queue.end()
        log.info("worker %s stops; %s attempts are under way", self._row.id, self._bench.leases.held())
        self._stopping.set()
        self._say_stopping()

    def after_worker_shutdown(self, broker: dramatiq.Broker, worker: dramatiq.Worker) -> None:
        """Everything has ended."""
        self._bench.host.finish_telling(LAST_WORDS)
        self._stopped.set()
        try:
            workers.gone(self._row.id)
        except DATABASE_AWAY as error:
            log.warning("worker %s could not sign off: %s", self._row.id, error)

    # --- duties ---

    def _open_database(self) -> None:
        try:
            require_current_schema()
            for _ in range(5):
                self._bench.clock.measure(database_time)
            self._sign_of_life()
        except AutoposterError as error:
            log.critical("%s", error)
            raise SystemExit(error.exit_code) from None
        except DATABASE_AWAY as error:
            log.critical("The database cannot be reached: %s", error)
            raise SystemExit(3) from None
        except DATABASE_ERROR as error:  # a standby in the midst of a failover, or a user without rights
            log.critical("The database refuses this worker: %s", reason_away(error))
            raise SystemExit(3) from None

    def _scan_once(self) -> timedelta:
        with self._scans_connection.in_use():
            self._heartbeat.tell()
            found = self._scan()
            self._do_chores()
        return SCAN_AGAIN if found.more else BEAT

    def _do_chores(self) -> None:
        now = time.monotonic()
        if self._last_chores is None or now - self._last_chores >= CHORES.total_seconds():
            self._last_chores = now
            self._chores()
            up_for = timedelta(seconds=now - self._booted_at)
            if up_for > workers.MINUTE_SCAN_MISSED and not workers.minute_scan_ran(workers.MINUTE_SCAN_MISSED):
                log.warning(
                    "no minute scan for %s: is `periodiq autoposter.actors` running?  Posts go out all the same.",
                    workers.MINUTE_SCAN_MISSED,
                )

    def minute_scan_ran(self) -> None:
        """Note that periodiq's scan ran in this process; the worker's row says so from its next sign of life on."""
        self._minute_scan_seen.set()

    def _sign_of_life(self) -> None:
        offset = self._bench.clock.offset_from_wall
        if abs(offset) > CLOCK_TOLERANCE and not self._clock_is_wrong:
            way = "behind" if offset > timedelta(0) else "ahead of"
            log.warning(
                "this machine's clock is %.1f s %s the database's, which counts", abs(offset.total_seconds()), way
            )
        self._clock_is_wrong = abs(offset) > CLOCK_TOLERANCE
        row = replace(self._row, platforms=self._bench.host.platforms(), clock_offset=offset)
        workers.seen(row, scanned=self._minute_scan_seen.is_set())
        self._minute_scan_seen.clear()

    def _watch(self, worker: dramatiq.Worker) -> None:
        suspected = False
        while not self._stopped.wait(BEAT.total_seconds()):
            why = self._unfitness(worker)
            # Twice in a row: a process that was frozen wakes up with all its deadlines over, and is fit a moment later.
            if why and suspected:
                log.critical("worker %s is no longer fit (%s) and ends itself", self._row.id, why)
                self._unfit.set()
                self._wait_for_settlements()
                os._exit(EXIT_UNFIT)
            suspected = why is not None

    def _unfitness(self, worker: dramatiq.Worker) -> str | None:
        lost = self._bench.leases.lost()
        if self._stopping.is_set():
            # Dramatiq would wait for hung threads until its own, long timeout.
            return f"{lost} hung publishers" if lost and lost == self._bench.leases.held() else None
        if os.getppid() != self._parent:
            return "the dramatiq process that started it is gone"
        if trouble := next(filter(None, (duty.trouble for duty in self._duties)), None):
            return trouble
        if dead := [name for name, thread in list(worker.consumers.items()) if not thread.is_alive()]:
            return f"its consumer of {dead[0]} is dead"
        lost += sum(not thread.is_alive() for thread in worker.workers)
        return f"{lost} hung publishers" if lost > worker.worker_threads * LOST_SHARE else None

    def _wait_for_settlements(self) -> None:
        deadline = time.monotonic() + LAST_WAIT.total_seconds()
        while self._bench.leases.to_renew() and time.monotonic() < deadline:
            time.sleep(0.1)
