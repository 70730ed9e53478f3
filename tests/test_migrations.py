"""Migrations, several at once and on databases that are not ours; and what the tables themselves refuse."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import psycopg2
import psycopg2.errors
import pytest
from factories import Factories

from autoposter import database as pool
from autoposter.errors import Refused
from autoposter.migrations import OUR_TABLES, migrate, migrations, require_current_schema, schema_version

NEWEST = migrations()[-1].number


@pytest.fixture
def empty(servers) -> Iterator[Factories]:
    """A database without any table."""
    url = servers.copy()
    Factories(url).query("drop schema public cascade; create schema public")
    pool.connect_to(url)
    yield Factories(url)
    pool.database.close_all()
    servers.drop(url)


def tables(factories: Factories) -> set[str]:
    return {name for (name,) in factories.query("select tablename from pg_tables where schemaname = 'public'")}


def version() -> int | None:
    with pool.transaction():
        return schema_version()


# --- migrate ---------------------------------------------------------------------------------------------------------


def test_an_empty_database_gets_our_tables_and_a_second_run_changes_nothing(empty):
    assert [migration.number for migration in migrate()] == [migration.number for migration in migrations()]
    assert migrate() == []

    assert tables(empty) == {*OUR_TABLES, "autoposter_migration"}
    assert version() == NEWEST
    require_current_schema()


def test_migrations_are_numbered_one_after_the_other():
    """Of two with one number the second would be skipped in silence."""
    assert [one.number for one in migrations()] == list(range(1, len(migrations()) + 1))


def test_several_at_once_all_succeed(empty):
    url = pool.database.connect_params["dsn"]
    program = "import sys; from autoposter import database, migrations; database.connect_to(sys.argv[1]);"
    program += "print(len(migrations.migrate()))"

    running = [
        subprocess.Popen(
            [sys.executable, "-c", program, url], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        for _ in range(6)
    ]
    outputs = [process.communicate(timeout=60) for process in running]

    assert [process.returncode for process in running] == [0] * 6, outputs
    assert sorted(int(out) for out, _ in outputs)[-1] >= 1
    assert sum(int(out) for out, _ in outputs) == len(migrations())


def test_a_table_that_is_not_ours_is_refused_and_nothing_is_made(empty):
    empty.query("create table worker (id integer)")

    with pytest.raises(Refused, match="already has a table named worker") as refusal:
        migrate()

    assert "\n" not in str(refusal.value)
    assert tables(empty) == {"worker"}


def test_tables_of_other_names_do_not_matter(empty):
    empty.query("create table orders (id integer)")

    migrate()

    assert tables(empty) >= {*OUR_TABLES, "orders"}


def test_a_newer_schema_is_refused_by_workers_and_by_migrate(empty):
    migrate()
    empty.query(f"insert into autoposter_migration (number, name) values ({NEWEST + 1}, 'later')")  # noqa: S608

    for act in (migrate, require_current_schema):
        with pytest.raises(Refused, match="install the newer autoposter"):
            act()


@pytest.mark.parametrize("how", ["no tables", "an old version"])
def test_an_older_schema_names_the_command(how, empty):
    if how == "an old version":
        migrate()
        empty.query("delete from autoposter_migration")

    with pytest.raises(Refused, match="run `autoposter migrate` first"):
        require_current_schema()


def test_a_failing_migration_leaves_nothing_behind(empty):
    empty.query("create function autoposter_touch() returns trigger language plpgsql as 'begin return new; end'")

    with pytest.raises(Exception, match="autoposter_touch"):
        migrate()

    assert tables(empty) == set()


# --- nonsense --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("table", "columns"),
    [
        ("channel_account", {"platform": "Face book"}),
        ("channel_account", {"name": ""}),
        ("channel_account", {"status": "sleeping"}),
        ("channel_account", {"settings": "[]"}),
        ("channel_account", {"paused_until": "infinity"}),
        ("content_item", {"options": "[]"}),
        ("content_item", {"options": '"text"'}),
        ("content_item", {"caption": None}),
        ("media_asset", {"kind": "song"}),
        ("media_asset", {"source": ""}),
        ("media_asset", {"content_item_id": 4711}),
        ("post_instance", {"status": "Sent"}),
        ("post_instance", {"channel_account_id": None}),
        ("post_instance", {"channel_account_id": 4711}),
        ("post_instance", {"content_item_id": 4711}),
        ("post_instance", {"scheduled_for": None}),
        ("post_instance", {"scheduled_for": "infinity"}),
        ("post_instance", {"scheduled_for": "-infinity"}),
        ("post_instance", {"scheduled_for": "1999-12-31 23:59:59+00"}),
        ("post_instance", {"scheduled_for": "9999-01-01 00:00:00+00"}),
        ("post_instance", {"retry_at": "infinity"}),
        ("post_instance", {"created_at": "infinity"}),
        ("post_instance", {"autopost_enabled": None}),
        ("post_instance", {"prepared": "[]"}),
        ("publish_job", {"status": "done"}),
        ("publish_job", {"attempt": 0}),
        ("publish_job", {"error_kind": "mood"}),
        ("publish_job", {"content": "[]"}),
        ("publish_job", {"lease_until": None}),
        ("publish_job", {"status": "unknown"}),
        ("publish_job", {"status": "completed"}),
    ],
)
def test_nonsense_is_refused_by_the_database(table, columns, factories):
    make = {
        "channel_account": factories.account,
        "content_item": factories.content,
        "media_asset": lambda **given: factories.media(
            **{"content_item_id": factories.content(), "source": "a"} | given
        ),
        "post_instance": factories.post,
        "publish_job": lambda **given: make_job(factories, factories.post(), **given),
    }[table]

    with pytest.raises(psycopg2.IntegrityError):
        make(**columns)


def make_job(factories: Factories, post_id: int, **columns: object) -> int:
    post = factories.row("post_instance", post_id)
    given = {
        "post_instance_id": post_id,
        "channel_account_id": post["channel_account_id"],
        "attempt": 1,
        "scheduled_for": post["scheduled_for"],
        "content": {},
        "idempotency_key": "key",
        "lease_until": post["scheduled_for"],
    }
    return factories.insert("publish_job", given | columns)


@pytest.mark.parametrize("status", ["running", "unknown", "completed"])
def test_no_post_is_attempted_again_while_an_attempt_is_open_or_has_succeeded(status, factories):
    post_id = factories.post()
    now = factories.row("post_instance", post_id)["scheduled_for"]
    finished_at = now if status == "completed" else None
    make_job(factories, post_id, status=status, intent_at=now, finished_at=finished_at)

    with pytest.raises(psycopg2.errors.UniqueViolation, match="publish_job_one_effect"):
        make_job(factories, post_id, attempt=2)


@pytest.mark.parametrize("columns", [{"reference": "order-5"}])
def test_a_reference_is_given_once(columns, factories):
    factories.post(**columns)

    with pytest.raises(psycopg2.errors.UniqueViolation):
        factories.post(**columns)


def test_one_identity_is_connected_once(factories):
    factories.account(external_id="1")
    factories.account(external_id="1", platform="board")

    with pytest.raises(psycopg2.errors.UniqueViolation, match="channel_account_identity"):
        factories.account(external_id="1")


# --- deletes ---------------------------------------------------------------------------------------------------------


def test_an_account_and_content_with_posts_cannot_be_deleted(factories):
    post = factories.row("post_instance", factories.post())

    for table, row_id in (("channel_account", "channel_account_id"), ("content_item", "content_item_id")):
        with pytest.raises(psycopg2.errors.ForeignKeyViolation):
            factories.query(f"delete from {table} where id = %s", (post[row_id],))  # noqa: S608


def test_deleting_a_post_deletes_its_jobs(factories):
    post_id = factories.post()
    make_job(factories, post_id)

    factories.query("delete from post_instance where id = %s", (post_id,))

    assert factories.query("select count(*) from publish_job") == [(0,)]


def test_a_post_that_is_being_published_cannot_be_deleted(factories):
    post_id = factories.post(status="Publishing")

    with pytest.raises(psycopg2.errors.RestrictViolation, match="is being published"):
        factories.query("delete from post_instance where id = %s", (post_id,))


def test_deleting_content_deletes_its_media(factories):
    content_id = factories.content()
    factories.media(content_id, source="a.jpg")

    factories.query("delete from content_item where id = %s", (content_id,))

    assert factories.query("select count(*) from media_asset") == [(0,)]


# --- what the database fills in --------------------------------------------------------------------------------------


def test_a_plain_insert_needs_only_what_it_must_say(factories):
    account_id = factories.query("insert into channel_account (platform, name) values ('stub', 'Shop') returning id")[
        0
    ][0]
    content_id = factories.query("insert into content_item (caption) values ('Hello') returning id")[0][0]

    [(status, enabled, due_at, scheduled_for)] = factories.query(
        "insert into post_instance (channel_account_id, content_item_id, scheduled_for) values (%s, %s, now())"
        " returning status, autopost_enabled, due_at, scheduled_for",
        (account_id, content_id),
    )

    assert (status, enabled, due_at) == ("Scheduled", True, scheduled_for)


def test_a_post_is_due_at_the_later_of_its_time_and_its_retry(factories):
    post_id = factories.post()

    factories.query("update post_instance set retry_at = scheduled_for + interval '1 minute' where id = %s", (post_id,))
    later = factories.query("select due_at - scheduled_for from post_instance where id = %s", (post_id,))[0][0]
    factories.query("update post_instance set retry_at = scheduled_for - interval '1 minute' where id = %s", (post_id,))
    same = factories.query("select due_at - scheduled_for from post_instance where id = %s", (post_id,))[0][0]

    assert (later.total_seconds(), same.total_seconds()) == (60, 0)


def test_every_update_is_seen_in_updated_at(factories):
    post_id = factories.post()
    before = factories.row("post_instance", post_id)["updated_at"]

    factories.query("update post_instance set caption = 'New' where id = %s", (post_id,))

    assert factories.row("post_instance", post_id)["updated_at"] > before
