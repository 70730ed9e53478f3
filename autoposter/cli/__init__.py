"""The command `autoposter`.

Each command parses, calls one function of the rooms below, and prints.  `main` alone turns what a person can do
something about into one line on stderr and an exit code: 0 done, 1 the answer is no, 2 wrong usage, 3 the database or
the broker is out of reach.  Anything else is a bug of ours and keeps its trace.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib.metadata import version as version_of
from typing import Annotated

import typer
from typer.exceptions import TyperException

from autoposter import logs
from autoposter.cli import accounts, audit, demo, doctor, keys, migrate, new_plugin, plugins, posts, schedule, up
from autoposter.errors import AutoposterError, WrongUsage

app = typer.Typer(
    name="autoposter",
    help="Publishes scheduled social-media posts when they are due.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,  # its traces show local variables, and with them secrets
)
app.command()(up.up)
app.command()(demo.demo)
app.command()(migrate.migrate)
app.add_typer(accounts.app, name="accounts")
app.command()(schedule.schedule)
app.add_typer(posts.app, name="posts")
app.command()(plugins.plugins)
app.command("new-plugin")(new_plugin.new_plugin)
app.command()(doctor.doctor)
app.command()(audit.audit)
app.add_typer(keys.app, name="keys")


def _print_version(wanted: bool) -> None:
    if wanted:
        print(version_of("autoposter"))
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", is_eager=True, callback=_print_version)
    ] = False,
) -> None: ...


def main(args: Sequence[str] | None = None) -> int:
    """Run one command; its exit code."""
    logs.guard()
    logs.without_traces()
    try:
        code = typer.main.get_command(app).main(args, prog_name="autoposter", standalone_mode=False)
        sys.stdout.flush()
    except AutoposterError as error:
        return _say(str(error), error.exit_code)
    except TyperException as error:
        return _say(_usage(error), WrongUsage.exit_code)
    except typer.Abort:
        return _say("Stopped.", 130)
    except BrokenPipeError:  # whoever read our output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return code if isinstance(code, int) else 0


def _say(sentence: str, exit_code: int) -> int:
    print(sentence, file=sys.stderr)
    return exit_code


def _usage(error: TyperException) -> str:
    message = error.format_message().strip()
    context = getattr(error, "ctx", None)
    if context is None or message.startswith("Usage:"):  # the help that stands for a command without a word
        return message
    return f"{' '.join(message.split()).rstrip('.')} (see `{context.command_path} --help`)."
