"""Connecting accounts: whose credentials are these, do they work, and which of several accounts is meant.

What a publisher says here is asked in the person's own process, and nothing is stored before its platform has said yes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from pydantic import BaseModel

from autoposter import accounts, redaction
from autoposter.assembling import Unequipped
from autoposter.credentials import Keyring, revealed
from autoposter.database import database_time, transaction
from autoposter.errors import AutoposterError, Refused, WrongUsage
from autoposter.lifecycle import AccountStatus
from autoposter.outcomes import trouble, words_of
from autoposter.plugins import Host
from autoposter.publishers import Account, AccountCheck, AccountRejected, Choice, Publisher, PublishError
from autoposter.publishers.base import overrides
from autoposter.publishers.http import Wire
from autoposter.publishers.texts import clean
from autoposter.refreshing import believed, first_refresh_at
from autoposter.store import account_states
from autoposter.store import accounts as store
from autoposter.store.accounts import AccountInfo, Connection, IdentityTaken
from autoposter.workbench import open_account

#: So many accounts of one token are offered.
MOST_CHOICES = 1000


@dataclass(frozen=True, slots=True)
class Found:
    """What became of an account."""

    account: AccountInfo
    checked: bool
    """Whether its platform was asked; some cannot be."""


# --- choose ----------------------------------------------------------------------------------------------------------


def choices(publisher: type[Publisher], given: Mapping[str, Any]) -> list[Choice]:
    """The accounts that the given credentials lead to, and that agree with the given settings.

    Empty: they are one account's own, or the platform knows no such thing.  Raises Refused where none agrees.
    """
    if not overrides(publisher, "choices"):
        return []
    credentials = accounts.parsed_credentials(publisher, given)
    known = {key: value for key, value in given.items() if key in publisher.Settings.model_fields}
    account = _nobody_yet(publisher.Settings.model_construct(**known), credentials)
    with _asked(publisher, account) as asked:
        there = [_offered(one, publisher) for one in _some(asked.choices())]
    fits = [one for one in there if _agrees(one, given)]
    if there and not fits:
        raise Refused(f"These credentials do not lead to that account; they lead to {_listed(there)}.")
    return fits


def only(offered: Sequence[Choice]) -> Choice | None:
    """The one that is meant where nobody can be asked; None: there is nothing to choose.  Raises WrongUsage."""
    if len(offered) > 1:
        raise WrongUsage(f"These credentials lead to {len(offered)} accounts, say which: {_listed(offered)}.")
    return offered[0] if offered else None


def taken(choice: Choice) -> dict[str, Any]:
    """What a choice stands for, as `add` and `reconnect` take it."""
    return {**choice.settings, **revealed(choice.credentials)}


def _agrees(one: Choice, given: Mapping[str, Any]) -> bool:
    return all(str(given[key]) == str(value) for key, value in one.settings.items() if key in given)


def _some(offered: Any) -> Iterator[object]:
    for number, one in enumerate(offered or ()):
        if number >= MOST_CHOICES:
            return
        yield one


def _offered(one: object, publisher: type[Publisher]) -> Choice:
    if (
        not isinstance(one, Choice)
        or not isinstance(one.credentials, BaseModel)
        or not isinstance(one.settings, Mapping)
    ):
        raise TypeError(f"choices() must give Choices, and gave {type(one).__name__}")
    if unknown := [key for key in one.settings if key not in publisher.Settings.model_fields]:
        raise TypeError(f"choices() names the setting {unknown[0]}, which {publisher.platform} accounts do not have")
    redaction.known.remember(redaction.texts(revealed(one.credentials)))
    return replace(one, name=clean(one.name, limit=100))


def _listed(offered: Sequence[Choice]) -> str:
    shown = [f"{_told(one)} ({one.name})" for one in offered[:20]]
    return ", ".join(shown) + (", ..." if len(offered) > 20 else "")


def _told(one: Choice) -> str:
    return " ".join(f"--set {key}={value}" for key, value in one.settings.items())


# --- connect ---------------------------------------------------------------------------------------------------------


def add(publisher: type[Publisher], name: str | None, given: Mapping[str, Any], keyring: Keyring) -> Found:
    """Connect an account, after its platform has said whose it is.

    `given`: the fields of the publisher's `Settings` and `Credentials`, by their names.  `name` None: what the platform
    calls it.  One identity is connected once; of two at once the second is refused.  The row and its encrypted
    credentials appear together.
    """
    if name is not None:
        refuse_bad_name(name)
    settings, credentials = accounts.parsed(publisher, given)
    keyring.require(needed=bool(revealed(credentials)))
    said = _checked(publisher, settings, credentials)
    name = name or (said.name if said else None)
    if name is None:
        raise WrongUsage("The account needs a name: give it with --name.")
    refuse_bad_name(name)
    identity = said.external_id if said else None
    with transaction():
        account_id = store.insert(publisher.platform, name, _written(settings), identity)
        if account_id is None:
            raise _taken(publisher.platform, name, identity)
        store.connect(account_id, _written(settings), _connection(publisher, account_id, credentials, said, keyring))
    return Found(accounts.show(account_id), checked=said is not None)


def reconnect(publisher: type[Publisher], account: int | str, given: Mapping[str, Any], keyring: Keyring) -> Found:
    """Give an account new credentials, which must be the same identity's; settings that are not given stay.

    A refresh or a rejection of the old ones that is under way changes nothing any more.
    """
    found = accounts.show(account)
    stored = {key: value for key, value in found.settings.items() if key in publisher.Settings.model_fields}
    settings, credentials = accounts.parsed(publisher, {**stored, **given})
    said = _checked(publisher, settings, credentials, found)
    if said and found.external_id and said.external_id != found.external_id:
        raise Refused(
            f"These credentials are those of {said.name or 'another account'} ({said.external_id}), and {found.address}"
            f" is {found.external_id}: connect it as another account with `autoposter accounts add`."
        )
    new = _connection(publisher, found.id, credentials, said, keyring)
    try:
        won = store.connect(found.id, _written(settings), new)
    except IdentityTaken:
        raise _taken(found.platform, found.name, new.external_id) from None
    if not won:
        raise Refused(f"{found.address} was removed, or connected as another identity, in the meantime.")
    return Found(accounts.show(found.id), checked=said is not None)


def refuse_bad_name(name: str) -> None:
    """Raises WrongUsage for what cannot be an account's name."""
    if not name.strip() or name != name.strip():
        raise WrongUsage("An account's name is a text that neither is empty nor begins or ends with a space.")
    if not name.isprintable():
        raise WrongUsage(f"{name!r} is no name for an account: it contains characters that cannot be shown.")


