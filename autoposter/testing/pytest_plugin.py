"""Tells at the end of a test run what the conformance suite has left out, and why.  Loaded by pytest alone."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

# Before it is imported: its assertions show what was compared, also where autoposter is installed for editing.
pytest.register_assert_rewrite("autoposter.testing.conformance", "autoposter.testing.lab")

SUITES: pytest.StashKey[dict[str, tuple[int, dict[str, str]]]] = pytest.StashKey()


def pytest_collection_finish(session: pytest.Session) -> None:
    """Find the conformance suites among what will be run."""
    suites: list[Any] = [getattr(item, "cls", None) for item in session.items]
    counted = Counter(suite for suite in suites if hasattr(suite, "left_out"))
    session.config.stash[SUITES] = {suite.__name__: (number, suite.left_out) for suite, number in counted.items()}


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """One line for each suite, and one for each reason to leave something out."""
    suites = config.stash.get(SUITES, {})
    if suites:
        terminalreporter.section("autoposter conformance")
    for name, (number, left_out) in suites.items():
        terminalreporter.write_line(f"{name}: {number} tests run, {len(left_out)} left out")
        for why, times in Counter(left_out.values()).items():
            terminalreporter.write_line(f"  {times:3} left out: {why}")
