"""Connecting accounts: whose they are, that nobody is connected twice, and what nobody may learn about them."""

from __future__ import annotations

import traceback
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

import puppets
import pytest
from puppets import raises, returns
from pydantic import BaseModel, Field, SecretStr, field_validator

from autoposter import accounts, connecting, scheduling
from autoposter.credentials import Keyring, new_key
from autoposter.errors import Refused, WrongUsage
from autoposter.lifecycle import AccountStatus, ErrorKind, Status
from autoposter.plugins import Host
from autoposter.publishers import (
    AccountCheck,
    AccountRejected,
    Choice,
    Delivery,
    Post,
    Publisher,
    Receipt,
    Refreshed,
    Transient,
)
from autoposter.publishing import publish_post
from autoposter.store import account_states, reports
from autoposter.store.accounts import AccountInfo
from autoposter.store.reports import Selection

SECOND = timedelta(seconds=1)
MINUTE = timedelta(minutes=1)
DAY = timedelta(days=1)


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


def add(*given: Any) -> AccountInfo:
    return connecting.add(*given).account


RIGHT = {"page_id": "1", "token": "s3cret-token"}


@pytest.fixture(autouse=True)
def keyring(database) -> Keyring:
    return Keyring([SecretStr(new_key())])


def test_an_account_is_connected_with_its_credentials_encrypted(keyring, factories):
    added = add(Board, "Shop", RIGHT, keyring)

    row = factories.row("channel_account", added.id)
    assert row["settings"] == {"page_id": "1"}
    assert keyring.decrypt(added.id, row["credentials"]) == {"token": "s3cret-token"}
    assert "s3cret" not in str(row) + repr(added)
    assert (added.address, added.status, added.has_credentials) == ("board:Shop", AccountStatus.ACTIVE, True)


def test_an_account_without_credentials_needs_no_key(factories):
    added = add(Open, "Shop", {}, Keyring([]))

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
        add(Board, name, given, keyring)

    trace = "".join(traceback.format_exception(refusal.value))
    assert "\n" not in str(refusal.value)
    assert "s3cret" not in trace
    assert "shh!" not in trace
    assert factories.query("select count(*) from channel_account") == [(0,)]


def test_without_a_key_nothing_is_written(factories):
    with pytest.raises(WrongUsage, match=r"AUTOPOSTER_SECRET_KEYS.*autoposter keys new"):
        add(Board, "Shop", RIGHT, Keyring([]))

    assert factories.query("select count(*) from channel_account") == [(0,)]


def test_a_name_is_given_once_on_each_platform(keyring, make_account):
    make_account(platform="board", name="Shop")
    make_account(platform="stub", name="Cafe")

    with pytest.raises(Refused, match="a board account named 'Shop' already"):
        add(Board, "Shop", RIGHT, keyring)
    assert add(Board, "Cafe", RIGHT, keyring).id > 0


def test_of_two_at_once_one_is_refused(keyring):
    def one(_: int) -> bool:
        try:
            add(Board, "Shop", RIGHT, keyring)
        except Refused:
            return False
        return True

    with ThreadPoolExecutor(4) as threads:
        assert sorted(threads.map(one, range(4))) == [False, False, False, True]


# --- whose is it -----------------------------------------------------------------------------------------------------