def _connection(
    publisher: type[Publisher], account_id: int, credentials: BaseModel, said: AccountCheck | None, keyring: Keyring
) -> Connection:
    secrets = revealed(credentials)
    expire_at = said.expires_at if said else None
    return Connection(
        external_id=said.external_id if said else None,
        credentials=keyring.encrypt(account_id, secrets) if secrets else None,
        expire_at=expire_at,
        refresh_at=first_refresh_at(expire_at, database_time()) if overrides(publisher, "refresh") else None,
        is_checked=said is not None,
    )


def _written(settings: BaseModel) -> dict[str, Any]:
    return settings.model_dump(mode="json", exclude_unset=True)


def _taken(platform: str, name: str, identity: str | None) -> Refused:
    there = store.by_identity(platform, identity) if identity else None
    if there:
        return Refused(
            f"{identity} is connected already, as {there.address}:"
            f" `autoposter accounts reconnect {there.typed}` gives it new credentials."
        )
    return Refused(f"There is a {platform} account named {name!r} already: choose another name.")


# --- check -----------------------------------------------------------------------------------------------------------


def check(account: int | str, host: Host, keyring: Keyring) -> Found:
    """Ask an account's platform whether its credentials work, and note the answer.

    Raises Refused where they do not: the account is `disconnected`, unless it was reconnected meanwhile, or is due to
    be refreshed: those that come may work, and a disconnected account is not refreshed.  Raises Refused, too, where the
    platform gives no answer: then nothing is changed.
    """
    found = accounts.show(account)
    kind = host.publisher_for(found.platform)
    row = store.read(found.id)
    if row is None:
        raise Refused(f"{found.address} was removed in the meantime.")
    try:
        with _one_sentence(kind, frozenset()), open_account(kind, row, keyring) as (publisher, _):
            said = _answer(publisher, found.address)
    except Unequipped as error:
        raise Refused(str(error)) from None
    except _No as no:
        if found.status is AccountStatus.ACTIVE and found.refresh_at and found.refresh_at <= database_time():
            raise Refused(
                f"{found.address} does not work: {no} A worker is about to refresh its credentials: check again then."
            ) from None
        account_states.disconnect(row.id, credentials_version=row.credentials_version, reason=str(no))
        raise Refused(
            f"{found.address} does not work: {no}"
            f" `autoposter accounts reconnect {found.typed}` gives it new credentials."
        ) from None
    if said is None:
        return Found(found, checked=False)
    if found.external_id and said.external_id and said.external_id != found.external_id:
        raise Refused(f"{found.address} is {found.external_id}, and its credentials are those of {said.external_id}.")
    is_renewable = said.expires_at is not None and overrides(kind, "refresh")
    try:
        store.works(
            row.id,
            credentials_version=row.credentials_version,
            external_id=said.external_id,
            expire_at=said.expires_at,
            refresh_at=first_refresh_at(said.expires_at, database_time()) if is_renewable else None,
        )
    except IdentityTaken:
        raise _taken(found.platform, found.name, said.external_id) from None
    return Found(accounts.show(found.id), checked=True)


