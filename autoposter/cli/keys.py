"""`autoposter keys`."""

from __future__ import annotations

import typer

from autoposter.credentials import new_key

app = typer.Typer(help="Keys that credentials are encrypted with.", no_args_is_help=True)


@app.callback()
def _keys() -> None:
    """Keys that credentials are encrypted with."""


@app.command()
def new() -> None:
    """Print a new key for AUTOPOSTER_SECRET_KEYS.  It is stored nowhere: keep it where your other secrets are."""
    print(new_key())
