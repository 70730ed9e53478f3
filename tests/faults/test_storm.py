"""Everything fails at once, at random, under load; then the wind drops, and the judge compares platform and books.

pytest tests/faults/test_storm.py -s                       half a minute of it
pytest tests/faults/test_storm.py -s --long --seed 7       ten minutes, another storm
"""

from __future__ import annotations

import random
import signal
import struct
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import psutil
import psycopg2
import redis
from faults.figures import Figures
from faults.machines import Machines
from processes import Running, wait_until

from autoposter.testing import rules
from autoposter.testing.rules import Reply, Rule

#: Retries without end: what is `Failed` in the end was given up for a reason that is none.
PATIENT = {"AUTOPOSTER_MAX_ATTEMPTS": "1000"}

#: What the platform does to the posts of a storm.
WEATHER: list[Rule] = [
    rules.slow(300, probability=0.1),
    rules.slow_to_publish(700, probability=0.1),
    rules.refuse_for_now(probability=0.05),
    rules.not_ok(probability=0.03),
    rules.rate_limit("1", probability=0.01),
    rules.rate_limit("date+2", probability=0.01),
    rules.outage(probability=0.03),
    rules.accept_then(Reply.RESET, probability=0.05),
    rules.accept_then(Reply.TRUNCATE, probability=0.03),
    rules.accept_then(Reply.SILENCE, probability=0.02),
    rules.accept_then(Reply.CLOSE, probability=0.02),
    rules.accept_then_answer(500, probability=0.03),
    rules.accept_then_answer(400, probability=0.03),
    rules.drop_unread(probability=0.03),
    rules.refuse(500, on="find", probability=0.1),
]

#: The newest posts, for another program to meddle with.
RECENT = "id = (select id from post_instance where status = '{}' order by random() limit 1)"


#: What the file of a clock says that is right.
RIGHT = struct.pack("d", 0.0)


def _ended(process: Running) -> bool:
    """Whether it is over; then nothing of it is left."""
    if process.popen.poll() is None:
        return False
    process.kill_group()
    return True


