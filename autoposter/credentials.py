"""Credentials at rest: encrypted with Fernet, bound to their account, readable with any of the keys.

The text is `v1:` and a Fernet token of `{"account": ID, "values": {...}}`.  Because the account's id is inside, a token
that somebody copies to another account's row does not open there.  The first key encrypts; all of them decrypt.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from pydantic import BaseModel, SecretBytes, SecretStr
from pydantic_core import to_jsonable_python

from autoposter import redaction
from autoposter.errors import Refused, WrongUsage

#: What every text of this format begins with.
VERSION = "v1:"

NO_KEY = "AUTOPOSTER_SECRET_KEYS is not set: set it to a key that `autoposter keys new` made, here and for every worker"


class CredentialsUnreadable(Refused):
    """Stored credentials cannot be decrypted.  One sentence, without any secret."""


class Keyring:
    """The keys of AUTOPOSTER_SECRET_KEYS, newest first.  May be empty where no account has credentials.

    What passes through it is remembered by `redaction.known`, so that no log shows it.
    """

    def __init__(self, keys: Sequence[SecretStr]) -> None:
        try:
            fernets = [Fernet(key.get_secret_value()) for key in keys]
        except ValueError:
            raise WrongUsage("AUTOPOSTER_SECRET_KEYS holds what is no key; `autoposter keys new` makes one.") from None
        redaction.known.keep(key.get_secret_value() for key in keys)
        self._newest = fernets[0] if fernets else None
        self._any = MultiFernet(fernets) if fernets else None

    def require(self, *, needed: bool) -> None:
        """Raises WrongUsage without a key, before anything is asked that could then not be stored."""
        if needed and self._any is None:
            raise WrongUsage(f"Credentials are stored encrypted, and {NO_KEY}.")

    def encrypt(self, account_id: int, values: dict[str, Any]) -> str:
        """What to store as `credentials` of that account.  Raises WrongUsage without a key."""
        redaction.known.remember(redaction.texts(values))
        return self._sealed(account_id, values)

    def decrypt(self, account_id: int, text: str | None) -> dict[str, Any]:
        """The values that were stored for that account; `{}` where there are none.  Raises CredentialsUnreadable."""
        if text is None:
            return {}
        values = self._opened(account_id, text)
        redaction.known.remember(redaction.texts(values))
        return values

    def rotated(self, account_id: int, text: str) -> str | None:
        """The same credentials, encrypted with the newest key; None: they are already.  Raises as `decrypt` does."""
        values = self._opened(account_id, text)
        assert self._newest
        try:
            self._newest.decrypt(text.removeprefix(VERSION).encode())
        except InvalidToken:
            return self._sealed(account_id, values)
        return None

    def _sealed(self, account_id: int, values: dict[str, Any]) -> str:
        self.require(needed=True)
        assert self._any
        text = json.dumps({"account": account_id, "values": values}, separators=(",", ":"))
        return VERSION + self._any.encrypt(text.encode()).decode("ascii")

    def _opened(self, account_id: int, text: str) -> dict[str, Any]:
        if self._any is None:
            raise CredentialsUnreadable(f"The credentials of account {account_id} are encrypted, and {NO_KEY}.")
        # `from None` in here: nothing of what failed to open may be seen in a trace.
        if not text.startswith(VERSION):
            raise CredentialsUnreadable(
                f"The credentials of account {account_id} were not written by this version of autoposter:"
                " upgrade it, or connect the account again."
            )
        try:
            opened = json.loads(self._any.decrypt(text.removeprefix(VERSION).encode()))
        except (InvalidToken, ValueError):
            raise CredentialsUnreadable(
                f"The credentials of account {account_id} do not open with AUTOPOSTER_SECRET_KEYS:"
                " add the key that they were stored with, or connect the account again."
            ) from None
        if opened["account"] != account_id:
            raise CredentialsUnreadable(
                f"The credentials in the row of account {account_id} belong to another account: connect it again."
            )
        values: dict[str, Any] = opened["values"]
        return values


def new_key() -> str:
    """A key for AUTOPOSTER_SECRET_KEYS."""
    return Fernet.generate_key().decode("ascii")


def revealed(values: BaseModel) -> dict[str, Any]:
    """The fields of a `Credentials` that were given, as JSON with their secrets in clear: only for `encrypt`."""
    plain: dict[str, Any] = to_jsonable_python(_reveal(values.model_dump(exclude_unset=True)))
    return plain


def _reveal(value: Any) -> Any:
    match value:
        case SecretStr() | SecretBytes():
            return value.get_secret_value()
        case dict():
            return {key: _reveal(inner) for key, inner in value.items()}
        case list() | tuple() | set() | frozenset():
            return [_reveal(inner) for inner in value]
    return value
