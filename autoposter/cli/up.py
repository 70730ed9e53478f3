"""`autoposter up`, and the look of its log."""

from __future__ import annotations

import io
import json
import os
import signal
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from autoposter import supervisor
from autoposter.settings import load_settings

#: What could steer a terminal.
_NO_CONTROLS = dict.fromkeys((*range(9), *range(10, 32), 127), "?")


def up() -> None:
    """Run a worker and the scheduler here, with a database and a broker of their own unless the settings name some.

    Without AUTOPOSTER_DATABASE_URL and AUTOPOSTER_REDIS_URL it starts a real PostgreSQL and a real Valkey (the extra
    `local`), which keep their data in ./.autoposter/.  Other `autoposter` commands in the same folder find them by
    themselves.  Ctrl-C or SIGTERM stops everything.
    """
    settings = load_settings()
    supervisor.run(Path.cwd(), settings, Log(settings.log_format).write)


class Log:
    """The one log: lines of all processes, each with the name of its process before it, or JSON lines as they are."""

    _COLOURS = {"up": "\x1b[1m", "worker": "\x1b[36m", "scheduler": "\x1b[35m"}

    def __init__(self, form: Literal["text", "json"]) -> None:
        self._json = form == "json"
        self._coloured = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
        if isinstance(sys.stdout, io.TextIOWrapper):
            sys.stdout.reconfigure(errors="backslashreplace")  # a terminal that knows no UTF-8 ends nothing

    def write(self, name: str, line: str) -> None:
        """One line.  A reader that has gone (`up | head`) stops everything, as Ctrl-C does."""
        try:
            print(self._form(name, line.rstrip("\r").translate(_NO_CONTROLS)), flush=True)
        except OSError:  # a pipe that nobody reads, a terminal that was closed
            # For good: Python flushes it once more at its end.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            os.kill(os.getpid(), signal.SIGTERM)

    def _form(self, name: str, line: str) -> str:
        if self._json:
            if line.startswith("{"):
                return line
            now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
            entry = {"time": now, "level": "INFO", "logger": f"autoposter.{name}", "message": line}
            return json.dumps(entry, ensure_ascii=False)
        if self._coloured:
            return f"{self._COLOURS.get(name, '')}{name:9}\x1b[0m | {line}"
        return f"{name:9} | {line}"
