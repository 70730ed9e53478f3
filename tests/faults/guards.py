"""Every safeguard that stands in the statements of the store, as text, and what the statement is without it."""

from __future__ import annotations

from typing import Any

import moves

#: Safeguard: its text, and what stands there without it.  The state machine must notice that it is gone.
GUARDS = {
    # --- claim ---
    "a claim takes only what is Scheduled": ("p.status = 'Scheduled' and p.autopost_enabled", "p.autopost_enabled"),
    "what is switched off is not due": (
        "p.autopost_enabled and p.content_item_id is not null",
        "p.content_item_id is not null",
    ),
    "a planned slot is not due": ("p.autopost_enabled and p.content_item_id is not null", "p.autopost_enabled"),
    "a claim comes a second early at most": ("and p.due_at <= now() + %(lead)s::interval", ""),
    "a claim takes nothing that came too late": (
        "(%(max_lateness)s::interval is null or p.scheduled_for > now() - %(max_lateness)s::interval)",
        "%(max_lateness)s::interval is not null",
    ),
    "a disabled account holds its posts": ("and a.status <> 'disabled'", ""),
    # --- intent ---
    "an intent needs a lease that runs": (
        "and j.lease_until > now() and j.intent_at is null for update",
        "and j.intent_at is null for update",
    ),
    "an intent is promised once": ("and j.intent_at is null for update", "for update"),
    "an intent needs a running job": (
        "(j.status = 'running') is true and j.worker = %(worker)s and j.lease_until > now() and j.intent_at",
        "j.worker = %(worker)s and j.lease_until > now() and j.intent_at",
    ),
    "an intent needs a Scheduled post": (
        "and p.status = 'Scheduled' and p.autopost_enabled and p.scheduled_for = job.scheduled_for",
        "and p.autopost_enabled and p.scheduled_for = job.scheduled_for",
    ),
    "an intent needs a post that is on": (
        "and p.autopost_enabled and p.scheduled_for = job.scheduled_for",
        "and p.scheduled_for = job.scheduled_for",
    ),
    "an intent needs the time that was claimed": (
        "and p.scheduled_for = job.scheduled_for and p.content_item_id = job.content_item_id and p.channel",
        "and p.content_item_id = job.content_item_id and p.channel",
    ),
    "an intent needs the content that was claimed": (
        "and p.content_item_id = job.content_item_id and p.channel_account_id = job.channel_account_id",
        "and p.channel_account_id = job.channel_account_id",
    ),
    "an intent needs the account that was claimed": ("and p.channel_account_id = job.channel_account_id", ""),
    "an intent needs an active account": (
        "a.id = p.channel_account_id and (a.status = 'active') is true",
        "a.id = p.channel_account_id",
    ),
    "an intent waits for a paused account": (
        "(a.status = 'active') is true and (a.paused_until is null or a.paused_until <= now())",
        "(a.status = 'active') is true",
    ),
    # --- settle ---
    "a receipt wins over not knowing": (
        "(j.status in ('running', 'unknown')) is true",
        "j.status = 'running'",
    ),
    "a receipt does not move what has ended": (
        "(j.status in ('running', 'unknown')) is true",
        "true",
    ),
    "a late receipt is kept once": ("('failed', 'cancelled') and platform_post_id is null or", "('failed') or"),
    "only the holder settles": (
        "and worker = %(worker)s and (status = 'running' and %(looks)s = 0"
        " or status = 'unknown' and %(looks)s > 0 and looks = %(looks)s)",
        "",
    ),
    "an attempt settles while it runs": ("status = 'running' and %(looks)s = 0", "%(looks)s = 0"),
    "a look settles while it is the latest": (
        "status = 'unknown' and %(looks)s > 0 and looks = %(looks)s",
        "status = 'unknown' and %(looks)s > 0",
    ),
    "a look settles only what is unknown": (
        "status = 'unknown' and %(looks)s > 0 and looks = %(looks)s",
        "%(looks)s > 0 and looks = %(looks)s",
    ),
    "without an intent nothing is unknown": ("and intent_at is not null returning id", "returning id"),
    "a job moves a post only as it was claimed": (
        "and ( p.status = 'Publishing' or p.status = 'Scheduled' and p.scheduled_for = job.scheduled_for"
        " and p.content_item_id = job.content_item_id)",
        "",
    ),
    "a job leaves a post that has another time": (
        "p.status = 'Scheduled' and p.scheduled_for = job.scheduled_for and p.content_item_id = job.content_item_id)",
        "p.status = 'Scheduled' and p.content_item_id = job.content_item_id)",
    ),
    "a job leaves a post that has other content": ("and p.content_item_id = job.content_item_id)", ")"),
    # --- leases ---
    "what was sent is not taken for unsent": ("and lease_until < now() and intent_at is null", ""),
    "a lease is renewed by its holder": ("and worker = %(worker)s and status in ('running', 'unknown')", ""),
    "only a lease is renewed": ("and lease_until is not null for update skip locked", "for update skip locked"),
    # --- looks ---
    "a look waits for its time": ("and j.look_at <= now() + %(early)s", ""),
    "one looks at a time": ("and (j.lease_until is null or j.lease_until < now()) and p.id", "and p.id"),
    "the latest look sends again": ("and j.looks = %(looks)s and j.lease_until > now()", "and j.lease_until > now()"),
    "a look sends again within its lease": (
        "and j.lease_until > now() and p.id = j.post_instance_id",
        "and p.id = j.post_instance_id",
    ),
    "only what is unknown is sent again": (
        "and j.status = 'unknown' and j.worker = %(worker)s and j.looks = %(looks)s and j.lease_until > now()",
        "and j.worker = %(worker)s and j.looks = %(looks)s and j.lease_until > now()",
    ),
    "nothing is sent again that is switched off": (
        "and p.autopost_enabled and a.id = j.channel",
        "and a.id = j.channel",
    ),
    "nothing is sent again for an account that is not active": (
        "and a.status = 'active' and (a.paused_until is null or a.paused_until <= now()) returning now()",
        "and (a.paused_until is null or a.paused_until <= now()) returning now()",
    ),
    "nothing is sent again for a paused account": (
        "and (a.paused_until is null or a.paused_until <= now()) returning now()",
        "returning now()",
    ),
    # --- people, and the minute's chores ---
    "what is over is not cancelled": ("and p.status in ('Draft', 'Scheduled', 'Publishing')", ""),
    "what is under way is not moved": ("and p.status in ('Draft', 'Scheduled') returning", "returning"),
    "only what has ended is retried": ("and p.status in ('Failed', 'Missed', 'Cancelled')", ""),
    "a person decides only what is unknown": ("= %(id)s and status = 'unknown' returning", "= %(id)s returning"),
    "a person decides only what is Unconfirmed": ("and status = 'Unconfirmed' returning id", "returning id"),
    "what is under way is not missed": (
        "and j.status in ('running', 'unknown', 'completed')) order by p.due_at",
        "and false) order by p.due_at",
    ),
    "what is in time is not missed": ("and p.scheduled_for <= now() - %(max_lateness)s and a.status", "and a.status"),
    "a stale row follows its receipt": ("j.becomes in ('Posted', 'Unconfirmed') and", "j.becomes = 'Unconfirmed' and"),
    "a stale Unconfirmed follows its jobs": ("p.status = 'Unconfirmed' and j.becomes <> p.status", "false"),
    "a stale Publishing follows its jobs": ("or p.status = 'Publishing' and j.becomes is distinct from p.status", ""),
    "the ledger puts back what is Scheduled": (
        "and j.status in ('unknown', 'completed') returning p.status",
        "and false returning p.status",
    ),
}

