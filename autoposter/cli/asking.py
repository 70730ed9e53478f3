"""What a person says of an account: `--set KEY=VALUE`, and answers to questions where a terminal is there."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic.fields import FieldInfo

from autoposter import accounts, connecting
from autoposter.cli.printing import plain, say_aside
from autoposter.errors import WrongUsage
from autoposter.publishers import Choice, Publisher
from autoposter.publishers.base import overrides

Given = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="A setting or credential; of credentials also KEY=@FILE and KEY=env:NAME, which keep a secret out of"
        " the list of processes.",
    ),
]


def can_ask() -> bool:
    """Whether a person sits at the other end."""
    return sys.stdin.isatty()


# --- given -----------------------------------------------------------------------------------------------------------


def parsed(publisher: type[Publisher], given: Iterable[str]) -> dict[str, Any]:
    """The values of `--set`.  Raises WrongUsage."""
    values: dict[str, Any] = {}
    for key, value in (_pair(publisher, pair) for pair in given):
        if key in values:
            raise WrongUsage(f"{key} is given twice.")
        values[key] = value
    return values


def warn_of_secrets(publisher: type[Publisher], given: Iterable[str]) -> None:
    """Say of a secret that it stood on the command line, where others may have read it."""
    for pair in given:
        key, _, value = pair.partition("=")
        if accounts.is_secret(publisher, key) and not _is_elsewhere(value):
            return say_aside(
                f"{key} stood in the list of processes, and in your shell's history: next time give {key}=@FILE or"
                f" {key}=env:NAME, or leave it out to be asked."
            )
    return None


def _pair(publisher: type[Publisher], pair: str) -> tuple[str, str]:
    key, equals, value = pair.partition("=")
    if not equals or (key not in accounts.fields(publisher) and not value.strip("=")):
        # Not repeated: it may be a secret whose key was forgotten, and some end in "=".
        raise WrongUsage(f"--set takes KEY=VALUE; the keys are {', '.join(accounts.fields(publisher)) or 'none'}.")
    accounts.refuse_unknown(publisher, key)
    if accounts.is_secret(publisher, key) and _is_elsewhere(value):
        return key, _from_elsewhere(key, value)
    return key, value


def _is_elsewhere(value: str) -> bool:
    return value.startswith(("@", "env:"))


def _from_elsewhere(key: str, value: str) -> str:
    if value.startswith("@"):
        try:
            return Path(value[1:]).read_text(encoding="utf-8").strip()
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is not text"
            raise WrongUsage(f"{key}: the file {value[1:]} cannot be read ({reason}).") from None
    variable = value.removeprefix("env:")
    if variable not in os.environ:
        raise WrongUsage(f"{key}: the environment variable {variable} is not set.")
    return os.environ[variable]


# --- asked -----------------------------------------------------------------------------------------------------------


def completed(
    publisher: type[Publisher], given: Mapping[str, Any], settings: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """All that is known of an account: what was given, what a person is asked, and which of several they choose.

    `settings`: those of an account that exists; they are not asked for again.
    """
    values, stored = dict(given), dict(settings or {})
    if publisher.setup and can_ask():
        print(publisher.setup.strip())
    if overrides(publisher, "choices"):
        _ask_for(publisher.Credentials.model_fields, values, secret=True)
        offered = connecting.choices(publisher, {**stored, **values})
        if choice := _chosen(offered) if can_ask() else connecting.only(offered):
            # The credentials that were given have led to those of the choice, and are not kept.
            kept = {key: value for key, value in values.items() if key in publisher.Settings.model_fields}
            values = kept | connecting.taken(choice)
    if settings is None:
        _ask_for(publisher.Settings.model_fields, values, secret=False)
    if not overrides(publisher, "choices"):
        _ask_for(publisher.Credentials.model_fields, values, secret=True)
    return values


def name() -> str:
    """What a person calls the account."""
    answer: str = typer.prompt("name")
    return answer


def _ask_for(fields: Mapping[str, FieldInfo], values: dict[str, Any], *, secret: bool) -> None:
    """Ask for the fields that have no value yet.  An empty answer leaves a field out that may be left out."""
    for key, field in fields.items():
        if key not in values and can_ask():
            answer = _answer(key, field, secret=secret)
            if answer or field.is_required():
                values[key] = answer


def _answer(key: str, field: FieldInfo, *, secret: bool) -> str:
    words = key + (f" ({field.description})" if field.description else "")
    if not field.is_required():
        default = field.get_default(call_default_factory=True, validated_data={})
        words += f" [{default}]" if default and not secret else " [none]"
    answer: str = typer.prompt(
        words, default=None if field.is_required() else "", show_default=False, hide_input=secret
    )
    return answer.strip()  # what is pasted brings spaces along


def _chosen(offered: Sequence[Choice]) -> Choice | None:
    if len(offered) < 2:
        return connecting.only(offered)
    print("These credentials lead to several accounts:")
    for number, one in enumerate(offered, 1):
        print(f"  {number}  {plain(one.name)} ({', '.join(plain(value) for value in one.settings.values())})")
    number = 0
    while not 1 <= number <= len(offered):
        number = typer.prompt(f"Which, 1 to {len(offered)}", type=int)
    return offered[number - 1]
