"""`autoposter up`."""

from __future__ import annotations

from pathlib import Path

from autoposter import supervisor
from autoposter.settings import load_settings


def up() -> None:
    """Run a worker and the scheduler here, with a database and a broker of their own unless the settings name some.

    Without AUTOPOSTER_DATABASE_URL and AUTOPOSTER_REDIS_URL it starts a real PostgreSQL and a real Valkey (the extra
    `local`), which keep their data in ./.autoposter/.  Other `autoposter` commands in the same folder find them by
    themselves.  Ctrl-C or SIGTERM stops everything.
    """
    settings = load_settings()
    supervisor.run(Path.cwd(), settings, supervisor.Log(settings.log_format))