class Town(Publisher):
    """A platform whose tokens are `NAME-token`: of the user of that name, who has pages."""

    platform = "town"
    delivery = Delivery.BLIND
    says: ClassVar[dict[str, Any]] = {}
    """By method: what it does instead."""

    class Settings(BaseModel):
        page: str
        api_url: str = "https://town.example"

    class Credentials(BaseModel):
        token: SecretStr

    def publish(self, post: Post, prepared: dict[str, Any]) -> Receipt:
        if self.holder.startswith("revoked"):
            raise AccountRejected("The token was revoked.")
        return Receipt(f"p{post.id}")

    @property
    def holder(self) -> str:
        return self.account.credentials.token.get_secret_value().removesuffix("-token")  # type: ignore[attr-defined]

    def choices(self) -> Iterable[Choice]:
        if "choices" in self.says:
            return self.says["choices"](self, None)
        if "/" in self.holder:
            return ()  # a page's own token
        return [self.page(name) for name in ("bakery", "cafe")]

    def page(self, name: str) -> Choice:
        credentials = self.Credentials(token=SecretStr(f"{self.holder}/{name}-token"))
        return Choice(name.title(), {"page": name}, credentials)

    def check(self) -> AccountCheck:
        if "check" in self.says:
            return self.says["check"](self, None)
        if self.holder.startswith("revoked"):
            return AccountCheck(ok=False, problem=f"The token {self.holder}-token was revoked.")
        page = self.account.settings.page  # type: ignore[attr-defined]
        return AccountCheck(
            ok=True, external_id=f"id-{page}", name=page.title(), expires_at=datetime.now(UTC) + 60 * DAY
        )

    def refresh(self) -> Refreshed | None:
        return None


class TownHost(Host):
    def publisher_for(self, platform: str) -> type[Publisher]:
        return Town


@pytest.fixture(autouse=True)
def _town() -> None:
    Town.says.clear()


USERS = {"token": "ann-token"}
CAFE = {"page": "cafe", "token": "ann/cafe-token"}


def test_a_connected_account_has_the_identity_name_and_expiry_that_its_platform_says(keyring, factories):
    found = connecting.add(Town, None, CAFE, keyring)

    row = factories.row("channel_account", found.account.id)
    assert (row["name"], row["external_id"], row["status"]) == ("Cafe", "id-cafe", "active")
    assert timedelta(0) < datetime.now(UTC) + 60 * DAY - row["credentials_expire_at"] < 60 * SECOND
    assert row["refresh_at"] == row["credentials_expire_at"] - 7 * DAY
    assert row["checked_at"] is not None and found.checked


@pytest.mark.parametrize(
    ("ends_in", "refreshed_in"), [(3 * DAY, timedelta(0)), (None, timedelta(hours=25))], ids=["soon", "unknown"]
)
def test_credentials_that_end_soon_or_nobody_knows_when_are_refreshed_before_long(
    keyring, factories, ends_in, refreshed_in
):
    ends_at = datetime.now(UTC) + ends_in if ends_in else None
    Town.says["check"] = returns(AccountCheck(ok=True, external_id="id-cafe", expires_at=ends_at))

    connected = connecting.add(Town, "Shop", CAFE, keyring).account

    assert abs(factories.row("channel_account", connected.id)["refresh_at"] - datetime.now(UTC) - refreshed_in) < MINUTE


@pytest.mark.parametrize("ends_in", [3 * DAY, None], ids=["soon", "unknown"])
def test_a_check_tells_no_more_than_the_platform_about_when_to_refresh(keyring, factories, ends_in):
    account = connecting.add(Town, "Shop", CAFE, keyring).account
    planned = factories.row("channel_account", account.id)["refresh_at"]
    ends_at = datetime.now(UTC) + ends_in if ends_in else None
    Town.says["check"] = returns(AccountCheck(ok=True, external_id="id-cafe", expires_at=ends_at))

    check(keyring)

    refresh_at = factories.row("channel_account", account.id)["refresh_at"]
    assert refresh_at < datetime.now(UTC) if ends_in else refresh_at == planned


def test_one_identity_is_connected_once(keyring, factories):
    connecting.add(Town, "My Shop", CAFE, keyring)

    with pytest.raises(Refused, match=r"id-cafe is connected already, as town:My Shop: .* reconnect 'town:My Shop'`"):
        connecting.add(Town, "Other", CAFE, keyring)

    assert factories.query("select count(*) from channel_account") == [(1,)]


