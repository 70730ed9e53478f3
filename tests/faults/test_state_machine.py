"""Several actors make every move of the store in any order, on real PostgreSQL; each is judged, the books must hold.

pytest tests/faults/test_state_machine.py -s                     60 examples of 30 moves
pytest tests/faults/test_state_machine.py -s --long --seed 7     500 examples of 50 moves
"""

from __future__ import annotations

from typing import Any

from faults.store_machine import StoreMachine, run_the_machine

#: What must have been won in a run, else it shows nothing.
REACHED = [
    "claim",
    "intent",
    "receipt",
    "late receipt",
    "refusal",
    "not knowing",
    "renewal",
    "take-over of what was sent",
    "take-over of what was not sent",
    "look",
    "look: it is not there",
    "look: nothing",
    "look: nobody knows",
    "sending again",
    "cancel",
    "reschedule",
    "retry",
    "resolve as posted",
    "resolve as not posted",
    "resolve as not posted, send again",
    "receipt kept",
    "mend",
    "missed",
]


def test_the_books_hold_whatever_several_actors_do(database: Any, database_url: str, long: bool, seed: int) -> None:
    examples, steps = (500, 50) if long else (60, 30)
    run_the_machine(database_url, seed=seed, examples=examples, steps=steps)

    print(f"seed {seed}")
    for what, count in sorted(StoreMachine.tally.items()):
        print(f"{what:40} {count:7}")
    assert [what for what in REACHED if not StoreMachine.tally[f"{what}, won"]] == [], "the examples are too shallow"