#: What only matters while somebody else is in the middle of something: its text, what stands there without it, and
#: which of `test_races` misses it, with its arguments.
RACED: dict[str, tuple[str, str, str, dict[str, Any]]] = {
    "a claim waits for whoever holds the post": (
        "(p.status = 'Scheduled' and p.autopost_enabled and p.content_item_id is not null) is true"
        " and p.due_at <= now() + %(lead)s::interval and not exists (select from publish_job j"
        " where j.post_instance_id = p.id and j.status = 'running') for update;",
        "false;",
        "test_a_claim_that_waited_for_an_owner_reads_all_that_was_committed_together",
        {},
    ),
    "an intent waits for whoever holds the job": (
        "and j.lease_until > now() and j.intent_at is null for update",
        "and j.lease_until > now() and j.intent_at is null",
        "test_an_intent_that_waited_for_a_take_over_sends_nothing",
        {},
    ),
    "a renewal waits for nobody": (
        "and lease_until is not null for update skip locked",
        "and lease_until is not null for update",
        "test_a_foreign_program_that_holds_a_post_stops_no_heartbeat",
        {},
    ),
    "a take-over waits for nobody": (
        "for update of j, p skip locked",
        "for update of j skip locked",
        "test_a_foreign_program_that_holds_the_post_of_a_dead_worker_stops_no_heartbeat",
        {"begin": moves.claimed},
    ),
    "claims together wait for no post": (
        "for update of p skip locked for key share of a skip locked",
        "for update of p for key share of a skip locked",
        "test_claims_together_leave_what_a_foreign_program_holds_and_wait_for_nobody",
        {"held": "post"},
    ),
    "claims together wait for no account": (
        "for update of p skip locked for key share of a skip locked",
        "for update of p skip locked",
        "test_claims_together_leave_what_a_foreign_program_holds_and_wait_for_nobody",
        {"held": "account"},
    ),
    "intents together wait for no job": (
        "and j.intent_at is null for update skip locked",
        "and j.intent_at is null for update",
        "test_intents_and_receipts_together_leave_what_a_foreign_program_holds_and_wait_for_nobody",
        {"held": "job"},
    ),
    "intents together wait for no post": (
        "for update of p skip locked ), post as",
        "), post as",
        "test_intents_and_receipts_together_leave_what_a_foreign_program_holds_and_wait_for_nobody",
        {"held": "post"},
    ),
    "receipts together wait for no job": (
        "for update of j, p skip locked ), asked as",
        "for update of p skip locked ), asked as",
        "test_intents_and_receipts_together_leave_what_a_foreign_program_holds_and_wait_for_nobody",
        {"held": "job"},
    ),
    "receipts together wait for no post": (
        "for update of j, p skip locked ), asked as",
        "for update of j skip locked ), asked as",
        "test_intents_and_receipts_together_leave_what_a_foreign_program_holds_and_wait_for_nobody",
        {"held": "post"},
    ),
    "an intent waits no longer than it lasts": (
        "set local lock_timeout = '2s';",
        "set local lock_timeout = '20s';",
        "test_an_intent_gives_up_waiting_for_a_foreign_program_when_it_would_not_be_acted_upon",
        {},
    ),
    "a claim does not hold up what is under way": (
        "and not exists (select from publish_job j where j.post_instance_id = p.id and j.status = 'running')"
        " for update;",
        "for update;",
        "test_a_claim_does_not_wait_for_an_attempt_that_is_under_way_nor_hold_it_up",
        {},
    ),
}

