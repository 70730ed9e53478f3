"""`autoposter posts`."""

from __future__ import annotations

import getpass
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Annotated

import typer

from autoposter import accounts, scheduling, validating
from autoposter.cli import session, times
from autoposter.cli.printing import Json, print_json, print_table, say_aside, shortened, shown
from autoposter.cli.story import print_story
from autoposter.errors import Refused, WrongUsage
from autoposter.lifecycle import Status
from autoposter.plugins import Host
from autoposter.scheduling import Verdict
from autoposter.store import reports
from autoposter.store.posts import Resolution
from autoposter.store.reports import Selection

app = typer.Typer(help="Scheduled and published posts.", no_args_is_help=True)

Ids = Annotated[list[int] | None, typer.Argument(metavar="[ID]...", help="The posts' ids; or a selection, by options.")]
OfAccount = Annotated[str | None, typer.Option("--account", metavar="NAME", help="Those of this account.")]
Because = Annotated[
    str | None,
    typer.Option(metavar="TEXT", help="Those whose last error contains this, or is of this kind (rate_limited, ...)."),
]
Since = Annotated[
    str | None,
    typer.Option(metavar="TIME", help="Those scheduled for this time or later; 24h: for the last 24 hours on."),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only list what would be done.")]

#: More outcomes than this are told by their number only.
MOST_TOLD = 20

_COLUMNS = {
    "id": lambda post: post.id,
    "status": lambda post: post.status if post.autopost_enabled else f"{post.status} (off)",
    "when": lambda post: post.posted_at or post.scheduled_for,
    "account": lambda post: f"{post.platform}:{post.account}",
    "caption": lambda post: shortened(post.caption, 40),
    "note": lambda post: shortened(post.last_error, 60) or post.permalink,
}


@app.command("list")
def list_(
    status: Annotated[list[str] | None, typer.Option(metavar="STATUS", help="Only these; may be repeated.")] = None,
    account: OfAccount = None,
    since: Since = None,
    problems: Annotated[bool, typer.Option("--problems", help="Only what needs a person, or is late.")] = False,
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="No more than this.")] = 50,
    json: Json = False,
) -> None:
    """List posts, the last made first."""
    with session.database():
        selection = replace(
            _selection(account, None, since),
            statuses=[_status(name) for name in status or []] or None,
            problems=problems,
        )
        found = reports.listed(selection, limit=limit)
    if json:
        return print_json(found)
    if not found:
        print("There are no such posts.")
        return None
    return print_table(found, _COLUMNS)


def _status(name: str) -> Status:
    for status in Status:
        if status.lower() == name.lower():
            return status
    raise WrongUsage(accounts.unknown(f"There is no status {name!r}", name, list(Status)))


@app.command()
def show(post_id: Annotated[int, typer.Argument(metavar="ID")], json: Json = False) -> None:
    """Tell the story of one post: each attempt, when and by whom, how far it got, and what the platform said."""
    with session.database():
        story = scheduling.story(post_id)
    if json:
        return print_json(story)
    return print_story(story)


@app.command()
def cancel(
    ids: Ids = None, account: OfAccount = None, because: Because = None, since: Since = None, dry_run: DryRun = False
) -> None:
    """Keep posts from being published.

    One that is being published at this moment is switched off instead, so that it is not tried again (exit code 1).
    """
    with session.database():
        chosen = _chosen(ids, account, because, since, scheduling.CANCELLABLE)
        if dry_run:
            return _print_dry_run(chosen, scheduling.CANCELLABLE)
        verdicts = scheduling.cancel(chosen.ids)
    return _tell(verdicts, "cancelled", needs="Draft or Scheduled")


@app.command()
def reschedule(
    ids: Ids = None,
    at: times.At = None,
    in_: times.In = None,
    account: OfAccount = None,
    because: Because = None,
    since: Since = None,
    dry_run: DryRun = False,
) -> None:
    """Move posts that are not published yet to another time."""
    with session.database():
        to = times.at_or_in(at, in_)
        if to is None:
            raise WrongUsage("Say when: --at '2030-12-24 18:00' or --in 10m.")
        if in_ is None:
            scheduling.refuse_past(to)
        chosen = _chosen(ids, account, because, since, scheduling.RESCHEDULABLE)
        if dry_run:
            return _print_dry_run(chosen, scheduling.RESCHEDULABLE)
        verdicts = scheduling.reschedule(chosen.ids, to)
    return _tell(verdicts, f"rescheduled for {shown(to)}", needs="Draft or Scheduled")


@app.command()
def retry(
    ids: Ids = None, account: OfAccount = None, because: Because = None, since: Since = None, dry_run: DryRun = False
) -> None:
    """Schedule failed, missed and cancelled posts anew, for now, with a new budget of attempts.

    A selection leaves the cancelled ones out: name them by their ids.
    """
    with session.database():
        statuses = (*scheduling.RETRYABLE, Status.CANCELLED) if ids else scheduling.RETRYABLE
        chosen = _chosen(ids, account, because, since, statuses)
        if dry_run:
            return _print_dry_run(chosen, statuses)
        verdicts = scheduling.retry(chosen.ids)
    return _tell(verdicts, "scheduled for now", needs="Failed, Missed or Cancelled")