class _No(Exception):
    """The platform says that the credentials do not work; one sentence."""


def _checked(
    publisher: type[Publisher], settings: BaseModel, credentials: BaseModel, known: AccountInfo | None = None
) -> AccountCheck | None:
    """What the platform says of credentials that are not stored yet; None: it cannot be asked.  Raises Refused."""
    account = _nobody_yet(settings, credentials)
    if known:
        account = replace(account, id=known.id, name=known.name, external_id=known.external_id)
    try:
        with _asked(publisher, account) as asked:
            return _answer(asked, f"The {publisher.platform} account")
    except _No as no:
        raise Refused(f"{publisher.platform} does not take these credentials: {no}") from None


def _answer(publisher: Publisher, whose: str) -> AccountCheck | None:
    """What `check` says, made safe.  Raises _No, and Refused where there is no answer."""
    if not overrides(type(publisher), "check"):
        return None
    secrets = frozenset(redaction.texts(revealed(publisher.account.credentials)))
    with _one_sentence(type(publisher), secrets):
        try:
            said = publisher.check()
        except AccountRejected as error:
            raise _No(words_of(error, secrets)) from None
        if not isinstance(said, AccountCheck):
            raise TypeError(f"check() must return an AccountCheck, and returned {type(said).__name__}")
        if not said.ok:
            raise _No(clean(said.problem or "It does not say why.", secrets))
        if said.external_id is not None and not isinstance(said.external_id, str):
            raise TypeError("check() must say external_id as a text")
    return replace(
        said,
        external_id=clean(said.external_id, secrets, limit=500) or None if said.external_id else None,
        name=clean(said.name, secrets, limit=100).strip() or None if said.name else None,
        expires_at=believed(said.expires_at, database_time(), whose),
    )


def _nobody_yet(settings: BaseModel, credentials: BaseModel) -> Account:
    return Account(id=0, name="", external_id=None, settings=settings, credentials=credentials)


@contextmanager
def _asked(kind: type[Publisher], account: Account) -> Iterator[Publisher]:
    """A publisher of an account that is not stored.  What it raises ends in one sentence, without a secret."""
    secrets = frozenset(redaction.texts(revealed(account.credentials)))
    redaction.known.remember(secrets)
    with Wire(secrets=secrets) as wire, _one_sentence(kind, secrets):
        yield kind(account, wire.client)


@contextmanager
def _one_sentence(kind: type[Publisher], secrets: frozenset[str]) -> Iterator[None]:
    try:
        yield
    except (_No, Unequipped, AutoposterError, KeyboardInterrupt):
        raise
    except PublishError as error:
        raise Refused(f"{kind.platform} refused: {words_of(error, secrets)}") from None
    except BaseException as error:
        what = redaction.known.text(trouble(error, secrets))
        raise Refused(f"{kind.platform} gave no answer, and nothing was changed ({what}).") from None
