"""`autoposter keys`."""

from __future__ import annotations

import typer

from autoposter import accounts
from autoposter.cli import session
from autoposter.cli.printing import say_aside
from autoposter.credentials import Keyring, new_key
from autoposter.errors import WrongUsage

#: So many sentences about credentials that do not open are told.
MOST_TOLD = 20

app = typer.Typer(help="Keys that credentials are encrypted with.", no_args_is_help=True)


@app.callback()
def _keys() -> None:
    """Keys that credentials are encrypted with."""


@app.command()
def new() -> None:
    """Print a new key for AUTOPOSTER_SECRET_KEYS.  It is stored nowhere: keep it where your other secrets are."""
    print(new_key())


@app.command()
def rotate() -> None:
    """Encrypt all credentials with the newest (first) key.  May be stopped and run again, while workers run."""
    with session.database() as settings:
        if not settings.secret_keys:
            raise WrongUsage("AUTOPOSTER_SECRET_KEYS is not set: set it to the new key, then the old, with a comma.")
        progress = accounts.rotate(Keyring(settings.secret_keys))
    print(
        f"{progress.rotated} credentials were encrypted with the newest key, {progress.already} had been before,"
        f" {len(progress.unreadable)} do not open."
    )
    for sentence in progress.unreadable[:MOST_TOLD]:
        say_aside(sentence)
    if progress.unreadable:
        raise typer.Exit(1)
    print("Now the older keys can be taken out of AUTOPOSTER_SECRET_KEYS.")