class Storm:
    """Does damage at random, all in one thread: a server ends with the thread that started it."""

    def __init__(self, machines: Machines, seed: int) -> None:
        self.machines = machines
        self.random = random.Random(seed)
        self.done: Counter[str] = Counter()
        # The servers of the tests forget what they committed last when they crash; that is no promise to be judged by.
        name = machines.rows.query("select current_database()")[0][0]
        machines.rows.query(f"alter database {name} set synchronous_commit = on")
        self._clocks = [machines.world.folder / f"clock-{number}" for number in range(2)]
        for clock in self._clocks:
            clock.write_bytes(RIGHT)
        self._workers = [self._started_worker(number) for number in range(2)]
        self._scheduler = machines.processes.scheduler()
        self._undo: list[tuple[float, Callable[[], None]]] = []
        self._deeds = [
            (4, self.kill_a_worker),
            (2, self.kill_a_workers_child),
            (1, self.stop_a_worker),
            (4, self.freeze_a_worker),
            (3, self.shift_a_clock),
            (1, self.kill_the_scheduler),
            (3, self.end_sessions),
            (1, self.restart_postgres_fast),
            (1, self.crash_postgres),
            (1, self.flush_redis),
            (1, self.restart_redis),
            (1, self.freeze_redis),
            (1, self.fill_redis),
            (1, self.make_redis_read_only),
            (3, self.cancel),
            (3, self.move),
            (3, self.save_a_stale_row),
        ]

    def rage(self, seconds: float) -> None:
        """Damage something every second or so."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            weights, deeds = zip(*self._deeds, strict=True)
            deed = self.random.choices(deeds, weights)[0]
            with suppress(psycopg2.OperationalError, psycopg2.InterfaceError, redis.RedisError, psutil.Error):
                deed()
                self.done[deed.__name__.replace("_", " ")] += 1
            self._supervise(self.random.uniform(0.2, 1.5))

    def drop(self) -> None:
        """The wind drops: everything runs, and the platform behaves."""
        for _, undo in self._undo:
            undo()
        self._undo.clear()
        self.machines.servers.start_postgres()
        self.machines.servers.start_valkey()
        self.machines.platform.follow()
        self._supervise(0)
        # After a storm the next look may be a quarter of an hour away; asking earlier is always safe.
        self.machines.rows.query("update publish_job set look_at = now() where status = 'unknown' and look_at > now()")

    def _supervise(self, seconds: float) -> None:
        """Undo what is over, and start what has ended, as a supervisor does."""
        until = time.monotonic() + seconds
        while True:
            for when, undo in list(self._undo):
                if when <= time.monotonic():
                    self._undo.remove((when, undo))
                    undo()
            for number, worker in enumerate(self._workers):
                if _ended(worker):
                    self._workers[number] = self._new_worker(number)
            if _ended(self._scheduler):
                self._scheduler = self.machines.processes.scheduler()
            if time.monotonic() >= until:
                return
            time.sleep(0.05)

    def _later(self, undo: Callable[[], None], shortest: float, longest: float) -> None:
        self._undo.append((time.monotonic() + self.random.uniform(shortest, longest), undo))

    def _new_worker(self, number: int) -> Running:
        command = ("dramatiq", "faults.shifted", "--processes", "1", "--threads", "8")
        return self.machines.processes.start(*command, FAULTS_CLOCK=str(self._clocks[number]), **PATIENT)

    def _started_worker(self, number: int) -> Running:
        worker = self._new_worker(number)
        wait_until(lambda: self.machines.worker_id(worker), 40, lambda: worker.output[-2000:])
        return worker

    def _worker(self) -> Running:
        return self.random.choice(self._workers)

    # --- what it does ---

    def kill_a_worker(self) -> None:
        self._worker().kill_group()

    def kill_a_workers_child(self) -> None:
        if children := psutil.Process(self._worker().pid).children(recursive=True):
            self.random.choice(children).kill()

    def stop_a_worker(self) -> None:
        self._worker().popen.terminate()

    def freeze_a_worker(self) -> None:
        worker = self._worker()
        worker.kill_group(signal.SIGSTOP)
        self._later(lambda: worker.kill_group(signal.SIGCONT), 0.5, 16)

    def shift_a_clock(self) -> None:
        """A worker's wall clock jumps, forward or back, and stays wrong."""
        with self.random.choice(self._clocks).open("r+b") as clock:
            clock.write(struct.pack("d", self.random.uniform(-6, 6)))

    def kill_the_scheduler(self) -> None:
        self._scheduler.kill_group()

    def end_sessions(self) -> None:
        self.machines.rows.query(
            "select pg_terminate_backend(pid) from pg_stat_activity"
            " where datname = current_database() and pid <> pg_backend_pid() and random() < 0.7"
        )

    def restart_postgres_fast(self) -> None:
        self.machines.servers.stop_postgres()
        self._supervise(self.random.uniform(0, 4))
        self.machines.servers.start_postgres()

    def crash_postgres(self) -> None:
        self.machines.servers.postgres.child.tell(signal.SIGQUIT)
        wait_until(lambda: not self.machines.servers.postgres.child.is_running)
        self.machines.servers.start_postgres()

    def flush_redis(self) -> None:
        self.machines.servers.redis().flushall()

    def restart_redis(self) -> None:
        self.machines.servers.stop_valkey()
        self._supervise(self.random.uniform(0, 4))
        self.machines.servers.start_valkey()

    def freeze_redis(self) -> None:
        child = self.machines.servers.valkey.child
        child.tell(signal.SIGSTOP)
        self._supervise(self.random.uniform(0.5, 5))
        child.tell(signal.SIGCONT)

    def fill_redis(self) -> None:
        client = self.machines.servers.redis()
        client.config_set("maxmemory", "1mb")
        self._supervise(self.random.uniform(1, 6))
        client.config_set("maxmemory", "0")

    def make_redis_read_only(self) -> None:
        client = self.machines.servers.redis()
        client.execute_command("replicaof", "127.0.0.1", "1")
        self._supervise(self.random.uniform(1, 6))
        client.execute_command("replicaof", "no", "one")

    def cancel(self) -> None:
        self._meddle("status = 'Cancelled'", "Scheduled", guarded=True)

    def move(self) -> None:
        self._meddle("scheduled_for = scheduled_for + interval '2 s'", "Scheduled", guarded=True)

    def save_a_stale_row(self) -> None:
        """As a form does that was opened before the post went out."""
        self._meddle("status = 'Scheduled', posted_at = null, platform_post_id = null", "Posted", guarded=False)

    def _meddle(self, change: str, status: str, *, guarded: bool) -> None:
        guard = f" and status = '{status}'" if guarded else ""
        self.machines.rows.query(f"update post_instance set {change} where {RECENT.format(status)}{guard}")  # noqa: S608


@contextmanager
def load(machines: Machines, per_second: int) -> Iterator[None]:
    """Posts that go on falling due, whatever becomes of the database."""
    stop = threading.Event()
    chance = random.Random(0)

    def feed() -> None:
        while not stop.wait(0.5):
            with suppress(psycopg2.OperationalError, psycopg2.InterfaceError):
                machines.schedule([time.time() + chance.uniform(-1, 6) for _ in range(per_second // 2)])

    feeder = threading.Thread(target=feed)
    feeder.start()
    try:
        yield
    finally:
        stop.set()
        feeder.join()


def test_a_storm_publishes_nothing_twice_and_loses_nothing(
    machines: Machines, figures: Figures, long: bool, seed: int
) -> None:
    storm = Storm(machines, seed)
    machines.platform.follow(*WEATHER, seed=seed)
    machines.platform.configure(listing_lag_ms=400)

    with load(machines, per_second=20):
        storm.rage(600 if long else 35)
    storm.drop()
    machines.settle(240)

    print(f"seed {seed}: " + ", ".join(f"{count} x {deed}" for deed, count in storm.done.most_common()))
    report = machines.judge(figures)
    assert [str(post) for post in report.posts if post.status not in {"Posted", "Unconfirmed", "Cancelled"}] == []
