"""What people and applications do with channel accounts once they are connected; and what connecting asks for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any

from pydantic import BaseModel, ValidationError

from autoposter.credentials import CredentialsUnreadable, Keyring
from autoposter.errors import Refused, WrongUsage
from autoposter.lifecycle import AccountStatus
from autoposter.publishers import Publisher
from autoposter.store import accounts as store
from autoposter.store.accounts import AccountInfo

# --- what is asked for -----------------------------------------------------------------------------------------------


def parsed(publisher: type[Publisher], given: Mapping[str, Any]) -> tuple[BaseModel, BaseModel]:
    """The publisher's `Settings` and `Credentials` with what was given.  Raises WrongUsage, without any value."""
    for key in given:
        refuse_unknown(publisher, key)
    _refuse_missing(publisher, given, required(publisher))
    return _built(publisher.Settings, given, secret=False), _built(publisher.Credentials, given, secret=True)


def refuse_unknown(publisher: type[Publisher], key: str) -> None:
    """Raises WrongUsage for a key that accounts of this platform do not have."""
    known = fields(publisher)
    if key not in known:
        raise WrongUsage(unknown(f"{publisher.platform} accounts have no {key!r}", key, known))


def _refuse_missing(publisher: type[Publisher], given: Mapping[str, Any], needed: Iterable[str]) -> None:
    """An empty text is what an unset variable leaves in a script: as good as none."""
    missing = [key for key in needed if not str(given.get(key, "")).strip()]
    if missing:
        raise WrongUsage(
            f"{publisher.platform} accounts also need {', '.join(missing)}:"
            f" give {'it' if len(missing) == 1 else 'each'} with --set {missing[0]}=VALUE."
        )


def parsed_credentials(publisher: type[Publisher], given: Mapping[str, Any]) -> BaseModel:
    """The publisher's `Credentials` with what was given.  Raises WrongUsage, without any value."""
    _refuse_missing(publisher, given, [key for key in required(publisher) if is_secret(publisher, key)])
    return _built(publisher.Credentials, given, secret=True)


def fields(publisher: type[Publisher]) -> list[str]:
    """Every key that `accounts add` takes, settings first."""
    return [*publisher.Settings.model_fields, *publisher.Credentials.model_fields]


def required(publisher: type[Publisher]) -> list[str]:
    """The keys without which an account cannot be connected, settings first."""
    both = publisher.Settings.model_fields | publisher.Credentials.model_fields
    return [name for name, field in both.items() if field.is_required()]


def needs_secrets(publisher: type[Publisher]) -> bool:
    """Whether no account can be connected without credentials."""
    return any(is_secret(publisher, key) for key in required(publisher))


def is_secret(publisher: type[Publisher], key: str) -> bool:
    """Whether a key is one of the credentials."""
    return key in publisher.Credentials.model_fields


def _built(model: type[BaseModel], given: Mapping[str, Any], *, secret: bool) -> BaseModel:
    values = {key: value for key, value in given.items() if key in model.model_fields}
    try:
        return model.model_validate(values)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False, include_context=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        what = " ".join(first["msg"].removeprefix("Value error, ").rstrip(".").split())
        for value in filter(None, map(str, values.values())) if secret else ():
            what = what.replace(value, "...")  # a plugin's own check may repeat what it was given
        # `from None`: the validation error holds the value.
        raise WrongUsage(f"{where or 'The account'}: {what[0].lower() + what[1:]}.") from None


# --- find ------------------------------------------------------------------------------------------------------------


def show(account: int | str) -> AccountInfo:
    """The account with this id, this name, or this `platform:name`.  Raises Refused for none, or several."""
    if isinstance(account, int):
        found = store.by_id(account) if 0 < account < 2**63 else None
        if found is None:
            raise Refused(f"There is no account {account}.")
        return found
    if not isinstance(account, str):
        raise WrongUsage(f"An account is given by its id, its name or platform:name, not by {type(account).__name__}.")
    named = store.by_name(account) if account.isprintable() else []
    match [one for one in named if one.name == account] or named:
        case [only]:
            return only
        case []:
            if account.isascii() and account.isdigit():
                return show(int(account))
            raise _no_such_account(account)
        case several:
            addresses = " or ".join(one.address for one in several)
            raise Refused(f"There are {len(several)} accounts named {account!r}: say {addresses}.")