NO_ANSWERS = {
    "says no": (
        returns(AccountCheck(ok=False, problem="ann/cafe-token is revoked")),
        r"does not take .*: \*\*\* is rev",
    ),
    "no without why": (returns(AccountCheck(ok=False)), "It does not say why"),
    "rejected": (raises(AccountRejected("bad ann/cafe-token")), r"does not take these credentials: bad \*\*\*"),
    "transient": (raises(Transient("busy")), "refused: busy"),
    "timeout": (raises(TimeoutError("ann/cafe-token")), r"gave no answer.*TimeoutError: \*\*\*"),
    "bug": (raises(KeyError("ann/cafe-token")), r"gave no answer.*KeyError"),
    "exit": (raises(SystemExit(1)), "gave no answer"),
    "garbage": (returns("yes"), "must return an AccountCheck"),
    "a number": (returns(AccountCheck(ok=True, external_id=7)), "external_id as a text"),  # type: ignore[arg-type]
}


@pytest.mark.parametrize(("check", "says"), NO_ANSWERS.values(), ids=NO_ANSWERS)
def test_nothing_is_stored_before_the_platform_has_said_yes(check, says, keyring, factories, caplog):
    Town.says["check"] = check

    with pytest.raises(Refused, match=says) as refusal:
        connecting.add(Town, "Shop", CAFE, keyring)

    assert "ann/cafe" not in "".join(traceback.format_exception(refusal.value)) + caplog.text
    assert "\n" not in str(refusal.value)
    assert factories.query("select count(*) from channel_account") == [(0,)]


# --- choose ----------------------------------------------------------------------------------------------------------


def test_a_users_token_leads_to_accounts_to_choose_from(keyring):
    offered = connecting.choices(Town, {"token": "ann-token"})

    assert [one.name for one in offered] == ["Bakery", "Cafe"]
    assert "ann" not in repr(offered)
    with pytest.raises(WrongUsage, match=r"2 accounts, say which: --set page=bakery \(Bakery\), --set page=cafe"):
        connecting.only(offered)
    added = connecting.add(Town, None, connecting.taken(offered[1]), keyring).account
    assert (added.name, added.settings) == ("Cafe", {"page": "cafe"})


def test_a_setting_that_was_given_chooses(keyring):
    (only,) = connecting.choices(Town, {"token": "ann-token", "page": "cafe"})

    assert connecting.only([only]) is only
    with pytest.raises(Refused, match="do not lead to that account; they lead to --set page=bakery"):
        connecting.choices(Town, {"token": "ann-token", "page": "butcher"})


def test_where_there_is_nothing_to_choose_the_given_is_meant(keyring):
    assert connecting.choices(Town, CAFE) == []
    assert connecting.only([]) is None
    assert connecting.choices(Board, RIGHT) == []


@pytest.mark.parametrize(
    ("choices", "says"),
    [
        (raises(AccountRejected("no ann-token")), r"refused: no \*\*\*"),
        (raises(OSError("down")), "gave no answer"),
        (returns(["bakery"]), "must give Choices"),
        (returns([Choice("X", {"pge": "1"}, Town.Credentials(token=SecretStr("t")))]), "the setting pge"),
        (lambda town, _: town.account.settings.page, "AttributeError"),
    ],
)
def test_choices_that_cannot_be_had_are_one_sentence(choices, says, keyring):
    Town.says["choices"] = choices

    with pytest.raises(Refused, match=says) as refusal:
        connecting.choices(Town, USERS)

    assert USERS["token"] not in "".join(traceback.format_exception(refusal.value))


# --- check -----------------------------------------------------------------------------------------------------------


def check(keyring: Keyring) -> connecting.Found:
    return connecting.check("Shop", TownHost(), keyring)


def test_a_check_notes_what_the_platform_says(keyring, factories):
    account = connecting.add(Town, "Shop", CAFE, keyring).account
    factories.query(
        "update channel_account set external_id = null, checked_at = null, credentials_expire_at = null,"
        " refresh_at = null, status = 'disconnected', last_error = 'revoked'"
    )

    assert check(keyring).account.status is AccountStatus.ACTIVE

    row = factories.row("channel_account", account.id)
    assert (row["external_id"], row["last_error"], row["credentials_version"]) == ("id-cafe", None, 1)
    assert row["checked_at"] and row["refresh_at"] < row["credentials_expire_at"]


