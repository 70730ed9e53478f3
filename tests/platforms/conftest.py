"""What the tests of our plugins beside real workers begin with; `--long` and `--seed` are those of the fault tests."""

from __future__ import annotations

import pytest


@pytest.fixture
def long(request: pytest.FixtureRequest) -> bool:
    """Whether the long version was asked for."""
    return bool(request.config.getoption("--long"))


@pytest.fixture
def seed(request: pytest.FixtureRequest) -> int:
    """What random faults are drawn from."""
    return int(request.config.getoption("--seed"))
