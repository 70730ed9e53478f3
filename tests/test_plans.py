"""The plans of the statements that run all the time: by the index made for them, with and without fresh statistics.

Without statistics PostgreSQL once chose the scan's partial index for `where id = ? and status = 'Scheduled'`: 69
instead of 1,130 transactions a second.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import moves
import psycopg2
import pytest
from factories import Factories

from autoposter import database as pool
from autoposter.lifecycle import Confirmed
from autoposter.store import account_states, claims, dispatch, intents, jobs, leases, ledger, looks, preparations
from autoposter.store.snapshots import Attempt
from autoposter.together import MOST_PROMISES

DAY = timedelta(days=1)

#: Tables that grow for ever.
LARGE = ("post_instance", "publish_job")

#: What a scan of many posts may read whole where the statistics say how little it holds: of jobs that run there are no
#: more than threads.
MAY_BE_WALKED = {"mark_overdue": {"publish_job_lease"}}

#: 20,000 posts: most were posted long ago, 1,000 are to come, 20 are due, and some are in each other state.
#: 2,000 accounts have credentials that expire some day.
FILL = """
    insert into channel_account (platform, name) select 'stub', 'Filler ' || n from generate_series(1, 20) n;
    insert into content_item (caption) select 'Filler ' || n from generate_series(1, 1000) n;
    insert into post_instance (channel_account_id, content_item_id, scheduled_for, status, platform_post_id, updated_at)
    select (select min(id) from channel_account) + mod(n, 20), (select min(id) from content_item) + mod(n, 1000),
           case when n <= 18000 then now() - n * interval '1 min'
                when n <= 19000 then now() + n * interval '1 min' else now() - n * interval '1 ms' end,
           case when n <= 18000 then 'Posted' when n <= 19020 then 'Scheduled'
                when n <= 19500 then 'Failed' else 'Cancelled' end,
           case when n <= 18000 then 'p' || n end, now() - interval '9 days'
      from generate_series(1, 20000) n;
    insert into publish_job (post_instance_id, channel_account_id, attempt, status, scheduled_for, content,
                             idempotency_key, intent_at, finished_at)
    select id, channel_account_id, 1, 'completed', scheduled_for, '{}', 'k', scheduled_for, scheduled_for
      from post_instance where status = 'Posted';
    insert into publish_job (post_instance_id, channel_account_id, attempt, status, scheduled_for, content,
                             idempotency_key, intent_at, lease_until, look_at)
    select id, channel_account_id, 1, case when mod(id, 2) = 0 then 'running' else 'unknown' end, scheduled_for, '{}',
           'k', scheduled_for, now() - interval '1 s', now() - interval '1 s'
      from post_instance where status = 'Failed';
    insert into channel_account (platform, name, credentials_expire_at, refresh_at)
    select 'stub', 'Renewed ' || n, now() + interval '60 days', now() + interval '50 days'
      from generate_series(1, 2000) n;
