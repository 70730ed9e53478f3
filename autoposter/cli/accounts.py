"""`autoposter accounts`."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer

from autoposter import accounts, connecting, scheduling
from autoposter.cli import asking, session
from autoposter.cli.printing import Json, plain, print_json, print_table, say_aside, shown
from autoposter.connecting import Found
from autoposter.credentials import Keyring
from autoposter.errors import Refused, WrongUsage
from autoposter.lifecycle import ErrorKind, Status
from autoposter.plugins import Host, NoPublisher
from autoposter.publishers.base import overrides
from autoposter.store import reports
from autoposter.store.account_states import EXPIRES_SOON
from autoposter.store.accounts import AccountInfo
from autoposter.store.reports import Selection

app = typer.Typer(help="Connected accounts on platforms.", no_args_is_help=True)

HOUR = timedelta(hours=1)

Account = Annotated[str, typer.Argument(metavar="ACCOUNT", help="Its name, platform:name or id.")]


@app.command()
def add(
    platform: Annotated[str, typer.Argument(help="As `autoposter plugins` lists it.")],
    name: Annotated[
        str | None, typer.Option(help="What you call the account; else what its platform calls it.")
    ] = None,
    given: asking.Given = None,
) -> None:
    """Connect an account.  Asks for what is missing, and its platform whose it is; secrets are stored encrypted."""
    with session.database() as settings:
        publisher, keyring = Host(settings.plugins).publisher_for(platform), Keyring(settings.secret_keys)
        values = asking.parsed(publisher, given or [])
        if name is None and not asking.can_ask() and not overrides(publisher, "check"):
            raise WrongUsage("The account needs a name: give it with --name.")
        keyring.require(needed=asking.can_ask() and accounts.needs_secrets(publisher))
        values = asking.completed(publisher, values)
        if name is None and not overrides(publisher, "check"):
            name = asking.name()
        added = connecting.add(publisher, name, values, keyring)
        print(f"Account {added.account.id} is connected: {_told(added)}.")
        asking.warn_of_secrets(publisher, given or [])


@app.command()
def reconnect(account: Account, given: asking.Given = None) -> None:
    """Give an account new credentials, of the same identity.  Then its failed posts can be retried together."""
    with session.database() as settings:
        found = accounts.show(account)
        publisher, keyring = Host(settings.plugins).publisher_for(found.platform), Keyring(settings.secret_keys)
        values = asking.parsed(publisher, given or [])
        keyring.require(needed=asking.can_ask() and accounts.needs_secrets(publisher))
        values = asking.completed(publisher, values, found.settings)
        again = connecting.reconnect(publisher, found.id, values, keyring)
        print(f"{_told(again)} is connected again, and {again.account.status}.")
        asking.warn_of_secrets(publisher, given or [])
        _offer_to_retry(again.account)


def _offer_to_retry(account: AccountInfo) -> None:
    """The posts that failed for an account that works again."""
    selection = Selection(account_id=account.id, because=ErrorKind.ACCOUNT, statuses=[Status.FAILED])
    failed = reports.selected(selection)
    if not failed:
        return
    many = "1 post" if len(failed) == 1 else f"{len(failed)} posts"
    if asking.can_ask() and typer.confirm(f"{many} failed because of this account.  Publish now?", default=False):
        moved = sum(verdict.moved for verdict in scheduling.retry(failed))
        print(f"{moved} of {many} {'is' if moved == 1 else 'are'} scheduled for now.")
    else:
        print(f"{many} failed because of it: `autoposter posts retry --account {account.typed} --because account`.")


def _told(found: Found) -> str:
    account = found.account
    if not found.checked:
        return f"{account.address} (its platform cannot be asked whether the credentials work)"
    return f"{account.address} ({account.external_id})" if account.external_id else account.address


@app.command()
def check(
    account: Annotated[str | None, typer.Argument(metavar="[ACCOUNT]", help="Its name, platform:name or id.")] = None,
) -> None:
    """Ask the platform whether an account's credentials work; without a name, all.  Exit code 1 if one does not."""
    with session.database() as settings:
        host, keyring = Host(settings.plugins), Keyring(settings.secret_keys)
        asked = [accounts.show(account)] if account is not None else accounts.listed()
        wrong = [said for one in asked if (said := _checked(one, host, keyring))]
    for sentence in wrong:
        say_aside(sentence)
    if wrong:
        raise typer.Exit(1)


def _checked(account: AccountInfo, host: Host, keyring: Keyring) -> str | None:
    """What is wrong with it."""
    try:
        found = connecting.check(account.id, host, keyring)
    except (Refused, NoPublisher) as error:
        return str(error)
    if found.checked:
        print(f"{_told(found)} works{_until(found.account)}.")
    else:
        print(f"{_told(found)}.")
    return None


def _until(account: AccountInfo) -> str:
    return f"; its credentials expire {_expiry(account)}" if account.credentials_expire_at else ""


@app.command()
def remove(account: Account) -> None:
    """Delete an account that has no posts, with its credentials."""
    with session.database():
        found = accounts.remove(account)
    print(f"{found.address} is removed.")


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
            "expires": _expiry,
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


def _expiry(account: AccountInfo) -> str | None:
    """When its credentials expire, and who does something about it."""
    if account.credentials_expire_at is None:
        return None
    left = account.credentials_expire_at - datetime.now(UTC)
    if account.refresh_at:
        return f"{shown(account.credentials_expire_at)} (refreshed before)"
    if left > EXPIRES_SOON:
        return shown(account.credentials_expire_at)
    when = f"in {left.days} days" if left >= timedelta(days=2) else f"in {max(left, timedelta(0)) // HOUR} hours"
    return f"{when if left > timedelta(0) else 'has expired'}: `autoposter accounts reconnect {account.typed}`"


def _facts(account: AccountInfo) -> dict[str, object]:
    return {
        "account": f"{account.id}, {account.address}",
        "status": account.status,
        "external id": account.external_id,
        "settings": ", ".join(f"{key}={value}" for key, value in account.settings.items()) or None,
        "credentials": ("stored, encrypted" if account.has_credentials else "none")
        + (f", expire {_expiry(account)}" if account.credentials_expire_at else ""),
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
