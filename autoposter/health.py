"""Whether everything is reachable and alive: what `autoposter doctor` says.

Each check looks at one thing and says it in one sentence.  A `problem` keeps posts from going out, or will; a `warning`
does not.  Nothing here changes anything.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from importlib.metadata import version

import redis

from autoposter.broker import connect
from autoposter.clock import CLOCK_TOLERANCE, Clock
from autoposter.credentials import CredentialsUnreadable, Keyring
from autoposter.database import DATABASE_AWAY, connect_to, database_time, reason_away
from autoposter.errors import AutoposterError
from autoposter.lifecycle import AccountStatus
from autoposter.media.fetching import reach
from autoposter.media.outside import may_be_public
from autoposter.migrations import require_current_schema
from autoposter.plugins import Host
from autoposter.publishers import PublishError
from autoposter.settings import Settings
from autoposter.store import health, workers
from autoposter.store.account_states import EXPIRES_SOON
from autoposter.store.health import AccountHealth, LivingWorker

#: A worker writes its row every 5 s; three times that without news, and it counts as gone.
ALIVE_WITHIN = timedelta(seconds=15)

#: An API version that ends within this time is announced.
ENDS_SOON = timedelta(days=90)


class Verdict(StrEnum):
    """How a check came out."""

    OK = "ok"
    WARNING = "warning"
    PROBLEM = "problem"
    OUT_OF_REACH = "out of reach"


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at."""

    about: str
    verdict: Verdict
    says: str
    """One sentence; of a trouble with what to do."""


def examine(settings: Settings) -> Iterator[Check]:
    """Look at everything, and say of each what is found.  What cannot be reached keeps the rest from nothing."""
    yield from _broker(settings)
    host = Host(settings.plugins)
    yield from _plugins(host)
    yield from _media_root(settings)
    yield from _media_base_url(settings)
    try:
        yield from _database(settings)
        yield from _workers()
        yield from _posts()
        yield from _accounts(host, Keyring(settings.secret_keys))
    except DATABASE_AWAY as error:
        says = f"The database cannot be reached: {reason_away(error)}."
        yield Check("database", Verdict.OUT_OF_REACH, says)
    except AutoposterError as error:  # a schema that does not fit: nothing else can be read
        yield Check("database", Verdict.PROBLEM, str(error))


def _broker(settings: Settings) -> Iterator[Check]:
    if settings.redis_url is None:
        yield Check("broker", Verdict.PROBLEM, "AUTOPOSTER_REDIS_URL is not set: a worker needs Redis.")
        return
    client = connect(settings.redis_url.get_secret_value())
    try:
        client.ping()
        memory = client.info("memory")
    except redis.RedisError as error:
        yield Check("broker", Verdict.OUT_OF_REACH, f"Redis cannot be reached: {error}.")
        return
    finally:
        client.close()
    policy = memory.get("maxmemory_policy", "noeviction")
    if memory.get("maxmemory") and policy != "noeviction":
        says = f"Redis may throw messages away (maxmemory-policy {policy}): set it to noeviction."
        yield Check("broker", Verdict.WARNING, says)
    else:
        yield Check("broker", Verdict.OK, "Redis answers.")


def _plugins(host: Host) -> Iterator[Check]:
    broken = [plugin for plugin in host.plugins() if plugin.error]
    for plugin in broken:
        yield Check("plugins", Verdict.PROBLEM, f"The plugin {plugin.id} is broken: {plugin.error}")
    if not broken:
        yield Check("plugins", Verdict.OK, f"Platforms: {', '.join(host.platforms())}.")
    today = Clock().now().date()
    for plugin in host.plugins():
        for platform, day in plugin.api_ends.items():
            if day <= today + ENDS_SOON:
                ends = "ends" if day > today else "has ended"
                says = f"The version of the API of {platform} that is used by default {ends} on {day}:"
                yield Check("plugins", Verdict.WARNING, f"{says} upgrade {plugin.distribution}.")


def _media_root(settings: Settings) -> Iterator[Check]:
    root = settings.media_root
    if root is not None and not (root.is_dir() and os.access(root, os.R_OK | os.X_OK)):
        says = f"AUTOPOSTER_MEDIA_ROOT ({root}) is no folder that can be read here."
        yield Check("media", Verdict.PROBLEM, says)


def _media_base_url(settings: Settings) -> Iterator[Check]:
    """Whether platforms that fetch by themselves can; as far as can be seen from inside."""
    base = settings.media_base_url
    if base is None:
        return
    if not may_be_public(base):
        says = f"AUTOPOSTER_MEDIA_BASE_URL ({base}) is no https address of a public host: no platform fetches from it."
        yield Check("media", Verdict.PROBLEM, says)
        return
    try:
        reach(base)
    except PublishError as error:
        says = f"AUTOPOSTER_MEDIA_BASE_URL: seen from here, no platform can fetch from it: {error}"
        yield Check("media", Verdict.WARNING, says)
    else:
        yield Check("media", Verdict.OK, "AUTOPOSTER_MEDIA_BASE_URL answers, and is of the public internet.")


