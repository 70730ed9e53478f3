"""What is not publishing takes its turn on a share of the threads."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import timedelta

import pytest

from autoposter.turns import MOST_WAITING, Turns


class Desk:
    """Work that lasts until it is let go on, and remembers what was done."""

    def __init__(self) -> None:
        self.turns = Turns()
        self.done: list[tuple[str, int]] = []
        self.busy, self.go_on = threading.Semaphore(0), threading.Event()
        self._threads: list[threading.Thread] = []

    def lasting(self, number: int) -> None:
        self.busy.release()
        assert self.go_on.wait(5)
        self.done.append(("lasting", number))

    def urgent(self, number: int) -> None:
        self.done.append(("urgent", number))

    def other(self, number: int) -> None:
        self.done.append(("other", number))

    def keep_busy(self, threads: int = 1) -> None:
        for number in range(threads):
            self._threads.append(threading.Thread(target=self.turns.take, args=(self.lasting, number)))
            self._threads[-1].start()
            assert self.busy.acquire(timeout=5)

    def finish(self) -> None:
        self.go_on.set()
        for thread in self._threads:
            thread.join(5)


@pytest.fixture
def desk() -> Iterator[Desk]:
    made = Desk()
    made.turns.allow(threads=4)
    yield made
    made.finish()


def test_what_finds_a_thread_is_done_at_once(desk: Desk) -> None:
    desk.turns.take(desk.other, 1)

    assert desk.done == [("other", 1)]


def test_what_finds_none_waits_and_is_done_by_whoever_has_finished_the_urgent_first(desk: Desk) -> None:
    desk.keep_busy()
    for number in (1, 2):
        desk.turns.take(desk.other, number)
        desk.turns.take(desk.urgent, number, within=timedelta(seconds=60))
    while_busy = list(desk.done)
    desk.finish()

    assert while_busy == []
    assert desk.done == [("lasting", 0), ("urgent", 1), ("urgent", 2), ("other", 1), ("other", 2)]


def test_all_kinds_of_work_share_a_quarter_of_the_threads(desk: Desk) -> None:
    desk.turns.allow(threads=8)
    desk.keep_busy(threads=2)

    desk.turns.take(desk.urgent, 1, within=timedelta(seconds=60))

    assert desk.done == []


def test_what_is_brought_again_while_it_waits_is_done_once(desk: Desk) -> None:
    desk.keep_busy()
    for _ in range(3):
        desk.turns.take(desk.other, 1)
    desk.finish()

    assert desk.done == [("lasting", 0), ("other", 1)]


def test_what_has_waited_for_too_long_is_dropped(desk: Desk) -> None:
    desk.turns.take(desk.urgent, 1, within=timedelta(0))

    assert desk.done == []


def test_nothing_more_is_begun_once_it_stops(desk: Desk) -> None:
    desk.keep_busy()
    desk.turns.take(desk.other, 1)
    desk.turns.stop()
    desk.finish()

    assert desk.done == [("lasting", 0)]


def test_what_waits_is_bounded(desk: Desk) -> None:
    desk.keep_busy()
    for number in range(MOST_WAITING + 10):
        desk.turns.take(desk.other, number)
    desk.finish()

    assert len(desk.done) == 1 + MOST_WAITING


def test_work_that_fails_gives_its_thread_back(desk: Desk) -> None:
    with pytest.raises(ZeroDivisionError):
        desk.turns.take(lambda number: number / 0, 1)
    desk.turns.take(desk.other, 2)

    assert desk.done == [("other", 2)]


def test_as_much_urgent_work_may_wait_as_there_are_threads_for_it(desk: Desk) -> None:
    desk.turns.allow(threads=8)
    rooms = [desk.turns.room]
    desk.keep_busy(threads=2)
    for number in range(3):
        desk.turns.take(desk.urgent, number, within=timedelta(seconds=60))
        desk.turns.take(desk.other, number)
        rooms.append(desk.turns.room)
    desk.turns.stop()

    assert rooms == [2, 1, 0, 0]
    assert desk.turns.room == 0