def test_a_check_that_is_answered_with_no_disconnects_and_one_without_an_answer_changes_nothing(keyring, factories):
    account = connecting.add(Town, "Shop", CAFE, keyring).account
    before = factories.row("channel_account", account.id)

    for trouble in (raises(TimeoutError()), raises(Transient("busy")), returns(None)):
        Town.says["check"] = trouble
        with pytest.raises(Refused):
            check(keyring)
        assert factories.row("channel_account", account.id) == before
    Town.says["check"] = returns(AccountCheck(ok=False, problem="revoked"))
    with pytest.raises(Refused, match="does not work: revoked `autoposter accounts reconnect town:Shop`"):
        check(keyring)

    after = factories.row("channel_account", account.id)
    assert (after["status"], after["last_error"]) == ("disconnected", "revoked")


def test_a_no_to_credentials_that_wait_to_be_refreshed_disconnects_nobody(keyring, factories):
    account = connecting.add(Town, "Shop", CAFE, keyring).account
    Town.says["check"] = returns(AccountCheck(ok=False, problem="expired"))
    factories.query("update channel_account set refresh_at = now() - interval '1 s'")

    with pytest.raises(Refused, match="does not work: expired A worker is about to refresh its credentials"):
        check(keyring)

    assert factories.row("channel_account", account.id)["status"] == "active", "else nobody would refresh them"


def test_a_check_with_the_wrong_key_is_one_sentence_and_changes_nothing(keyring, factories):
    account = connecting.add(Town, "Shop", CAFE, keyring).account
    before = factories.row("channel_account", account.id)

    with pytest.raises(Refused, match="do not open with AUTOPOSTER_SECRET_KEYS"):
        check(Keyring([SecretStr(new_key())]))

    assert factories.row("channel_account", account.id) == before


def test_a_check_finds_that_the_identity_is_connected_already_or_another(keyring, factories):
    connecting.add(Town, "Shop", CAFE, keyring)
    factories.query("update channel_account set external_id = null")
    connecting.add(Town, "Twin", CAFE, keyring)

    with pytest.raises(Refused, match="id-cafe is connected already, as town:Twin"):
        check(keyring)
    factories.query("update channel_account set external_id = 'id-else' where name = 'Shop'")
    with pytest.raises(Refused, match="town:Shop is id-else, and its credentials are those of id-cafe"):
        check(keyring)


# --- reconnect -------------------------------------------------------------------------------------------------------


def test_a_reconnected_account_is_active_with_new_credentials_and_its_settings_stay(keyring, factories):
    account = connecting.add(Town, "Shop", CAFE | {"api_url": "https://other.example"}, keyring).account
    factories.query(
        "update channel_account set status = 'disconnected', last_error = 'revoked', refresh_failures = 4,"
        " refreshing_until = now() + interval '1 minute'"
    )

    again = connecting.reconnect(Town, "Shop", {"token": "ben/cafe-token"}, keyring).account

    row = factories.row("channel_account", account.id)
    assert (again.status, again.settings) == (
        AccountStatus.ACTIVE,
        {"page": "cafe", "api_url": "https://other.example"},
    )
    assert keyring.decrypt(account.id, row["credentials"]) == {"token": "ben/cafe-token"}
    assert (row["credentials_version"], row["last_error"], row["refreshing_until"]) == (2, None, None)
    assert row["refresh_failures"] == 0


def test_reconnecting_takes_only_the_same_identity(keyring, factories):
    account = connecting.add(Town, "Shop", CAFE, keyring).account
    before = factories.row("channel_account", account.id)

    with pytest.raises(Refused, match=r"those of Bakery \(id-bakery\), and town:Shop is id-cafe: connect it"):
        connecting.reconnect(Town, "Shop", {"token": "ann/bakery-token", "page": "bakery"}, keyring)

    assert factories.row("channel_account", account.id) == before


