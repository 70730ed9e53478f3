"""How commands print: tables for people, JSON for programs, both from the same rows."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Annotated, Any, TypeVar

import typer
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

#: Columns of the terminal where there is none: wide enough that nothing is cut for a program that reads a table.
WIDTH_WITHOUT_TERMINAL = 240

Json = Annotated[bool, typer.Option("--json", help="Print JSON, with all fields and times in UTC.")]

Row = TypeVar("Row")


def print_table(rows: Sequence[Row], columns: Mapping[str, Callable[[Row], object]]) -> None:
    """One line a row; a column for each name, by a function of the row."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold")
    for name in columns:
        table.add_column(name, overflow="fold")
    for row in rows:
        table.add_row(*(Text(plain(cell(row))) for cell in columns.values()))
    width = None if sys.stdout.isatty() else WIDTH_WITHOUT_TERMINAL
    Console(file=sys.stdout, width=width, highlight=False).print(table)


def print_json(value: Any) -> None:
    """A dataclass, or a list of them, as JSON."""
    print(json.dumps(_jsonable(value), indent=2, ensure_ascii=False))


def _jsonable(value: Any) -> Any:
    match value:
        case list() | tuple():
            return [_jsonable(inner) for inner in value]
        case dict():
            return {key: _jsonable(inner) for key, inner in value.items()}
        case datetime():
            return value.isoformat()
        case str() | int() | float() | None:
            return value
    return _jsonable(asdict(value))


def plain(value: object) -> str:
    """What a cell shows.  Control characters, which could move a terminal's cursor, are shown as escapes."""
    match value:
        case None:
            return ""
        case bool():
            return "yes" if value else "no"
        case datetime():
            return shown(value)
    return "".join(char if char.isprintable() else escaped(char) for char in str(value))


def escaped(char: str) -> str:
    """A character that cannot be printed, as one that can."""
    return " " if char.isspace() else ascii(char)[1:-1]


def shown(moment: datetime) -> str:
    """A moment in the user's own zone."""
    return moment.astimezone().strftime("%Y-%m-%d %H:%M:%S %Z")


def shortened(text: str | None, length: int) -> str | None:
    """The beginning of a text, on one line."""
    if text is None:
        return None
    line = " ".join(text.split())
    return line if len(line) <= length else line[: length - 1] + "…"


def say_aside(sentence: str) -> None:
    """A sentence for the person, beside what the command prints for others."""
    print(plain(sentence), file=sys.stderr)