def _no_such_account(name: str) -> Refused:
    there = store.listed()
    if not there:
        return Refused(f"There is no account named {name!r}, nor any other: `autoposter accounts add` connects one.")
    names = [one.name for one in there] + [one.address for one in there]
    return Refused(unknown(f"There is no account named {name!r}", name, names))


def unknown(sentence: str, word: str, known: Iterable[str]) -> str:
    """A sentence about an unknown word, with the nearest known one, or all of them."""
    by_lower = {one.lower(): str(one) for one in known}
    if near := get_close_matches(word.lower(), by_lower, n=1):
        return f"{sentence}; did you mean {by_lower[near[0]]!r}?"
    return f"{sentence}; there {'is' if len(by_lower) == 1 else 'are'} {', '.join(by_lower.values()) or 'none'}."


def listed() -> list[AccountInfo]:
    """All accounts, by platform and name."""
    return store.listed()


# --- disable, enable -------------------------------------------------------------------------------------------------


def disable(account: int | str) -> tuple[AccountInfo, bool]:
    """Hold an account's posts: they are not due.  With whether it was not `disabled` already."""
    found = show(account)
    moved = store.change_status(
        found.id, to=AccountStatus.DISABLED, needs=[AccountStatus.ACTIVE, AccountStatus.DISCONNECTED]
    )
    return show(found.id), moved


def enable(account: int | str) -> tuple[AccountInfo, bool]:
    """Let a disabled account's posts be due again.  With whether it was `disabled`.

    Raises Refused for a `disconnected` one: it needs new credentials.
    """
    found = show(account)
    moved = store.change_status(found.id, to=AccountStatus.ACTIVE, needs=[AccountStatus.DISABLED])
    now = show(found.id)
    if now.status is AccountStatus.DISCONNECTED:
        raise Refused(
            f"{now.address} is disconnected, and enabling does not help: `autoposter accounts reconnect` does."
        )
    return now, moved


# --- remove ----------------------------------------------------------------------------------------------------------


def remove(account: int | str) -> AccountInfo:
    """Delete an account with its credentials.  Raises Refused for one that has posts: their history would go too."""
    found = show(account)
    if not store.remove(found.id):
        raise Refused(
            f"{found.address} has posts, and their history would go with it: `autoposter accounts disable"
            f" {found.typed}` keeps them and publishes no more."
        )
    return found


# --- keys ------------------------------------------------------------------------------------------------------------

#: So many accounts are encrypted anew in one transaction: no worker waits longer than some milliseconds.
BATCH = 500


@dataclass(slots=True)
class Rotation:
    """What a rotation came to."""

    rotated: int = 0
    already: int = 0
    """Encrypted with the newest key before."""
    unreadable: list[str] = field(default_factory=list)
    """A sentence for each that does not open.  They stay as they are."""


def rotate(keyring: Keyring) -> Rotation:
    """Encrypt all credentials with the newest key, some at a time.

    Stopped or killed, it is run again: what is done is skipped.  Workers may run meanwhile, with both keys.
    """
    progress, last = Rotation(), 0
    while batch := store.sealed_after(last, BATCH):
        last = batch[-1][0]
        while batch:
            changes = list(_changes(batch, keyring, progress))
            won = store.reseal(changes)
            progress.rotated += len(won)
            # Refreshed or reconnected in between, perhaps by a process that encrypts with an older key.
            batch = store.sealed([account_id for account_id, _, _ in changes if account_id not in won])
    return progress


def _changes(batch: Iterable[tuple[int, str]], keyring: Keyring, progress: Rotation) -> Iterator[tuple[int, str, str]]:
    for account_id, text in batch:
        try:
            changed = keyring.rotated(account_id, text)
        except CredentialsUnreadable as error:
            progress.unreadable.append(str(error))
            continue
        if changed is None:
            progress.already += 1
        else:
            yield account_id, text, changed