"""


@pytest.fixture(scope="module")
def full_database_url(servers: Any) -> Iterator[str]:
    """20,000 posts that nobody has counted: autovacuum is kept away, so there are no statistics at all."""
    url = servers.copy()
    factories = Factories(url)
    for table in ("post_instance", "publish_job", "channel_account", "content_item"):
        factories.query(f"alter table {table} set (autovacuum_enabled = false)")
    factories.query(FILL)
    yield url
    servers.drop(url)


@pytest.fixture(params=["without statistics", "with statistics"])
def full(full_database_url: str, request: pytest.FixtureRequest) -> Iterator[Factories]:
    factories = Factories(full_database_url)
    if request.param == "with statistics":
        factories.query("analyze")
    else:
        assert not has_statistics(factories)
    pool.connect_to(full_database_url)
    yield factories
    pool.database.close_all()


def has_statistics(full: Factories) -> bool:
    return bool(full.query("select 1 from pg_stats where tablename in ('post_instance', 'publish_job') limit 1"))


def attempt_of(full: Factories) -> Attempt:
    post = full.post(-timedelta(seconds=1))
    return moves.claimed(post)


def several_of(full: Factories) -> list[int]:
    """As many as are moved together at most."""
    return [full.post(-timedelta(seconds=1)) for _ in range(MOST_PROMISES)]


STATEMENTS: dict[str, tuple[Callable[[Factories], Any], set[str]]] = {
    "mark_on_time": (lambda _: dispatch.mark_on_time(max_lateness=DAY), {"post_instance_due"}),
    "due_for_refresh": (lambda _: account_states.due_for_refresh(100), {"channel_account_refresh"}),
    "warn_of_expiry": (
        lambda _: account_states.warn_of_expiry(within=7 * DAY, every=DAY, failures=3),
        {"channel_account_expiry"},
    ),
    "what_waits": (
        lambda _: dispatch.what_waits(),
        {"post_instance_due", "publish_job_look", "post_instance_prepare"},
    ),
    "forget_hints": (lambda _: dispatch.forget_hints(), {"post_instance_due"}),
    "mark_overdue": (lambda _: dispatch.mark_overdue(max_lateness=DAY, limit=5), {"post_instance_due"}),
    "mark_looks": (lambda _: dispatch.mark_looks(limit=5), {"publish_job_look"}),
    "end_missed": (lambda _: dispatch.end_missed(max_lateness=100 * DAY), {"post_instance_due"}),
    "mend": (
        lambda full: ledger.mend(full.query("select id from post_instance where status = 'Failed' limit 1")[0][0], 8),
        {"post_instance_pkey", "publish_job_post_instance_id_attempt_key"},
    ),
    "strays": (
        lambda _: ledger.strays(max_attempts=8),
        {"post_instance_due", "post_instance_unsettled", "publish_job_post_instance_id_attempt_key"},
    ),
    "leases.look": (lambda _: leases.look(), {"publish_job_lease"}),
    "expired": (lambda _: leases.expired(limit=5), {"publish_job_lease"}),
    "claim": (lambda full: moves.claim(full.post(-timedelta(seconds=1))), {"post_instance_pkey"}),
    "claim_free": (
        lambda full: claims.claim_free(several_of(full), worker="w1", max_lateness=DAY),
        {"post_instance_pkey"},
    ),
    "intend_free": (
        lambda full: intents.intend_free([(moves.claimed(post), {}) for post in several_of(full)], worker="w1"),
        {"publish_job_pkey", "post_instance_pkey", "channel_account_pkey"},
    ),
    "settle_free_receipts": (
        lambda full: jobs.settle_free_receipts([moves.receipt_of(moves.claimed(post)) for post in several_of(full)]),
        {"publish_job_pkey", "post_instance_pkey"},
    ),
    "fail_unreadable": (
        lambda full: claims.fail_unreadable(full.post(-timedelta(seconds=1)), "x"),
        {"post_instance_pkey"},
    ),
    "intend": (
        lambda full: intents.intend(attempt_of(full), {}),
        {"publish_job_pkey", "post_instance_pkey", "channel_account_pkey"},
    ),
    "settle_receipt": (
        lambda full: moves.receive(attempt_of(full), Confirmed("new")),
        {"publish_job_pkey", "post_instance_pkey"},
    ),
    "settle_refusal": (lambda full: moves.refuse(attempt_of(full)), {"publish_job_pkey", "post_instance_pkey"}),
    "renew": (lambda full: leases.renew([attempt_of(full).job_id], worker="w1"), {"publish_job_pkey"}),
    "take_over_sent": (
        lambda _: leases.take_over_sent(leases.expired(limit=1)[0], "lost"),
        {"publish_job_pkey", "post_instance_pkey", "publish_job_lease"},
    ),
    "preparations.begin": (lambda _: preparations.begin(ahead={"stub": timedelta(minutes=5)}), {"post_instance_due"}),
    "preparations.mark": (lambda _: preparations.mark(limit=5), {"post_instance_prepare"}),
    "claim_look": (
        lambda full: looks.claim_look(
            full.query("select id from publish_job where status = 'unknown' limit 1")[0][0], worker="w1"
        ),
        {"publish_job_pkey"},
    ),
    "belongs_to_another": (
        lambda full: looks.belongs_to_another(1, full.query("select min(id) from channel_account")[0][0], "p20"),
        {"post_instance_channel_account", "publish_job_channel_account"},
    ),
}


@pytest.mark.parametrize("name", STATEMENTS)
def test_a_statement_that_runs_all_the_time_reads_by_its_index(
    full: Factories, full_database_url: str, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    move, indexes = STATEMENTS[name]
    with caplog.at_level(logging.DEBUG, "peewee"):
        move(full)
    ran = [record.msg for record in caplog.records if record.name == "peewee" and isinstance(record.msg, tuple)]

    plans = explain(full_database_url, ran)

    read = [node for plan in plans for node in nodes(plan)]
    assert ran and read
    assert [
        node["Relation Name"] for node in read if node["Node Type"] == "Seq Scan" and node["Relation Name"] in LARGE
    ] == []
    # Not walked through from one end to the other, as a `clock_timestamp()` in the `where` would have it.
    used = {node["Index Name"]: "Index Cond" in node for node in read if "Index Name" in node}
    walked = {name for name, is_for_rows in used.items() if not is_for_rows and name.startswith(LARGE)}
    assert walked <= (MAY_BE_WALKED.get(name, set()) if has_statistics(full) else set())
    assert indexes <= used.keys()


#: What is done as it stands before the statements that are explained.
SETS_THE_SCENE = ("begin", "set ", "prepare ", "deallocate ")


def explain(url: str, ran: list[tuple[str, Any]]) -> list[dict[str, Any]]:
    """The plans of each statement in texts that may hold several; nothing of it is kept.

    Of a statement that is planned once both: the plan for any values, and that for these, as behind a pooler.
    """
    connection = psycopg2.connect(url)
    try:
        plans = []
        with connection.cursor() as cursor:
            for sql, parameters in ran:
                for statement in map(str.strip, cursor.mogrify(sql, parameters).decode().split(";")):
                    if statement.startswith(SETS_THE_SCENE):
                        cursor.execute(statement)
                        continue
                    plans.append(plan_of(cursor, statement))
                    if statement.startswith("execute "):
                        cursor.execute("set local plan_cache_mode = force_custom_plan")
                        plans.append(plan_of(cursor, statement))
        return plans
    finally:
        connection.rollback()
        connection.close()


def plan_of(cursor: Any, statement: str) -> Any:
    cursor.execute(f"explain (format json) {statement}")
    found = cursor.fetchone()[0]
    return (json.loads(found) if isinstance(found, str) else found)[0]["Plan"]


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for inner in plan.get("Plans", []):
        yield from nodes(inner)
