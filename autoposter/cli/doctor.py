"""`autoposter doctor`."""

from __future__ import annotations

import typer

from autoposter.cli import session
from autoposter.cli.printing import Json, print_json, print_table
from autoposter.health import Verdict, examine


def doctor(json: Json = False) -> None:
    """Look whether everything is reachable and alive.  Exit code 1 for a problem, 3 for what is out of reach."""
    checks = list(examine(session.settings()))
    if json:
        print_json(checks)
    else:
        columns = {
            "": lambda check: check.verdict,
            "about": lambda check: check.about,
            "what is found": lambda check: check.says,
        }
        print_table(checks, columns)
    verdicts = {check.verdict for check in checks}
    if Verdict.OUT_OF_REACH in verdicts:
        raise typer.Exit(3)
    if Verdict.PROBLEM in verdicts:
        raise typer.Exit(1)
