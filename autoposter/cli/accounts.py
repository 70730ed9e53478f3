"""`autoposter accounts`."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from autoposter import accounts
from autoposter.cli import session
from autoposter.cli.printing import Json, plain, print_json, print_table, shown
from autoposter.credentials import Keyring
from autoposter.errors import WrongUsage
from autoposter.plugins import Host
from autoposter.publishers import Publisher
from autoposter.store.accounts import AccountInfo

app = typer.Typer(help="Connected accounts on platforms.", no_args_is_help=True)

Account = Annotated[str, typer.Argument(metavar="ACCOUNT", help="Its name, platform:name or id.")]


@app.command()
def add(
    platform: Annotated[str, typer.Argument(help="As `autoposter plugins` lists it.")],
    name: Annotated[str | None, typer.Option(help="What you call the account.")] = None,
    given: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="A setting or credential; of credentials also KEY=@FILE and KEY=env:NAME, which keep a secret out of"
            " the list of processes.",
        ),
    ] = None,
) -> None:
    """Connect an account.  Asks for what is missing; secrets are stored encrypted."""
    with session.database() as settings:
        publisher = Host(settings.plugins).publisher_for(platform)
        values = dict(_pair(publisher, pair) for pair in given or [])
        if name is None:
            name = _asked("name") if _can_ask() else None
        if name is None:
            raise WrongUsage("The account needs a name: give it with --name.")
        if _can_ask():
            for key in accounts.required(publisher):
                if key not in values:
                    values[key] = _asked(key, secret=accounts.is_secret(publisher, key))
        added = accounts.add(publisher, name, values, Keyring(settings.secret_keys))
    print(f"Account {added.id} is connected: {added.address}.")


def _pair(publisher: type[Publisher], pair: str) -> tuple[str, str]:
    key, equals, value = pair.partition("=")
    if not equals:
        # Not repeated: it may be a secret whose key was forgotten.
        raise WrongUsage(f"--set takes KEY=VALUE; the keys are {', '.join(accounts.fields(publisher)) or 'none'}.")
    if accounts.is_secret(publisher, key):
        return key, _secret(key, value)
    return key, value


def _secret(key: str, value: str) -> str:
    if value.startswith("@"):
        try:
            return Path(value[1:]).read_text(encoding="utf-8").strip()
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is not text"
            raise WrongUsage(f"{key}: the file {value[1:]} cannot be read ({reason}).") from None
    if value.startswith("env:"):
        variable = value.removeprefix("env:")
        if variable not in os.environ:
            raise WrongUsage(f"{key}: the environment variable {variable} is not set.")
        return os.environ[variable]
    return value


def _can_ask() -> bool:
    return sys.stdin.isatty()


def _asked(key: str, *, secret: bool = False) -> str:
    answer: str = typer.prompt(key, hide_input=secret)
    return answer


@app.command("list")
def list_(json: Json = False) -> None:
    """List the accounts."""
    with session.database():
        found = accounts.listed()
    if json:
        return print_json(found)
    if not found:
        print("There are no accounts: `autoposter accounts add` connects one.")
        return None
    return print_table(
        found,
        {
            "id": lambda account: account.id,
            "platform": lambda account: account.platform,
            "name": lambda account: account.name,
            "status": lambda account: account.status,
            "paused until": lambda account: account.paused_until,
            "last error": lambda account: account.last_error,
        },
    )


@app.command()
def show(account: Account, json: Json = False) -> None:
    """Show one account: everything but its credentials."""
    with session.database():
        found = accounts.show(account)
    if json:
        return print_json(found)
    for name, value in _facts(found).items():
        if value is not None:
            print(f"{name + ':':<16} {plain(value)}")
    return None


def _facts(account: AccountInfo) -> dict[str, object]:
    return {
        "account": f"{account.id}, {account.address}",
        "status": account.status,
        "external id": account.external_id,
        "settings": ", ".join(f"{key}={value}" for key, value in account.settings.items()) or None,
        "credentials": ("stored, encrypted" if account.has_credentials else "none")
        + (f", expire {shown(account.credentials_expire_at)}" if account.credentials_expire_at else ""),
        "paused until": account.paused_until,
        "last error": account.last_error,
        "checked": account.checked_at,
        "connected": account.created_at,
    }


@app.command()
def disable(account: Account) -> None:
    """Hold an account's posts until it is enabled again."""
    with session.database():
        found, moved = accounts.disable(account)
    print(f"{found.address} is {'' if moved else 'already '}disabled: its posts wait.")


@app.command()
def enable(account: Account) -> None:
    """Let a disabled account's posts be published again."""
    with session.database():
        found, moved = accounts.enable(account)
    print(f"{found.address} is {'' if moved else 'already '}active.")
