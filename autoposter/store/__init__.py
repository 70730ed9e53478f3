"""All SQL.  Each move is one guarded statement, or one short transaction, that tells whether it won."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

#: A post (`p`) that may be published once its time has come.
DUE = "p.status = 'Scheduled' and p.autopost_enabled and p.content_item_id is not null"

#: A post (`p`) that is not yet too late; `max_lateness` null: none ever is.
NOT_TOO_LATE = "(%(max_lateness)s::interval is null or p.scheduled_for > now() - %(max_lateness)s::interval)"

#: A post (`p`) that was not dispatched for the time when it is due now.
NOT_DISPATCHED = "p.dispatched_for is distinct from p.due_at"

#: A post (`p`) that nobody attempts at this moment.
NOT_CLAIMED = "not exists (select from publish_job j where j.post_instance_id = p.id and j.status = 'running')"

#: The post that a job may move without a receipt: published by it, or still as it was claimed.
STILL_CLAIMED = """p.id = job.post_instance_id and (
                p.status = 'Publishing'
                or p.status = 'Scheduled' and p.scheduled_for = job.scheduled_for
                   and p.content_item_id = job.content_item_id)"""

#: What `STILL_CLAIMED` needs of a job.
CLAIMED = "post_instance_id, scheduled_for, (content ->> 'content_item_id')::bigint as content_item_id"


@dataclass(frozen=True, slots=True)
class Which:
    """Which of the posts that a statement would move are meant."""

    only: int | None = None
    """This one."""
    without: Collection[int] = ()
    """All but these."""

    @property
    def parameters(self) -> dict[str, Any]:
        """For `ONE_OF_THEM`."""
        return {"only": self.only, "without": list(self.without)}


ALL = Which()

#: A post (`p`) that is meant.
ONE_OF_THEM = "(%(only)s::bigint is null or p.id = %(only)s) and p.id <> all(%(without)s::bigint[])"


def failures_of(post_id: str, scheduled_for: str) -> str:
    """SQL: how much of a due time's budget is used: its failed jobs, rate limits not counted."""
    return _failed(post_id, scheduled_for, "<>")


def rate_limits_of(post_id: str, scheduled_for: str) -> str:
    """SQL: how many of a due time's jobs met a rate limit."""
    return _failed(post_id, scheduled_for, "=")


def _failed(post_id: str, scheduled_for: str, rate_limited: str) -> str:
    return (
        f"(select count(*) from publish_job e where e.post_instance_id = {post_id} and e.status = 'failed'"
        f" and e.scheduled_for = {scheduled_for} and e.error_kind {rate_limited} 'rate_limited')"
    )


#: Goes before a statement that writes down what happened: so long it waits for another program that holds a row, before
#: it lets its connection go to other threads.  So short because a settlement holds the job's row meanwhile, and leases
#: must be renewed.
BRIEFLY = "set local lock_timeout = '300ms';"

#: Goes before a statement that moves several: so long it waits where a trigger of the owner's waits in one of them, for
#: the others' threads wait with it.  Then each is made alone.
SHORTLY = "set local lock_timeout = '100ms';"

#: Goes before a statement that promises a call.  A database or user set to `synchronous_commit = off` would forget the
#: promise in a crash although it was confirmed, and the call would be made twice.  Stronger settings are left alone.
DURABLE = "select set_config('synchronous_commit', 'on', true) where current_setting('synchronous_commit') = 'off';"
