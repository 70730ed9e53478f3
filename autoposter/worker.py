"""What a worker process does besides publishing: heartbeat, scan, watchdog, tuning.

Three threads, each with one duty, so that none waits for another's outage:
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
import redis
from dramatiq.middleware import SkipMessage

from autoposter.database import DATABASE_AWAY, database_time
from autoposter.errors import AutoposterError
from autoposter.lifecycle import RetryPolicy
from autoposter.migrations import require_current_schema
from autoposter.publishers.http import tls_context
from autoposter.recovery import take_over_expired
from autoposter.scanning import Found
from autoposter.store import leases, workers
from autoposter.workbench import Workbench

log = logging.getLogger(__name__)

#: Of each of the threads.
BEAT = timedelta(seconds=1)

#: Leases (10 s) are renewed this often: two lost renewals are survived.
RENEWAL = timedelta(seconds=3)

#: The worker's row is written this often.
SIGN_OF_LIFE = timedelta(seconds=5)

#: Expired leases are looked for only after so long without a failed or missing beat: after an outage of the database
#: the living renew or settle first, and nothing expires in masses.
UNBROKEN = leases.LEASE

#: What is not urgent (late posts, strays) is done this often by each worker, so that it needs no scheduler.
CHORES = timedelta(minutes=1)

#: Without periodiq's scan for so long, the scheduler counts as gone.
MINUTE_SCAN_MISSED = timedelta(minutes=3)

#: While overdue posts wait, the scan comes back so soon.
SCAN_AGAIN = timedelta(milliseconds=100)

#: How often Dramatiq looks at its delay queue, in milliseconds.  Its default of 1000 made posts 480 ms late (p50).
WORKER_TIMEOUT_MS = 50

#: Messages a process fetches ahead; never fewer than it has threads, or some would idle.  Dramatiq's default capped a
#: no-op actor at 266 messages/s per thread; 64 took 2 x 8 threads from 4,253/s to 12,101/s.
PREFETCH = 64

#: When more than this share of the threads is lost to hung publishers, the process ends itself.
LOST_SHARE = 0.25

#: How long a process that ends itself waits for what can still be settled.
LAST_WAIT = timedelta(seconds=60)

#: How long a process that ends waits for what listeners of plugins were told: half of what `docker stop` gives it.
LAST_WORDS = timedelta(seconds=5)

#: The exit code of a process that ended itself because it was no longer fit; a supervisor starts it anew.
EXIT_UNFIT = 70

#: A clock further from the database's than this is worth a warning.
CLOCK_TOLERANCE = timedelta(seconds=2)


class WorkerDuties(dramatiq.Middleware):
    """Starts and stops the threads with Dramatiq's worker."""

    def __init__(
        self,
        bench: Workbench,
        *,
        scan: Callable[[], Found],
        chores: Callable[[], None],
        threads_known: Callable[[int], None],
    ) -> None:
        self._bench = bench
        self._scan = scan
        self._chores = chores
        self._threads_known = threads_known
        self._booted_at = time.monotonic()
        self._parent = os.getppid()
        self._last_chores: float | None = None
        self._minute_scan_seen = threading.Event()
        self._stopping = threading.Event()
        self._stopped = threading.Event()
        self._unfit = threading.Event()
        self._threads: list[threading.Thread] = []
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
        """Tune Dramatiq, refuse a database that does not fit, and begin the duties."""
        worker.worker_timeout = WORKER_TIMEOUT_MS
        worker.queue_prefetch = max(PREFETCH, worker.worker_threads)
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
        heartbeat = Heartbeat(self._bench, self._sign_of_life)
        for name, duty in (("heartbeat", heartbeat.beat), ("scan", self._scan_once)):
            self._start(name, duty, until=self._stopped if name == "heartbeat" else self._stopping)
        threading.Thread(target=self._watch, args=(worker,), name="watchdog", daemon=True).start()

    def before_process_message(self, broker: dramatiq.Broker, message: dramatiq.broker.MessageProxy) -> None:
        """A process that is about to end itself begins nothing."""
        if self._unfit.is_set():
            raise SkipMessage

    def before_worker_shutdown(self, broker: dramatiq.Broker, worker: dramatiq.Worker) -> None:
        """Dispatch nothing more; leases are renewed until all attempts have ended."""
        log.info("worker %s stops; %s attempts are under way", self._row.id, self._bench.leases.held())
        self._stopping.set()

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

    def _start(self, name: str, duty: Callable[[], timedelta], *, until: threading.Event) -> None:
        def repeat() -> None:
            while not until.wait(duty().total_seconds()):
                pass

        thread = threading.Thread(target=repeat, name=name, daemon=True)
        thread.start()
        self._threads.append(thread)

    def _scan_once(self) -> timedelta:
        try:
            found = self._scan()
            self._do_chores()
        except DATABASE_AWAY as error:
            log.warning("the scan waits for the database: %s", error)
        except redis.RedisError as error:
            log.warning("the scan waits for the broker: %s", error)
        except Exception:
            log.exception("the scan failed")
        else:
            return SCAN_AGAIN if found.more else BEAT
        return BEAT

    def _do_chores(self) -> None:
        now = time.monotonic()
        if self._last_chores is None or now - self._last_chores >= CHORES.total_seconds():
            self._last_chores = now
            self._chores()
            up_for = timedelta(seconds=now - self._booted_at)
            if up_for > MINUTE_SCAN_MISSED and not workers.minute_scan_ran(MINUTE_SCAN_MISSED):
                log.warning(
                    "no minute scan for %s: is `periodiq autoposter.actors` running?  Posts go out all the same.",
                    MINUTE_SCAN_MISSED,
                )

    def minute_scan_ran(self) -> None:
        """Note that periodiq's scan ran in this process; the worker's row says so from its next sign of life on."""
        self._minute_scan_seen.set()

    def _sign_of_life(self) -> None:
        offset = self._bench.clock.offset_from_wall
        if abs(offset) > CLOCK_TOLERANCE:
            log.warning("this machine's clock is %s away from the database's, which counts", offset)
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
        dead = [thread.name for thread in self._threads if not thread.is_alive()]
        dead += [f"consumer of {name}" for name, thread in list(worker.consumers.items()) if not thread.is_alive()]
        if dead:
            return f"its {dead[0]} thread is dead"
        lost += sum(not thread.is_alive() for thread in worker.workers)
        return f"{lost} hung publishers" if lost > worker.worker_threads * LOST_SHARE else None

    def _wait_for_settlements(self) -> None:
        deadline = time.monotonic() + LAST_WAIT.total_seconds()
        while self._bench.leases.to_renew() and time.monotonic() < deadline:
            time.sleep(0.1)


