"""Connecting accounts, finding them, and what nobody may learn about them."""

from __future__ import annotations

import traceback
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from pydantic import BaseModel, Field, SecretStr, field_validator

from autoposter import accounts
from autoposter.credentials import Keyring, new_key
from autoposter.errors import AutoposterError, Refused, WrongUsage
from autoposter.lifecycle import AccountStatus
from autoposter.publishers import Delivery, Post, Publisher, Receipt


class Board(Publisher):
    platform = "board"
    delivery = Delivery.BLIND

    class Settings(BaseModel):
        page_id: str = Field(pattern=r"^\d+$")
        api_url: str = "https://board.example"

    class Credentials(BaseModel):
        token: SecretStr
        lifetime: timedelta | None = None

        @field_validator("token")
        @classmethod
        def _long_enough(cls, token: SecretStr) -> SecretStr:
            if len(token.get_secret_value()) < 5:
                raise ValueError(f"the token {token.get_secret_value()} is too short")
            return token

    def publish(self, post: Post, prepared: dict[str, object]) -> Receipt:
        raise NotImplementedError


class Open(Publisher):
    """Takes nothing."""

    platform = "open"
    delivery = Delivery.BLIND

    def publish(self, post: Post, prepared: dict[str, object]) -> Receipt:
        raise NotImplementedError


RIGHT = {"page_id": "1", "token": "s3cret-token"}


@pytest.fixture(autouse=True)
def keyring(database) -> Keyring:
    return Keyring([SecretStr(new_key())])


def test_an_account_is_connected_with_its_credentials_encrypted(keyring, factories):
    added = accounts.add(Board, "Shop", RIGHT, keyring)

    row = factories.row("channel_account", added.id)
    assert row["settings"] == {"page_id": "1"}
    assert keyring.decrypt(added.id, row["credentials"]) == {"token": "s3cret-token"}
    assert "s3cret" not in str(row) + repr(added)
    assert (added.address, added.status, added.has_credentials) == ("board:Shop", AccountStatus.ACTIVE, True)


def test_an_account_without_credentials_needs_no_key(factories):
    added = accounts.add(Open, "Shop", {}, Keyring([]))

    assert factories.row("channel_account", added.id)["credentials"] is None


@pytest.mark.parametrize(
    ("name", "given", "says"),
    [
        ("Shop", RIGHT | {"tokn": "x"}, "no 'tokn'; did you mean 'token'"),
        ("Shop", RIGHT | {"zzz": "x"}, "no 'zzz'; there are page_id, api_url, token, lifetime"),
        ("Shop", {}, "also need page_id, token"),
        ("Shop", {"page_id": "1"}, "need token: give it"),
        ("Shop", RIGHT | {"page_id": "one"}, "page_id: "),
        ("Shop", RIGHT | {"token": "shh!"}, "token: "),
        ("", RIGHT, "An account's name"),
        ("Shop ", RIGHT, "An account's name"),
        ("Sh\x1bop", RIGHT, "cannot be shown"),
    ],
)
def test_what_cannot_be_connected_is_one_sentence_without_a_secret(name, given, says, keyring, factories):
    with pytest.raises(WrongUsage, match=says) as refusal:
        accounts.add(Board, name, given, keyring)

    trace = "".join(traceback.format_exception(refusal.value))
    assert "\n" not in str(refusal.value)
    assert "s3cret" not in trace
    assert "shh!" not in trace
    assert factories.query("select count(*) from channel_account") == [(0,)]


def test_without_a_key_nothing_is_written(factories):
    with pytest.raises(WrongUsage, match=r"AUTOPOSTER_SECRET_KEYS.*autoposter keys new"):
        accounts.add(Board, "Shop", RIGHT, Keyring([]))

    assert factories.query("select count(*) from channel_account") == [(0,)]


def test_a_name_is_given_once_on_each_platform(keyring, make_account):
    make_account(platform="board", name="Shop")
    make_account(platform="stub", name="Cafe")

    with pytest.raises(Refused, match="a board account named 'Shop' already"):
        accounts.add(Board, "Shop", RIGHT, keyring)
    assert accounts.add(Board, "Cafe", RIGHT, keyring).id > 0


def test_of_two_at_once_one_is_refused(keyring):
    def one(_: int) -> bool:
        try:
            accounts.add(Board, "Shop", RIGHT, keyring)
        except Refused:
            return False
        return True

    with ThreadPoolExecutor(4) as threads:
        assert sorted(threads.map(one, range(4))) == [False, False, False, True]


def test_an_account_is_found_by_id_name_and_address(make_account):
    shop = make_account(platform="board", name="Shop")
    twins = make_account(platform="board", name="Twin"), make_account(platform="stub", name="Twin")
    numbered = make_account(name=str(shop))
    colon = make_account(name="board:Twin")

    assert accounts.show(shop).id == accounts.show("Shop").id == accounts.show("board:Shop").id == shop
    assert accounts.show("stub:Twin").id == twins[1]
    assert accounts.show(str(shop)).id == numbered, "a name goes before an id"
    assert accounts.show(str(twins[0])).id == twins[0]
    assert accounts.show("board:Twin").id == colon, "a name goes before an address"


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ("Twin", "2 accounts named 'Twin': say board:Twin or stub:Twin"),
        ("twn", "did you mean 'Twin'"),
        ("board:Twn", "did you mean 'board:Twin'"),
        ("4711", "no account 4711"),
        (4711, "no account 4711"),
        ("", "no account named ''"),
        ("a\0b", "no account named"),
    ],
)
def test_an_account_that_cannot_be_meant_is_refused_with_what_can(asked, says, make_account):
    make_account(platform="board", name="Twin")
    make_account(platform="stub", name="Twin")

    with pytest.raises(AutoposterError, match=says) as refusal:
        accounts.show(asked)

    assert "\n" not in str(refusal.value)


def test_where_there_are_no_accounts_the_command_is_named():
    with pytest.raises(Refused, match="autoposter accounts add"):
        accounts.show("Shop")


def test_a_disabled_account_is_enabled_again(make_account):
    make_account(name="Shop")

    first, again = accounts.disable("Shop"), accounts.disable("Shop")
    enabled, still = accounts.enable("Shop"), accounts.enable("Shop")

    assert (first[0].status, first[1], again[1]) == (AccountStatus.DISABLED, True, False)
    assert (enabled[0].status, enabled[1], still[1]) == (AccountStatus.ACTIVE, True, False)


def test_a_disconnected_account_needs_more_than_enabling(make_account, factories):
    account_id = make_account(name="Shop", status="disconnected")

    with pytest.raises(Refused, match="reconnect"):
        accounts.enable("Shop")

    assert factories.row("channel_account", account_id)["status"] == "disconnected"
