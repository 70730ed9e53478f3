"""Moves that threads ask for at the same moment: who makes them, and what each is told."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import peewee
import pytest
from factories import Factories
from processes import wait_until

from autoposter.together import MOST, Together


class Gathering:
    """A move that the test holds up, so that others gather behind it."""

    def __init__(self, make: Callable[[Sequence[int]], Mapping[int, str]] | None = None) -> None:
        self.made: list[list[int]] = []
        self._make = make or (lambda asked: {each: f"made {each}" for each in asked})
        self._go_on = threading.Event()
        self.together = Together[int, str](self._move, key=lambda each: each)
        self._threads = ThreadPoolExecutor(100)

    def _move(self, asked: Sequence[int]) -> Mapping[int, str]:
        self.made.append(list(asked))
        assert self._go_on.wait(10)
        return self._make(asked)

    @contextmanager
    def behind(self, first: int) -> Iterator[Callable[[int], Future[Any]]]:
        """Ask for others while the first is being made."""
        leads = self._threads.submit(self.together, first)
        wait_until(lambda: self.made == [[first]])
        yield self.ask
        self._go_on.set()
        leads.exception(timeout=10)

    def ask(self, each: int) -> Future[Any]:
        before = len(self.together._asked)
        future = self._threads.submit(self.together, each)
        wait_until(lambda: len(self.together._asked) == before + 1)
        return future


def test_what_is_asked_for_while_one_is_made_is_made_together() -> None:
    gathering = Gathering()

    with gathering.behind(1) as ask:
        later = [ask(each) for each in (2, 3, 4)]

    assert [each.result(timeout=10) for each in later] == ["made 2", "made 3", "made 4"]
    assert gathering.made == [[1], [2, 3, 4]]


def test_one_that_is_asked_for_twice_is_given_once() -> None:
    """Two messages may name one post: who is given an attempt carries it out."""
    gathering = Gathering()

    with gathering.behind(1) as ask:
        later = [ask(2), ask(2)]

    assert sorted(each.result(timeout=10) or "left" for each in later) == ["left", "made 2"]
    assert gathering.made == [[1], [2]]


def test_so_many_are_made_at_once_and_the_others_next() -> None:
    gathering = Gathering()

    with gathering.behind(0) as ask:
        later = [ask(each) for each in range(1, MOST + 3)]

    assert [each.result(timeout=10) for each in later] == [f"made {each}" for each in range(1, MOST + 3)]
    assert [len(made) for made in gathering.made] == [1, MOST, 2]


def test_all_are_told_that_the_database_is_away() -> None:
    """Whether it was committed is not known to any of them."""

    def away(asked: Sequence[int]) -> Mapping[int, str]:
        raise peewee.OperationalError("server closed the connection unexpectedly")

    gathering = Gathering(away)

    with gathering.behind(1) as ask:
        later = [ask(2), ask(3)]

    for each in later:
        with pytest.raises(peewee.OperationalError, match="unexpectedly"):
            each.result(timeout=10)


@pytest.mark.parametrize("state", ["", "55P03", "55000", "P0001"])
def test_what_one_of_them_spoils_is_left_to_each_alone(state: str, factories: Factories) -> None:
    """What the database says that it has rolled back is known: nothing was made.  Without a state: no Python value."""

    def spoilt(asked: Sequence[int]) -> Mapping[int, str]:
        if state:
            factories.query(f"do $$ begin raise sqlstate '{state}'; end $$")
        raise ValueError("a row that cannot be read")

    gathering = Gathering(spoilt)

    with gathering.behind(1) as ask:
        later = [ask(2), ask(3)]

    assert [each.result(timeout=10) for each in later] == [None, None]


def test_nobody_waits_where_nobody_else_asks() -> None:
    together = Together[int, str](lambda asked: dict.fromkeys(asked, "made"), key=lambda each: each)

    assert [together(each) for each in (1, 1, 2)] == ["made", "made", "made"]


def test_nobody_is_forgotten_however_many_ask() -> None:
    together = Together[int, int](lambda asked: {each: each for each in asked}, key=lambda each: each)

    with ThreadPoolExecutor(16) as threads:
        given = list(threads.map(together, range(5000)))

    assert given == list(range(5000))
