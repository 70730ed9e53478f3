"""How the log looks: lines for people, or one JSON object a line."""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Literal

#: These log each request with its whole address, which may carry a token; publishers' calls stand in the jobs.
TALKATIVE = ("httpx2", "httpcore2", "peewee", "peewee.pool")


def configure(level: str, form: Literal["text", "json"]) -> None:
    """Send everything to stderr, from `level` on.  Replaces what the process had set up before."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if form == "json" else TextFormatter())
    logging.basicConfig(level=level, handlers=[handler], force=True)
    for name in TALKATIVE:
        logging.getLogger(name).setLevel(max(logging.WARNING, logging.getLevelName(level)))
    if level != "DEBUG":
        logging.getLogger("dramatiq").setLevel(max(logging.WARNING, logging.getLevelName(level)))
        logging.getLogger("periodiq").setLevel(max(logging.WARNING, logging.getLevelName(level)))


def _moment(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class TextFormatter(logging.Formatter):
    """`2026-11-23T09:00:00.004Z INFO     autoposter.settling: post 7 is Posted ...`; times are UTC."""

    def format(self, record: logging.LogRecord) -> str:
        """One line, and the stack trace below it."""
        line = f"{_moment(record)} {record.levelname:<8} {record.name}: {record.getMessage()}"
        if record.exc_info:
            line += "\n" + self.formatException(record.exc_info)
        return line


class JsonFormatter(logging.Formatter):
    """One object a line: `time` (UTC), `level`, `logger`, `message`, `trace` where there is one."""

    def format(self, record: logging.LogRecord) -> str:
        """One line of JSON."""
        entry = {
            "time": _moment(record),
            "level": record.levelname,
            "logger": record.name,
            "process": record.process,
            "message": record.getMessage(),
        }
        if record.exc_info:
            entry["trace"] = self.formatException(record.exc_info)
        return json.dumps(entry, ensure_ascii=False)
