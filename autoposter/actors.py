"""The broker and the actors: `dramatiq autoposter.actors` and `periodiq autoposter.actors`."""

from __future__ import annotations

import logging
import os
import platform
import secrets
import sys
from collections.abc import Sequence
from datetime import timedelta
from functools import partial

import dramatiq
import redis
from periodiq import PeriodiqMiddleware, cron

from autoposter import events, logs, publishing, recovery, refreshing, scanning, validating
from autoposter.broker import build_broker
from autoposter.clock import Clock
from autoposter.consumer import BEHIND
from autoposter.credentials import Keyring
from autoposter.database import connect_to
from autoposter.errors import AutoposterError, WrongUsage
from autoposter.leases import Leases
from autoposter.lifecycle import RetryPolicy
from autoposter.media import EXAMINE_LASTS, MediaShelf
from autoposter.plugins import Host
from autoposter.preparing import Preparing
from autoposter.settings import Settings, load_settings
from autoposter.store.dispatch import what_waits
from autoposter.turns import Turns
from autoposter.workbench import Workbench
from autoposter.worker import WorkerDuties

log = logging.getLogger(__name__)


def _settings() -> Settings:
    settings = load_settings()
    for name in ("database_url", "redis_url"):
        if getattr(settings, name) is None:
            raise WrongUsage(f"AUTOPOSTER_{name.upper()} is not set: a worker needs PostgreSQL and Redis.")
    return settings


def _announce(event: str, about: int) -> None:
    """Have plugins told, best effort: the tables are the truth."""
    if not bench.host.listens(event):
        return
    try:
        notify.send(event, about)
    except redis.RedisError as error:
        log.warning("%s of %s is not told: %s", event, about, error)


def _bench(settings: Settings) -> Workbench:
    return Workbench(
        worker=f"{platform.node()}-{os.getpid()}-{secrets.token_hex(2)}",
        host=Host(settings.plugins),
        keyring=Keyring(settings.secret_keys),
        shelf=MediaShelf(settings.media_root, settings.media_base_url, settings.media_allow),
        policy=RetryPolicy(settings.max_attempts, settings.retry_base, settings.retry_cap),
        max_lateness=settings.max_lateness,
        clock=Clock(),
        leases=Leases(),
        announce=_announce,
    )


try:
    settings = _settings()
except AutoposterError as error:
    print(f"autoposter: {error}", file=sys.stderr)
    raise SystemExit(error.exit_code) from None

assert settings.database_url and settings.redis_url
logs.configure(settings.log_level, settings.log_format)
connect_to(settings.database_url.get_secret_value())
bench = _bench(settings)
turns = Turns()
preparing = Preparing(bench, turns)
pace = scanning.Pace()
validations = validating.Validating()


def dispatch() -> scanning.Found:
    """Find what is due and put it on the broker; then what is less urgent, which must not keep that from being done."""
    preparing.renew()
    if broker.hints_were_lost:
        broker.hints_were_lost = False
        scanning.dispatch_again()
    waits = what_waits()
    behind = broker.waiting() if waits.posts else 0
    broker.posts_are_near = waits.near or behind > 0
    found = scanning.Found(posts=0, more=False)
    if waits.posts:
        found = scanning.dispatch_due_posts(
            partial(_send, publish),
            bench.clock,
            max_lateness=settings.max_lateness,
            room=max(0, scanning.WAITING_BEHIND - behind),
            send_behind=partial(_send, publish_behind),
            pace=pace,
        )
    if waits.looks:
        scanning.dispatch_looks(look.send)
    if waits.preparations:
        scanning.dispatch_preparations(prepare.send, room=turns.room)
    return found


def stop() -> None:
    """Begin nothing that is not urgent, and end soon."""
    turns.stop()
    broker.hurry()


def do_chores() -> None:
    """What is not urgent: end what came too late, mend what another program wrote, refresh, warn, begin to prepare."""
    scanning.end_missed_posts(settings.max_lateness, bench.announce)
    scanning.mend_stray_posts(settings.max_attempts)
    refreshing.dispatch_due(refresh.send)
    refreshing.warn_of_expiry()
    scanning.begin_preparing(bench.host.prepare_ahead())


def _send(to: dramatiq.Actor[[int], None], hints: Sequence[scanning.Hint]) -> None:
    broker.enqueue_all((to.message(post_id), delay // timedelta(milliseconds=1)) for post_id, delay in hints)


# Without Dramatiq's Retries and TimeLimit: the database decides what is tried again, and a time limit that raises
# between any two bytecodes cannot stop a blocked call.
duties = WorkerDuties(bench, scan=dispatch, chores=do_chores, threads_known=turns.allow, stopping=stop)
broker = build_broker(settings.redis_url.get_secret_value(), [PeriodiqMiddleware(), duties], bench.clock)
dramatiq.set_broker(broker)
actor = partial(dramatiq.actor, broker=broker)


@actor(priority=0)
def publish(post_id: int) -> None:
    """Make one attempt to publish a post, if it is due."""
    publishing.publish_post(post_id, bench)


@actor(priority=5, queue_name=BEHIND)
def publish_behind(post_id: int) -> None:
    """The same, behind what others have due: a backlog, or an account's crowd."""
    publishing.publish_post(post_id, bench)


@actor(priority=3)
def look(job_id: int) -> None:
    """Look at an attempt whose outcome is unknown."""
    recovery.look(job_id, bench)


@actor(priority=4)
def prepare(post_id: int) -> None:
    """Prepare a post ahead of its due time."""
    preparing.prepare(post_id)


@actor(priority=15)
def refresh(account_id: int) -> None:
    """Get new credentials for an account before the old ones expire."""
    refreshing.refresh_ahead(account_id, bench)


@actor(priority=25)
def validate(post_id: int) -> None:
    """Say ahead of time what a post's platform would refuse."""
    turns.take(_validate, post_id)


def _validate(post_id: int) -> None:
    with bench.leases.watch(publishing.GRACE + EXAMINE_LASTS):
        validating.validate(post_id, bench.host, bench.shelf)


@actor(priority=30)
def notify(event: str, about: int) -> None:
    """Tell plugins of an event of a job, post or account, by its id."""
    events.tell(event, about, bench)


@actor(priority=20, periodic=cron("* * * * *"))
def scan() -> None:
    """Each minute: dispatch what is due, and do the chores."""
    log.info("the minute scan found %s due posts", dispatch().posts)
    duties.minute_scan_ran()
    do_chores()
    for post_id in validations.due():
        validate.send(post_id)