@app.command()
def resolve(
    ids: Ids = None,
    posted: Annotated[bool, typer.Option("--posted", help="It is on the platform.")] = False,
    platform_post_id: Annotated[str | None, typer.Option("--id", metavar="ID", help="Its id there.")] = None,
    not_posted: Annotated[
        bool, typer.Option("--not-posted", help="It is not on the platform, and shall not be.")
    ] = False,
    again: Annotated[bool, typer.Option("--retry", help="It is not on the platform: send it again, now.")] = False,
    account: OfAccount = None,
    because: Because = None,
    since: Since = None,
    dry_run: DryRun = False,
) -> None:
    """Say what became of posts whose outcome nobody could find out (Unconfirmed)."""
    choices = {Resolution.POSTED: posted, Resolution.NOT_POSTED: not_posted, Resolution.RETRY: again}
    said = [resolution for resolution, given in choices.items() if given]
    if len(said) != 1:
        raise WrongUsage("Look on the platform, and say one of --posted, --not-posted and --retry.")
    with session.database():
        chosen = _chosen(ids, account, because, since, scheduling.RESOLVABLE)
        if dry_run:
            return _print_dry_run(chosen, scheduling.RESOLVABLE)
        verdicts = scheduling.resolve(chosen.ids, said[0], by=_user(), platform_post_id=platform_post_id)
    done = {Resolution.POSTED: "Posted", Resolution.NOT_POSTED: "Failed", Resolution.RETRY: "scheduled for now"}
    return _tell(verdicts, done[said[0]], needs="Unconfirmed")


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user may have no name
        return "somebody"


@app.command()
def validate(ids: Ids = None, account: OfAccount = None, because: Because = None, since: Since = None) -> None:
    """Find out whether scheduled posts would be refused by their platforms; exit code 1 if any would."""
    with session.database() as settings:
        chosen = _chosen(ids, account, because, since, (Status.SCHEDULED,))
        host, shelf = Host(settings.plugins), session.shelf(settings)
        found = {post_id: validating.validate(scheduling.status(post_id).id, host, shelf) for post_id in chosen.ids}
    for post_id, problems in found.items():
        if problems:
            say_aside(f"Post {post_id} would be refused: {' '.join(problems)}")
    refused = sum(bool(problems) for problems in found.values())
    print(f"{_number(len(found))} validated, {refused} would be refused.")
    if refused:
        raise typer.Exit(1)


# --- which posts -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Chosen:
    """The posts that a move is for."""

    ids: Sequence[int]
    by_selection: bool


def _chosen(
    ids: list[int] | None, account: str | None, because: str | None, since: str | None, statuses: Collection[Status]
) -> Chosen:
    selection = _selection(account, because, since)
    if ids and selection != Selection():
        raise WrongUsage("Name posts by their ids, or select them by --account, --because and --since, not both.")
    if ids:
        return Chosen(ids, by_selection=False)
    if selection == Selection():
        raise WrongUsage("Say which posts: their ids, or --account, --because or --since.")
    return Chosen(reports.selected(replace(selection, statuses=statuses)), by_selection=True)


def _selection(account: str | None, because: str | None, since: str | None) -> Selection:
    return Selection(
        account_id=None if account is None else accounts.show(account).id,
        because=None if because is None else scheduling.text("--because", because, least=1),
        since=times.since(since),
    )


def _print_dry_run(chosen: Chosen, statuses: Collection[Status]) -> None:
    found = reports.listed(Selection(ids=chosen.ids, statuses=statuses), limit=len(chosen.ids) or 1)
    if not found:
        print("There are no such posts.")
        return
    print(f"It would be done to {_number(len(found))}; nothing was done yet:")
    print_table(found, _COLUMNS)


# --- what became of them ---------------------------------------------------------------------------------------------


def _tell(verdicts: list[Verdict], done: str, *, needs: str) -> None:
    """Say what became of each post, or of how many; exit code 1 if any did not move."""
    moved = [verdict.post_id for verdict in verdicts if verdict.moved]
    others = [verdict for verdict in verdicts if not verdict.moved]
    if len(moved) > MOST_TOLD or not verdicts:
        print(f"{_number(len(moved))} {'is' if len(moved) == 1 else 'are'} {done}.")
    else:
        for post_id in moved:
            print(f"Post {post_id} is {done}.")
    if len(verdicts) == len(others) == 1:
        raise _why_not(others[0], done, needs)
    for verdict in others[:MOST_TOLD]:
        say_aside(str(_why_not(verdict, done, needs)))
    if len(others) > MOST_TOLD:
        say_aside(f"And {_number(len(others) - MOST_TOLD)} more did not move.")
    if others:
        raise typer.Exit(1)


def _why_not(verdict: Verdict, done: str, needs: str) -> Refused:
    if verdict.status is None:
        return scheduling.no_such_post(verdict.post_id)
    if verdict.status is Status.PUBLISHING and done == "cancelled":
        return Refused(
            f"Post {verdict.post_id} is being published at this moment: it is too late to cancel it."
            " It is switched off, so that it is not tried again."
        )
    return Refused(
        f"Post {verdict.post_id} is {verdict.status}; only a post that is {needs} can be {_participle(done)}."
    )


def _participle(done: str) -> str:
    return {"Posted": "resolved", "Failed": "resolved", "scheduled for now": "retried"}.get(done, done.split()[0])


def _number(count: int) -> str:
    return "1 post" if count == 1 else f"{count} posts"
