"""The Peewee models against the migrated database."""

from __future__ import annotations

import peewee
import pytest

from autoposter import models
from autoposter.models import ChannelAccount, ContentItem, MediaAsset, Model, PostInstance, PublishJob, Worker

MODELS = [ChannelAccount, ContentItem, MediaAsset, PostInstance, PublishJob, Worker]

#: What the database has and no model: generated, and not to be written.
LEFT_OUT = {("post_instance", "due_at")}

TYPES = {
    peewee.BigAutoField: "bigint",
    peewee.ForeignKeyField: "bigint",
    peewee.IntegerField: "integer",
    peewee.TextField: "text",
    peewee.BooleanField: "boolean",
    peewee.JSONField: "jsonb",
    models.UtcDateTimeField: "timestamp with time zone",
    models.IntervalField: "interval",
}


def in_the_models() -> set[tuple[str, str, str, bool]]:
    return {
        (model._meta.table_name, field.column_name, TYPES[type(field)], field.null)
        for model in MODELS
        for field in model._meta.sorted_fields
    }


def in_the_database(factories) -> set[tuple[str, str, str, bool]]:
    columns = factories.query(
        "select table_name, column_name, data_type, is_nullable = 'YES' from information_schema.columns"
        " where table_schema = current_schema() and table_name <> 'autoposter_migration'"
    )
    return {column for column in columns if column[:2] not in LEFT_OUT}


def test_every_model_is_compared():
    assert set(Model.__subclasses__()) == set(MODELS)


def test_the_models_are_the_database(factories):
    assert in_the_models() == in_the_database(factories)


def test_foreign_keys_lead_where_the_models_say(factories):
    in_database = factories.query(
        "select conrelid::regclass::text, a.attname, confrelid::regclass::text from pg_constraint c"
        " join pg_attribute a on a.attrelid = conrelid and a.attnum = conkey[1]"
        " where contype = 'f' and connamespace = current_schema()::regnamespace"
    )

    in_models = {
        (model._meta.table_name, key.column_name, key.rel_model._meta.table_name)
        for model in MODELS
        for key in model._meta.refs
    }
    assert in_models == set(in_database)


def test_every_foreign_key_has_an_index(factories):
    without = factories.query(
        "select conrelid::regclass::text, conkey from pg_constraint c"
        " where contype = 'f' and connamespace = current_schema()::regnamespace and not exists ("
        "   select 1 from pg_index i where i.indrelid = c.conrelid and i.indkey[0] = c.conkey[1])"
    )

    assert without == []


def test_a_row_is_written_and_read_through_the_models(database):
    with database.connection_context(), database.atomic():
        account = ChannelAccount.create(platform="stub", name="Shop", settings={"page": 1})
        content = ContentItem.create(caption="Hello", options={"stub": {"loud": True}})
        scheduled_for = models.datetime(2030, 1, 1, tzinfo=models.UTC)
        post = PostInstance.create(channel_account=account, content_item=content, scheduled_for=scheduled_for)
        read = PostInstance.get_by_id(post.id)

        assert (read.scheduled_for, read.status, read.autopost_enabled) == (scheduled_for, "Scheduled", True)
        assert read.content_item.options == {"stub": {"loud": True}}
        assert read.channel_account.settings == {"page": 1}


def test_a_naive_datetime_is_refused(database):
    naive = models.datetime(2030, 1, 1)

    with database.connection_context(), pytest.raises(ValueError, match="has no time zone"):
        PostInstance.update(scheduled_for=naive).execute()