class Heartbeat:
    """Once a second: measure the clock, renew leases, take over dead ones."""

    def __init__(self, bench: Workbench, sign_of_life: Callable[[], None]) -> None:
        self._bench = bench
        self._sign_of_life = sign_of_life
        self._unbroken_since: float | None = None
        self._last_beat = self._last_renewal = self._last_sign = 0.0

    def beat(self) -> timedelta:
        """One beat; returns when the next one comes."""
        try:
            self._beat(self._bench.policy)
        except DATABASE_AWAY as error:
            self._unbroken_since = None
            log.warning("the heartbeat waits for the database: %s", error)
        except Exception:
            self._unbroken_since = None
            log.exception("the heartbeat failed")
        return BEAT

    def _beat(self, policy: RetryPolicy) -> None:
        started = time.monotonic()
        if started - self._last_beat > 3 * BEAT.total_seconds():
            self._unbroken_since = None  # frozen, or held up: the others may have taken our leases
        self._bench.clock.measure(database_time)
        if started - self._last_renewal >= RENEWAL.total_seconds() or self._unbroken_since is None:
            if held := self._bench.leases.to_renew():
                leases.renew(held, worker=self._bench.worker)
            self._last_renewal = started
        if started - self._last_sign >= SIGN_OF_LIFE.total_seconds():
            self._sign_of_life()
            self._last_sign = started
        self._unbroken_since = self._unbroken_since or started
        if started - self._unbroken_since >= UNBROKEN.total_seconds():
            take_over_expired(policy, self._bench.announce)
        self._last_beat = time.monotonic()
