"""Finding accounts, disabling, enabling and removing them, and encrypting their credentials anew."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest
from factories import Factories
from pydantic import SecretStr

from autoposter import accounts
from autoposter.credentials import Keyring, new_key
from autoposter.errors import AutoposterError, Refused
from autoposter.lifecycle import AccountStatus


@pytest.fixture(autouse=True)
def _connected(database) -> None:
    """Every test here asks the database."""


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


def test_an_account_without_posts_is_removed_with_its_credentials(make_account, factories):
    make_account(name="Shop", credentials="v1:x")

    assert accounts.remove("Shop").name == "Shop"

    assert factories.query("select count(*) from channel_account") == [(0,)]


def test_an_account_with_posts_stays_and_what_to_do_is_said(make_account, make_post, factories):
    make_post(channel_account_id=make_account(name="Shop"))

    with pytest.raises(Refused, match=r"stub:Shop has posts.*`autoposter accounts disable stub:Shop`"):
        accounts.remove("Shop")

    assert factories.query("select count(*) from channel_account") == [(1,)]


# --- keys ------------------------------------------------------------------------------------------------------------


def sealed_accounts(factories: Factories, ring: Keyring, count: int) -> list[int]:
    """So many accounts, each with a token that tells whose it is."""
    ids = [
        row[0]
        for row in factories.query(
            "insert into channel_account (platform, name) select 'stub', 'Sealed ' || n"
            " from generate_series(1, %s) n returning id",
            (count,),
        )
    ]
    texts = [ring.encrypt(account_id, {"token": f"token of {account_id}"}) for account_id in ids]
    factories.query(
        "update channel_account a set credentials = g.text, credentials_version = 3"
        " from unnest(%s::bigint[], %s::text[]) as g (id, text) where a.id = g.id",
        (ids, texts),
    )
    return ids


def assert_all_open(factories: Factories, ring: Keyring, count: int) -> None:
    found = factories.query("select id, credentials, credentials_version from channel_account")
    assert len(found) == count
    for account_id, text, version in found:
        assert (ring.decrypt(account_id, text), version) == ({"token": f"token of {account_id}"}, 3)


def test_rotating_encrypts_all_with_the_newest_key_and_a_second_run_does_nothing(factories):
    old, new = SecretStr(new_key()), SecretStr(new_key())
    sealed_accounts(factories, Keyring([old]), 2 * accounts.BATCH + 7)

    first, second = accounts.rotate(Keyring([new, old])), accounts.rotate(Keyring([new, old]))

    assert (first.rotated, first.already, first.unreadable) == (2 * accounts.BATCH + 7, 0, [])
    assert (second.rotated, second.already) == (0, 2 * accounts.BATCH + 7)
    assert_all_open(factories, Keyring([new]), 2 * accounts.BATCH + 7)


def test_what_does_not_open_is_named_and_left_as_it_is(factories):
    old, new, lost = (SecretStr(new_key()) for _ in range(3))
    (foreign,) = sealed_accounts(factories, Keyring([lost]), 1)
    copied = factories.account(credentials=factories.row("channel_account", foreign)["credentials"])
    before = factories.query("select id, credentials from channel_account order by id")
    factories.query("insert into channel_account (platform, name) values ('stub', 'without')")
    ok = factories.account()
    factories.query(
        "update channel_account set credentials = %s where id = %s", (Keyring([old]).encrypt(ok, {"token": "t"}), ok)
    )

    done = accounts.rotate(Keyring([new, old]))

    assert (done.rotated, len(done.unreadable)) == (1, 2)
    assert [
        f"account {account_id} " in said for account_id, said in zip((foreign, copied), done.unreadable, strict=True)
    ]
    assert factories.query("select id, credentials from channel_account order by id")[:2] == before


def test_credentials_that_change_while_they_are_rotated_are_not_overwritten(factories):
    old, new = SecretStr(new_key()), SecretStr(new_key())
    (account_id,) = sealed_accounts(factories, Keyring([old]), 1)
    refreshed = Keyring([old]).encrypt(account_id, {"token": "refreshed"})

    class Slow(Keyring):
        """A worker refreshes while this looks at the old text, and it still encrypts with the old key."""

        def rotated(self, which: int, text: str) -> str | None:
            changed = super().rotated(which, text)
            factories.query(
                "update channel_account set credentials = %s where credentials <> %s", (refreshed, refreshed)
            )
            return changed

    done = accounts.rotate(Slow([new, old]))

    stored = factories.row("channel_account", account_id)["credentials"]
    assert Keyring([new]).decrypt(account_id, stored) == {"token": "refreshed"}
    assert done.rotated == 1


ROTATE = """
import os, sys
from autoposter import accounts, cli
from autoposter.store import accounts as store

batches, reseal = 0, store.reseal


def and_die(changes):
    global batches
    batches += 1
    if batches > int(sys.argv[1]):
        os.kill(os.getpid(), 9)
    return reseal(changes)


store.reseal = and_die
sys.exit(cli.main(["keys", "rotate"]))
"""


def test_rotating_is_killed_and_run_again_and_everything_opens(fresh, fresh_database_url, request, capsys):
    """100,000 accounts with --long."""
    count = 100_000 if request.config.getoption("--long") else 3_000
    old, new = new_key(), new_key()
    sealed_accounts(fresh, Keyring([SecretStr(old)]), count)
    settings = {"AUTOPOSTER_DATABASE_URL": fresh_database_url, "AUTOPOSTER_SECRET_KEYS": f"{new},{old}"}

    def rotate(kill_after: int) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", ROTATE, str(kill_after)]
        return subprocess.run(command, env=os.environ | settings, capture_output=True, text=True, timeout=600)

    killed = rotate(count // accounts.BATCH // 2)
    both = Keyring([SecretStr(new), SecretStr(old)])
    assert_all_open(fresh, both, count)
    began = time.monotonic()
    again = rotate(count)
    took = time.monotonic() - began

    assert killed.returncode == -9
    assert (again.returncode, again.stderr) == (0, "")
    assert f"{count - count // accounts.BATCH // 2 * accounts.BATCH} credentials were encrypted" in again.stdout
    assert_all_open(fresh, Keyring([SecretStr(new)]), count)
    with capsys.disabled():
        if request.config.getoption("--long"):
            print(f"\nthe second half of {count} accounts: rotated in {took:.1f} s")