def _database(settings: Settings) -> Iterator[Check]:
    if settings.database_url is None:
        raise AutoposterError("AUTOPOSTER_DATABASE_URL is not set: autoposter needs PostgreSQL.")
    connect_to(settings.database_url.get_secret_value())
    require_current_schema()
    yield Check("database", Verdict.OK, "PostgreSQL answers, and its tables are this version's.")
    clock = Clock()
    for _ in range(3):
        clock.measure(database_time)
    if abs(clock.offset_from_wall) > CLOCK_TOLERANCE:
        yield _clock("This machine", clock.offset_from_wall)


def _workers() -> Iterator[Check]:
    alive = health.living_workers(ALIVE_WITHIN)
    if not alive:
        yield Check("workers", Verdict.PROBLEM, "No worker is alive: start `dramatiq autoposter.actors`.")
        return
    yield Check("workers", Verdict.OK, f"Worker processes alive: {len(alive)}.")
    ours = version("autoposter")
    for worker in alive:
        if worker.version != ours:
            says = f"The worker {worker.id} is autoposter {worker.version}, and this is {ours}: restart it."
            yield Check("workers", Verdict.WARNING, says)
        if abs(worker.clock_offset) > CLOCK_TOLERANCE:
            yield _clock(f"The worker {worker.id}", worker.clock_offset)
    yield from _scheduler()
    yield from _platforms_of(alive)


def _clock(whose: str, offset: timedelta) -> Check:
    seconds = offset.total_seconds()
    says = f"{whose} has a clock {abs(seconds):.1f} s {'behind' if seconds > 0 else 'ahead of'} the database's."
    return Check("clock", Verdict.WARNING, f"{says} The database's counts; set the clocks by NTP.")


def _scheduler() -> Iterator[Check]:
    if workers.minute_scan_ran(workers.MINUTE_SCAN_MISSED):
        yield Check("scheduler", Verdict.OK, "The minute scan runs.")
    else:
        says = "No minute scan for 3 minutes: start `periodiq autoposter.actors`. Posts go out all the same."
        yield Check("scheduler", Verdict.WARNING, says)


def _platforms_of(alive: list[LivingWorker]) -> Iterator[Check]:
    """A platform that some workers have and others do not."""
    everywhere = set.intersection(*(set(worker.platforms) for worker in alive))
    for worker in alive:
        if more := set(worker.platforms) - everywhere:
            says = f"The worker {worker.id} publishes on {', '.join(sorted(more))}, and others do not: restart them."
            yield Check("workers", Verdict.WARNING, says)
            return


def _posts() -> Iterator[Check]:
    waiting = health.waiting()
    if waiting.overdue:
        says = f"Overdue by more than a minute: {waiting.overdue} (`autoposter posts list --problems`)."
        yield Check("posts", Verdict.WARNING, says)
    if waiting.unconfirmed:
        says = f"Unconfirmed: {waiting.unconfirmed}; look at the platform, then `autoposter posts resolve`."
        yield Check("posts", Verdict.WARNING, says)
    if waiting.problems:
        says = f"Refused, or would be: {waiting.problems} (`autoposter posts list --problems`)."
        yield Check("posts", Verdict.WARNING, says)
    if not (waiting.overdue or waiting.unconfirmed or waiting.problems):
        yield Check("posts", Verdict.OK, "None is overdue, and none waits for a person.")


def _accounts(host: Host, keyring: Keyring) -> Iterator[Check]:
    clock, fine = Clock(), True
    usable = set(host.platforms())
    for account in health.accounts():
        for check in _account(account, usable, keyring, clock):
            fine = False
            yield check
    if fine:
        yield Check("accounts", Verdict.OK, "All accounts can be used.")


def _account(account: AccountHealth, usable: set[str], keyring: Keyring, clock: Clock) -> Iterator[Check]:
    who = f"{account.platform}:{account.name}"
    reconnect = f"`autoposter accounts reconnect {shlex.quote(who)}`"
    if account.platform not in usable:
        yield Check("accounts", Verdict.PROBLEM, f"No plugin installed here publishes for {who}.")
    if account.status is AccountStatus.DISCONNECTED:
        says = f"{who} is disconnected ({account.last_error or 'no reason is known'})"
        yield Check("accounts", Verdict.PROBLEM, f"{says}: {reconnect}.")
    try:
        keyring.decrypt(account.id, account.credentials)
    except CredentialsUnreadable as error:
        yield Check("accounts", Verdict.PROBLEM, f"{who}: {error}")
    expiry = account.credentials_expire_at
    is_refreshed = account.refresh_at is not None and account.refresh_failures == 0
    if expiry is not None and expiry <= clock.now() + EXPIRES_SOON and not is_refreshed:
        says = f"The credentials of {who} expire at {expiry:%Y-%m-%d %H:%M} UTC"
        yield Check("accounts", Verdict.WARNING, f"{says}: {reconnect}.")
