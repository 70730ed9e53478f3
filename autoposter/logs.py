"""How the log looks: lines for people, or one JSON object a line; no secret in either, whoever writes it."""

from __future__ import annotations

import json
import logging
import sys
import threading
import traceback
from datetime import UTC, datetime
from types import TracebackType
from typing import Literal, TextIO

from autoposter import redaction

#: These log each request with its whole address, which may carry a token; publishers' calls stand in the jobs.
TALKATIVE = ("httpx2", "httpcore2", "peewee", "peewee.pool")


def configure(level: str, form: Literal["text", "json"]) -> None:
    """Send everything to stderr, from `level` on.  Replaces what the process had set up before."""
    handler = Handler(sys.stderr)
    handler.setFormatter(JsonFormatter() if form == "json" else TextFormatter())
    logging.basicConfig(level=level, handlers=[handler], force=True)
    logging.captureWarnings(True)
    guard()
    for name in TALKATIVE:
        logging.getLogger(name).setLevel(max(logging.WARNING, logging.getLevelName(level)))
    if level != "DEBUG":
        logging.getLogger("dramatiq").setLevel(max(logging.WARNING, logging.getLevelName(level)))
        logging.getLogger("periodiq").setLevel(max(logging.WARNING, logging.getLevelName(level)))


def guard() -> None:
    """Leave secrets out of what Python itself writes: traces of uncaught errors, and lines that nothing configured.

    Hooks that somebody else has set stay.
    """
    if sys.excepthook is sys.__excepthook__:
        sys.excepthook = _uncaught
    if threading.excepthook is threading.__excepthook__:
        threading.excepthook = _uncaught_there
    if sys.unraisablehook is sys.__unraisablehook__:
        sys.unraisablehook = _uncaught_there
    if logging.lastResort:
        logging.lastResort.setFormatter(BareFormatter())


def without_traces() -> None:
    """Let lines that nothing configured be one sentence, without the stack trace below: a person reads them."""
    if logging.lastResort:
        logging.lastResort.setFormatter(SentenceFormatter())


def _uncaught_there(how: threading.ExceptHookArgs | sys.UnraisableHookArgs) -> None:
    _uncaught(how.exc_type, how.exc_value, how.exc_traceback)


def _uncaught(kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
    if kind is KeyboardInterrupt:
        return sys.__excepthook__(kind, error or kind(), at)
    if kind is not SystemExit:
        text = "".join(traceback.format_exception(kind, error, at))
        print(redaction.known.text(text), end="", file=sys.stderr)
    return None


def _moment(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class Handler(logging.StreamHandler[TextIO]):
    """Writes lines; of one that cannot be written it says so without its arguments, which may be secrets."""

    def handleError(self, record: logging.LogRecord) -> None:
        """Tell what went wrong, and where the line was written."""
        _uncaught(*sys.exc_info())
        print(f"A line of {record.name} ({record.pathname}:{record.lineno}) was lost.", file=sys.stderr)


class TextFormatter(logging.Formatter):
    """`2026-11-23T09:00:00.004Z INFO     autoposter.settling: post 7 is Posted ...`; times are UTC."""

    def format(self, record: logging.LogRecord) -> str:
        """One line, and the stack trace below it."""
        line = f"{_moment(record)} {record.levelname:<8} {record.name}: {record.getMessage()}"
        if record.exc_info:
            line += "\n" + self.formatException(record.exc_info)
        return redaction.known.text(line)


class BareFormatter(logging.Formatter):
    """The message alone."""

    def format(self, record: logging.LogRecord) -> str:
        """The message, and the stack trace below it."""
        return redaction.known.text(super().format(record))


class SentenceFormatter(logging.Formatter):
    """The first line of the message."""

    def format(self, record: logging.LogRecord) -> str:
        """Without what is below it."""
        return redaction.known.text(record.getMessage().partition("\n")[0])


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
        return redaction.known.text(json.dumps(entry, ensure_ascii=False))