#: What is not missed alone, because another guard stands before it: its text, without it, and which.
BEHIND_OTHERS = {
    "a lease that runs is not found": (
        "j.status = 'running' and j.lease_until < now() order by j.lease_until",
        "j.status = 'running' order by j.lease_until",
        "a take-over looks at the lease itself",
    ),
    "a take-over waits for the end of the lease": (
        "and j.status = 'running' and j.lease_until < now() for update",
        "and j.status = 'running' for update",
        "it looks at the lease again when it writes",
    ),
    "an intent is written by the holder of the job": (
        "and j.worker = %(worker)s and j.lease_until > now() and j.intent_at is null for update",
        "and j.lease_until > now() and j.intent_at is null for update",
        "a job changes hands only when it is unknown",
    ),
    "an intent looks at its job again": (
        "and (j.status = 'running') is true and j.worker = %(worker)s::text returning j.id",
        "returning j.id",
        "the job is locked since it was looked at",
    ),
    "a take-over looks at its job again": (
        "and status = 'running' and lease_until < now() and intent_at is null",
        "and intent_at is null",
        "the job is locked since it was looked at",
    ),
    "what was not sent is not taken for sent": (
        "and lease_until < now() and intent_at is not null",
        "and lease_until < now()",
        "an intent is never taken back",
    ),
    "only unknown outcomes are looked at": (
        "and j.status = 'unknown' and j.look_at <=",
        "and j.look_at <=",
        "what is known has no `look_at`",
    ),
    "a missed post is still Scheduled": (
        "late.id and p.status = 'Scheduled' returning",
        "late.id returning",
        "the post is locked since it was looked at",
    ),
}
