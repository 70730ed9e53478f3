"""Each safeguard in the statements of the store is taken away in turn, and must be missed.

Most by the state machine, which knows what each move must say and may change.  What only matters while another
transaction is in the middle of something is missed by the staged race that was made for it.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import pytest
import test_races
from faults.guards import BEHIND_OTHERS, GUARDS, RACED
from faults.removal import removed
from faults.store_machine import run_the_machine
from hypothesis import Phase
from test_races import stage  # noqa: F401 # a fixture of the staged races

#: What the machine does with each at most: with 60 examples it missed 3 to 6 of 49, other ones with each change of its
#: moves.
EXAMPLES = {"examples": 300, "steps": 30}


#: The short version takes away those that matter most.
SHORT = [
    "an intent needs a lease that runs",
    "an intent needs a Scheduled post",
    "a receipt wins over not knowing",
    "only the holder settles",
    "the ledger puts back what is Scheduled",
]


@pytest.mark.parametrize(
    "guard", [pytest.param(guard, marks=[] if guard in SHORT else [pytest.mark.long]) for guard in GUARDS]
)
def test_the_machine_notices_that_a_guard_is_gone(
    database: Any, database_url: str, noticed: Callable[[str, str], None], guard: str
) -> None:
    text, without = GUARDS[guard]

    with removed({text: without}) as met, pytest.raises(Exception) as error:  # or PostgreSQL says so
        run_the_machine(database_url, seed=1, phases=[Phase.generate], report_multiple_bugs=False, **EXAMPLES)

    assert met, "what was to be taken away is not there any more"
    noticed(guard, f"the state machine: {error.value}")


@pytest.mark.long
@pytest.mark.parametrize("guard", RACED)
def test_a_staged_race_notices_that_a_lock_is_gone(
    request: pytest.FixtureRequest, noticed: Callable[[str, str], None], guard: str
) -> None:
    text, without, race, arguments = RACED[guard]
    test = getattr(test_races, race)
    wanted = [name for name in inspect.signature(test).parameters if name not in arguments]
    given = {name: request.getfixturevalue(name) for name in wanted}

    with removed({text: without}) as met, pytest.raises(Exception):  # noqa: B017 # whatever it is: the race fails
        test(**given, **arguments)

    assert met, "what was to be taken away is not there any more"
    noticed(guard, race.removeprefix("test_").replace("_", " "))


@pytest.mark.long
@pytest.mark.parametrize("guard", BEHIND_OTHERS)
def test_what_stands_behind_another_guard_is_still_there(
    database: Any, database_url: str, noticed: Callable[[str, str], None], guard: str
) -> None:
    """That it is not missed alone is no test: it would hold for whatever is needless."""
    text, without, why = BEHIND_OTHERS[guard]

    with removed({text: without}) as met:
        run_the_machine(database_url, seed=1, phases=[Phase.generate], examples=12, steps=30)

    assert met, "what was to be taken away is not there any more"
    noticed(guard, f"nothing alone: {why}")
