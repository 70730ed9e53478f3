"""How commands read times: with a zone, or by the user's own."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Annotated
from zoneinfo import ZoneInfo

import typer

from autoposter.database import database_time
from autoposter.errors import WrongUsage
from autoposter.settings import parse_duration

EXAMPLE = "2030-12-24 18:00"

At = Annotated[
    str | None,
    typer.Option(
        metavar="TIME",
        help=f"When: '{EXAMPLE}' (by your own zone), '{EXAMPLE}+01:00' or '{EXAMPLE} Europe/Berlin'.",
    ),
]

In = Annotated[
    str | None, typer.Option("--in", metavar="DURATION", help="How long from now: 90 (seconds), 10m, 2h, 1d.")
]


def at_or_in(at: str | None, in_: str | None) -> datetime | None:
    """The moment that `--at` or `--in` names; None without either.  `--in` counts by the database's clock."""
    if at is not None and in_ is not None:
        raise WrongUsage("Give --at or --in, not both.")
    if in_ is not None:
        return _moved("--in", database_time(), duration("--in", in_))
    return None if at is None else read("--at", at)


def since(text: str | None) -> datetime | None:
    """The moment that `--since` names: a time, a date, or how long ago."""
    if text is None:
        return None
    try:
        ago = parse_duration(text)
    except ValueError:
        return read("--since", text, time_required=False)
    assert isinstance(ago, timedelta)
    return _moved("--since", database_time(), -ago)


def duration(option: str, text: str) -> timedelta:
    """`90`, `10m`, `2h`, `1d`."""
    try:
        parsed = parse_duration(text)
    except ValueError as error:
        raise WrongUsage(f"{option} {text!r}: it {error}.") from None
    assert isinstance(parsed, timedelta)
    return parsed


def read(option: str, text: str, *, time_required: bool = True) -> datetime:
    """A time in a zone: its own offset, a name after it, or the user's zone."""
    written, zone = _zone_of(text.strip())
    try:
        found = datetime.fromisoformat(written)
    except ValueError:
        raise WrongUsage(f"{option} {text!r} is no time: write it as {EXAMPLE} or {EXAMPLE}+01:00.") from None
    if time_required and not re.search(r"\d[T ]\d", written):
        raise WrongUsage(f"{option} {text!r} lacks the time of day: write it as {EXAMPLE}.")
    try:
        if found.tzinfo is None:
            return _in_zone(option, text, found, zone)
        return found.astimezone(UTC)
    except (OverflowError, ValueError, OSError):
        raise WrongUsage(f"{option} {text!r} is too far away.") from None


def _zone_of(text: str) -> tuple[str, tzinfo | None]:
    head, _, name = text.rpartition(" ")
    if not head or not name[0].isalpha():
        return text, None
    try:
        return head, ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise WrongUsage(f"There is no time zone {name!r}: write, for example, Europe/Berlin or UTC.") from None


def _in_zone(option: str, text: str, naive: datetime, zone: tzinfo | None) -> datetime:
    first, second = (naive.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1))
    if first == second:
        return first
    either = [moment.astimezone(zone).isoformat(" ") for moment in sorted((first, second))]
    if first.astimezone(zone).replace(tzinfo=None) == naive:
        raise WrongUsage(f"{option} {text!r} comes twice, as the clocks go back: say {either[0]} or {either[1]}.")
    raise WrongUsage(f"{option} {text!r} does not exist, as the clocks go forward: say {either[0]} or {either[1]}.")


def _moved(option: str, moment: datetime, by: timedelta) -> datetime:
    try:
        return moment + by
    except OverflowError:
        raise WrongUsage(f"{option} leads too far away.") from None