def test_a_disabled_account_stays_disabled_when_it_is_reconnected(keyring):
    connecting.add(Town, "Shop", CAFE, keyring)
    accounts.disable("Shop")

    assert connecting.reconnect(Town, "Shop", CAFE, keyring).account.status is AccountStatus.DISABLED


def test_an_identity_that_was_not_known_must_not_be_another_accounts(keyring, factories):
    connecting.add(Town, "Shop", CAFE, keyring)
    factories.query("update channel_account set external_id = null")
    connecting.add(Town, "Twin", CAFE, keyring)

    with pytest.raises(Refused, match="connected already, as town:Twin"):
        connecting.reconnect(Town, "Shop", CAFE, keyring)


def test_a_persons_reconnect_in_the_middle_of_a_publish_with_the_old_token_does_not_disconnect(
    keyring, factories, post_row, monkeypatch
):
    account = connecting.add(Town, "Shop", CAFE, keyring).account
    post = factories.post(-SECOND, channel_account_id=account.id)

    def publish(self: Town, post: Post, prepared: dict[str, Any]) -> Receipt:
        if self.holder == "ann/cafe":
            connecting.reconnect(Town, "Shop", {"token": "ben/cafe-token"}, keyring)
            raise AccountRejected("The token was revoked.")
        return Receipt("p1")

    monkeypatch.setattr(Town, "publish", publish)
    bench = puppets.bench(host=TownHost(), keyring=keyring)

    publish_post(post, bench)
    waiting = post_row(post), accounts.show("Shop").status
    factories.query("update post_instance set retry_at = now()")
    publish_post(post, bench)

    assert (waiting[0]["status"], waiting[1]) == ("Scheduled", AccountStatus.ACTIVE)
    assert "reconnected meanwhile" in waiting[0]["last_error"]
    assert post_row(post)["status"] == "Posted"
    assert not account_states.disconnect(account.id, credentials_version=1, reason="an old attempt's")


def test_a_token_revoked_with_500_posts_ahead_costs_the_due_ones_and_one_command_brings_them_back(
    keyring, factories, post_row
):
    account = connecting.add(Town, "Shop", CAFE, keyring).account
    content = factories.content()
    posts = [
        row[0]
        for row in factories.query(
            "insert into post_instance (channel_account_id, content_item_id, scheduled_for)"
            " select %s, %s, now() - interval '1 s' + (n / 3) * interval '1 hour' from generate_series(0, 500) n"
            " returning id",
            (account.id, content),
        )
    ]
    due, later = posts[:3], posts[3:]
    rest = "select * from post_instance where id = any(%s) order by id"
    before = factories.query(rest, (later,))
    revoked = keyring.encrypt(account.id, {"token": "revoked/cafe-token"})
    factories.query("update channel_account set credentials = %s", (revoked,))
    bench = puppets.bench(host=TownHost(), keyring=keyring)

    for post in due:
        publish_post(post, bench)

    assert [post_row(post)["status"] for post in due] == ["Failed"] * 3
    assert accounts.show("Shop").status is AccountStatus.DISCONNECTED
    assert "accounts reconnect Shop" in post_row(due[2])["last_error"], "without a call"
    assert factories.query(rest, (later,)) == before

    connecting.reconnect(Town, "Shop", CAFE, keyring)
    failed = reports.selected(Selection(account_id=account.id, because=ErrorKind.ACCOUNT, statuses=[Status.FAILED]))
    moved = scheduling.retry(failed)
    for post in due:
        publish_post(post, bench)

    assert sorted(failed) == sorted(due) and all(verdict.moved for verdict in moved)
    assert [post_row(post)["status"] for post in due] == ["Posted"] * 3
    assert factories.query(rest, (later,)) == before
