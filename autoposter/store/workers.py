"""The worker processes: what `doctor` and the metrics read."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from autoposter.database import execute, single_statement

#: Without periodiq's scan for so long, the scheduler counts as gone.
MINUTE_SCAN_MISSED = timedelta(minutes=3)

#: Rows of workers that have not been seen for so long are removed.
FORGOTTEN_AFTER = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class WorkerRow:
    """What a worker process says of itself."""

    id: str
    host: str
    pid: int
    version: str
    platforms: Sequence[str]
    clock_offset: timedelta
    """How far the database's clock is ahead of the worker's."""


def seen(worker: WorkerRow, *, scanned: bool) -> None:
    """Note that a worker lives, and whether periodiq's scan ran in it since the last note."""
    with single_statement():
        execute(
            """
            insert into worker as w (id, host, pid, version, platforms, clock_offset, scanned_at)
            values (%(id)s, %(host)s, %(pid)s, %(version)s, %(platforms)s, %(offset)s,
                    case when %(scanned)s then now() end)
            on conflict (id) do update
               set seen_at = now(), platforms = excluded.platforms, clock_offset = excluded.clock_offset,
                   scanned_at = coalesce(excluded.scanned_at, w.scanned_at)""",
            {
                "id": worker.id,
                "host": worker.host,
                "pid": worker.pid,
                "version": worker.version,
                "platforms": json.dumps(list(worker.platforms)),
                "offset": worker.clock_offset,
                "scanned": scanned,
            },
        )


def minute_scan_ran(within: timedelta) -> bool:
    """Whether periodiq's scan ran within this time, in whatever worker."""
    with single_statement():
        found = execute(
            "select coalesce(max(scanned_at) > now() - %(within)s, false) from worker", {"within": within}
        ).fetchone()
    return bool(found[0])


def gone(worker_id: str) -> None:
    """Forget a worker that has stopped, and those that were not seen for a week."""
    with single_statement():
        execute(
            "delete from worker where id = %(id)s or seen_at < now() - %(forgotten)s",
            {"id": worker_id, "forgotten": FORGOTTEN_AFTER},
        )
