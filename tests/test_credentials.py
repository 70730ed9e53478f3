"""Credentials at rest: what opens them, what does not, and that nothing leaks on the way."""

from __future__ import annotations

import traceback

import pytest
from pydantic import BaseModel, SecretStr

from autoposter.credentials import CredentialsUnreadable, Keyring, new_key, revealed
from autoposter.errors import AutoposterError, WrongUsage

VALUES = {"token": "s3cret-token", "scopes": ["a", "b"]}


def keyring(*keys: str) -> Keyring:
    return Keyring([SecretStr(key) for key in keys])


def test_what_was_encrypted_opens_for_the_same_account() -> None:
    ring = keyring(new_key())

    text = ring.encrypt(7, VALUES)

    assert ring.decrypt(7, text) == VALUES
    assert text.startswith("v1:")
    assert "s3cret" not in text


def test_an_account_without_credentials_needs_no_key() -> None:
    assert keyring().decrypt(7, None) == {}


def test_old_credentials_open_while_their_key_is_still_listed() -> None:
    old, new = new_key(), new_key()
    text = keyring(old).encrypt(7, VALUES)

    assert keyring(new, old).decrypt(7, text) == VALUES


def test_the_first_key_encrypts() -> None:
    old, new = new_key(), new_key()

    text = keyring(new, old).encrypt(7, VALUES)

    assert keyring(new).decrypt(7, text) == VALUES


@pytest.mark.parametrize(
    ("ring", "account_id", "spoil", "says"),
    [
        (lambda key: keyring(), 7, str, "autoposter keys new"),
        (lambda key: keyring(new_key()), 7, str, "do not open with AUTOPOSTER_SECRET_KEYS"),
        (lambda key: keyring(key), 8, str, "belong to another account"),
        (lambda key: keyring(key), 7, lambda text: text[:-9], "do not open"),
        (lambda key: keyring(key), 7, lambda text: text.removeprefix("v1:"), "connect the account again"),
        (lambda key: keyring(key), 7, lambda text: "", "connect the account again"),
    ],
)
def test_what_does_not_open_is_one_sentence_without_a_secret(ring, account_id, spoil, says) -> None:  # type: ignore[no-untyped-def]
    key = new_key()
    text = spoil(keyring(key).encrypt(7, VALUES))

    with pytest.raises(CredentialsUnreadable) as caught:
        ring(key).decrypt(account_id, text)

    trace = "".join(traceback.format_exception(caught.value))
    assert says in str(caught.value)
    assert isinstance(caught.value, AutoposterError)
    assert "\n" not in str(caught.value)
    assert key not in trace
    assert "s3cret" not in trace


def test_encrypting_without_a_key_names_the_setting_and_the_command() -> None:
    with pytest.raises(WrongUsage, match=r"AUTOPOSTER_SECRET_KEYS.*autoposter keys new"):
        keyring().encrypt(7, VALUES)


def test_only_what_was_given_is_stored_and_in_clear_only_for_encrypting() -> None:
    class Inner(BaseModel):
        refresh: SecretStr

    class Credentials(BaseModel):
        token: SecretStr
        inner: Inner
        region: str = "eu"

    given = Credentials(token=SecretStr("t"), inner=Inner(refresh=SecretStr("r")))

    assert revealed(given) == {"token": "t", "inner": {"refresh": "r"}}
