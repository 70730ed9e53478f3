"""The queue of a worker's threads: idle ones are woken up by a message or by the end, and by nothing else."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from queue import Empty
from typing import Any

import dramatiq
import pytest
from dramatiq.brokers.stub import StubBroker
from processes import wait_until

from autoposter import workqueue
from autoposter.workqueue import WorkQueue

#: Seconds that no test waits for.
LONG = 600.0


def waiting_at(queue: WorkQueue) -> int:
    """How many threads wait for a message."""
    return len(queue.not_empty._waiters)  # type: ignore[attr-defined]  # nothing else tells


@pytest.fixture
def idle() -> Iterator[Callable[[WorkQueue, int], list[Future[Any]]]]:
    """`idle(queue, 3)`: so many threads that wait for a message."""
    threads = ThreadPoolExecutor(20)

    def begin(queue: WorkQueue, count: int) -> list[Future[Any]]:
        waiting = [threads.submit(queue.get, timeout=LONG) for _ in range(count)]
        wait_until(lambda: waiting_at(queue) == count)
        return waiting

    yield begin
    threads.shutdown()


def test_a_message_wakes_one_idle_thread(idle: Any) -> None:
    queue = WorkQueue()
    waiting = idle(queue, 3)

    queue.put(7)

    wait_until(lambda: any(thread.done() for thread in waiting))
    assert [thread.result() for thread in waiting if thread.done()] == [7]
    queue.end()


def test_the_end_wakes_every_idle_thread(idle: Any) -> None:
    queue = WorkQueue()
    waiting = idle(queue, 3)

    queue.end()

    assert [type(thread.exception(timeout=10)) for thread in waiting] == [Empty] * 3


def test_at_the_end_no_thread_waits_any_more() -> None:
    queue = WorkQueue()
    queue.end()

    with pytest.raises(Empty):
        queue.get(timeout=LONG)


def test_at_the_end_a_thread_that_finds_nothing_rests_before_it_looks_again(
    idle: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Dramatiq tells it a moment later that it is to end: until then, many would keep that very moment from coming."""
    monkeypatch.setattr(workqueue, "ENDING", LONG)
    queue = WorkQueue()
    queue.end()

    [resting] = idle(queue, 1)

    queue.put(7)
    assert resting.result(timeout=10) == 7


def test_what_is_more_urgent_comes_first_also_at_the_end_when_it_is_given_back() -> None:
    queue = WorkQueue()
    for urgency in (3, 1, 2):
        queue.put(urgency)
    queue.end()

    assert [queue.get(), queue.get_nowait(), queue.get(timeout=LONG)] == [1, 2, 3]
    with pytest.raises(Empty):
        queue.get_nowait()


def test_a_thread_waits_no_longer_than_it_says() -> None:
    with pytest.raises(Empty):
        WorkQueue().get(timeout=0.001)


def test_dramatiqs_threads_wait_at_the_queue_that_is_there_when_its_worker_boots() -> None:
    queue = WorkQueue()

    class Boots(dramatiq.Middleware):
        def before_worker_boot(self, broker: dramatiq.Broker, worker: dramatiq.Worker) -> None:
            worker.work_queue = queue

        def before_worker_shutdown(self, broker: dramatiq.Broker, worker: dramatiq.Worker) -> None:
            queue.end()

    worker = dramatiq.Worker(StubBroker(middleware=[Boots()]), worker_timeout=int(LONG * 1000), worker_threads=3)
    worker.start()
    wait_until(lambda: waiting_at(queue) == 3)

    worker.stop(timeout=10_000)

    assert [thread.is_alive() for thread in worker.workers] == [False] * 3
