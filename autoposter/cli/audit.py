"""`autoposter audit`."""

from __future__ import annotations

import typer

from autoposter.cli import session
from autoposter.cli.printing import Json, print_json, print_table
from autoposter.store import books


def audit(json: Json = False) -> None:
    """Prove the books: every post and its attempts tell the same.  Exit code 1 and a table of what does not."""
    with session.database():
        findings = books.audit()
    if json:
        print_json(findings)
    elif findings:
        print_table(
            findings,
            {
                "post": lambda finding: finding.post_id,
                "job": lambda finding: finding.job_id,
                "rule": lambda finding: finding.check,
                "what is wrong": lambda finding: finding.what,
            },
        )
    else:
        print("The books are in order.")
    if findings:
        raise typer.Exit(1)
