"""What people and applications do with channel accounts: connect, find, disable and enable them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import Any

from pydantic import BaseModel, ValidationError

from autoposter.credentials import Keyring, revealed
from autoposter.database import transaction
from autoposter.errors import Refused, WrongUsage
from autoposter.lifecycle import AccountStatus
from autoposter.publishers import Publisher
from autoposter.store import accounts as store
from autoposter.store.accounts import AccountInfo

# --- connect ---------------------------------------------------------------------------------------------------------


def add(publisher: type[Publisher], name: str, given: Mapping[str, Any], keyring: Keyring) -> AccountInfo:
    """Connect an account.  `given`: the fields of the publisher's `Settings` and `Credentials`, by their names.

    Two of one name at once: the second is refused.  The row and its encrypted credentials appear together.
    """
    _refuse_bad_name(name)
    settings, credentials = parsed(publisher, given)
    with transaction():
        account_id = store.insert(publisher.platform, name, settings.model_dump(mode="json", exclude_unset=True))
        if account_id is None:
            raise Refused(f"There is a {publisher.platform} account named {name!r} already: choose another name.")
        if secrets := revealed(credentials):
            store.write_credentials(account_id, keyring.encrypt(account_id, secrets))
    return show(account_id)


def _refuse_bad_name(name: str) -> None:
    if not name.strip() or name != name.strip():
        raise WrongUsage("An account's name is a text that neither is empty nor begins or ends with a space.")
    if not name.isprintable():
        raise WrongUsage(f"{name!r} is no name for an account: it contains characters that cannot be shown.")


def parsed(publisher: type[Publisher], given: Mapping[str, Any]) -> tuple[BaseModel, BaseModel]:
    """The publisher's `Settings` and `Credentials` with what was given.  Raises WrongUsage, without any value."""
    known = fields(publisher)
    for key in given:
        if key not in known:
            raise WrongUsage(unknown(f"{publisher.platform} accounts have no {key!r}", key, known))
    missing = [key for key in required(publisher) if key not in given]
    if missing:
        raise WrongUsage(
            f"{publisher.platform} accounts also need {', '.join(missing)}:"
            f" give {'it' if len(missing) == 1 else 'each'} with --set {missing[0]}=VALUE."
        )
    return _built(publisher.Settings, given, secret=False), _built(publisher.Credentials, given, secret=True)


def fields(publisher: type[Publisher]) -> list[str]:
    """Every key that `accounts add` takes, settings first."""
    return [*publisher.Settings.model_fields, *publisher.Credentials.model_fields]


def required(publisher: type[Publisher]) -> list[str]:
    """The keys without which an account cannot be connected, settings first."""
    both = publisher.Settings.model_fields | publisher.Credentials.model_fields
    return [name for name, field in both.items() if field.is_required()]


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
