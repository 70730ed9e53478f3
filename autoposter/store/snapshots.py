"""What an attempt is made from: the post's content, account and key as they stood at one moment."""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass
from datetime import datetime
from typing import Any

#: The namespace of idempotency keys (a random UUID, fixed for ever).
KEY_NAMESPACE = uuid.UUID("5f0e4c0e-6d0b-4a53-9a55-0c3f3a0a3a55")


@dataclass(frozen=True, slots=True)
class AccountRow:
    """The account of an attempt as it stood when the attempt was claimed."""

    id: int
    platform: str
    name: str
    external_id: str | None
    settings: dict[str, Any]
    credentials: str | None
    credentials_version: int
    status: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """A post as it stood at one moment.  Times are the database's, UTC."""

    post_id: int
    account: AccountRow
    content: dict[str, Any]
    """`caption`, `link`, `options`, `media`, `content_item_id`."""
    idempotency_key: str
    scheduled_for: datetime
    due_at: datetime
    prepared: dict[str, Any]
    """What `prepare` returned or stored for this very content; empty at first."""
    attempted_at: datetime | None
    """The post's first intent, of whichever attempt."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt(Snapshot):
    """A claimed job with all that is needed to carry it out."""

    job_id: int
    worker: str
    attempt: int
    failures: int
    """Failed jobs of this due time, rate limits not counted."""
    rate_limits: int
    """Jobs of this due time that met a rate limit."""
    was_rejected: bool
    """An earlier attempt of this due time failed because of its credentials."""
    found_absent: dict[str, Any] | None
    """The last attempt that was looked for and not found: its `content`, `idempotency_key` and `prepared`."""


#: Reads a post (`p`), its account (`a`) and its content item (`c`) for a snapshot.
READ = """
    select p.id as post_id, p.content_item_id, p.scheduled_for, p.due_at, p.prepared, p.prepared_key,
           extract(epoch from p.created_at)::text as born,
           a.id as account_id, a.platform, a.name, a.external_id, a.settings, a.credentials, a.credentials_version,
           a.status as account_status, a.paused_until > now() as account_paused,
           coalesce(p.caption, c.caption) as caption, c.link, c.options -> a.platform as options,
           (select coalesce(jsonb_agg(jsonb_build_object(
                       'kind', m.kind, 'source', m.source, 'alt_text', m.alt_text, 'mime_type', m.mime_type)
                       order by m.position, m.id), '[]')
              from media_asset m where m.content_item_id = c.id) as media
      from post_instance p
      join channel_account a on a.id = p.channel_account_id
      join content_item c on c.id = p.content_item_id"""


def content_of(found: dict[str, Any]) -> dict[str, Any]:
    """What a row that `READ` read says: the snapshot's content."""
    return {name: found[name] for name in ("caption", "link", "options", "media", "content_item_id")}


def idempotency_key(post_id: int, born: str, content: dict[str, Any]) -> str:
    """A UUIDv5 over the post and what it says: equal content has an equal key, whoever tries again."""
    said = {name: content[name] for name in ("caption", "link", "options", "media")}
    return str(uuid.uuid5(KEY_NAMESPACE, f"{post_id} {born} {json.dumps(said, sort_keys=True)}"))


def snapshot_of(found: dict[str, Any]) -> Snapshot:
    """The post that a row read by `READ` shows, before any attempt."""
    content = content_of(found)
    key = idempotency_key(found["post_id"], found["born"], content)
    return Snapshot(
        post_id=found["post_id"],
        account=account_of(found),
        content=content,
        idempotency_key=key,
        scheduled_for=found["scheduled_for"],
        due_at=found["due_at"],
        prepared=(found["prepared"] or {}) if found["prepared_key"] == key else {},
        attempted_at=None,
    )


def account_of(found: dict[str, Any]) -> AccountRow:
    """The account of a row that names its columns as `READ` does."""
    return AccountRow(
        id=found["account_id"],
        platform=found["platform"],
        name=found["name"],
        external_id=found["external_id"],
        settings=found["settings"],
        credentials=found["credentials"],
        credentials_version=found["credentials_version"],
        status=found["account_status"],
    )
