"""`autoposter schedule`."""

from __future__ import annotations

import json as json_text
from collections.abc import Callable
from functools import partial
from itertools import zip_longest
from pathlib import Path
from typing import Annotated, Any

import typer

from autoposter import accounts, scheduling
from autoposter.cli import session, times
from autoposter.cli.printing import Json, print_json, say_aside, shown
from autoposter.errors import WrongUsage
from autoposter.lifecycle import AccountStatus
from autoposter.media import MediaShelf
from autoposter.plugins import Host
from autoposter.settings import Settings
from autoposter.store.accounts import AccountInfo
from autoposter.store.posts import NewContent
from autoposter.validating import refuse_media, refuse_problems

Sources = Annotated[
    list[str] | None, typer.Option(metavar="SOURCE", help="A file below AUTOPOSTER_MEDIA_ROOT, or an https address.")
]


def schedule(
    caption: Annotated[str, typer.Argument(help="What to say; may be '' where there are media.")],
    account: Annotated[
        list[str], typer.Option(metavar="NAME", help="The account's name, platform:name or id; one post for each.")
    ],
    at: times.At = None,
    in_: times.In = None,
    media: Sources = None,
    alt: Annotated[list[str] | None, typer.Option(metavar="TEXT", help="Describes the media, in their order.")] = None,
    link: Annotated[str | None, typer.Option(metavar="URL")] = None,
    options: Annotated[
        str | None, typer.Option(metavar="JSON", help="By platform: '{\"PLATFORM\": {...}}', or @FILE.")
    ] = None,
    reference: Annotated[
        str | None, typer.Option(metavar="TEXT", help="Your own key: a post that has it is not scheduled again.")
    ] = None,
    fit: Annotated[
        bool, typer.Option("--fit", help="Convert files of pictures that the accounts' platforms would not take.")
    ] = False,
    json: Json = False,
) -> None:
    """Schedule a post, on one account or several."""
    with session.database() as settings:
        due = times.at_or_in(at, in_)
        if due is None:
            raise WrongUsage("Say when: --at '2030-12-24 18:00' or --in 10m (--in 0s publishes now).")
        shelf, host = session.shelf(settings), Host(settings.plugins)
        content = _content(caption, media or [], alt or [], link, options, settings)
        on = [accounts.show(name) for name in account]
        if fit:
            content = _fitted(content, on, settings, shelf, say=say_aside if json else print)
        scheduled = scheduling.schedule(
            content,
            [one.id for one in on],
            at=due,
            reference=reference,
            allow_past=in_ is not None,
            check_media=partial(refuse_media, shelf=shelf, warn=say_aside),
            check=partial(refuse_problems, host=host, shelf=shelf),
        )
        posts = [scheduling.status(post_id) for post_id in scheduled.post_ids]
    for one in on:
        _warn(one, host)
    for asset in content.media:
        if shelf.is_turned(asset):
            say_aside(
                f"{asset['source']} lies on its side and asks to be turned: not all obey; --fit writes it upright."
            )
    if json:
        return print_json(posts)
    for post in posts:
        what = f"has the reference {reference!r} already: nothing was changed. It is" if scheduled.existed else "is"
        print(f"Post {post.id} {what} {post.status} on {post.platform}:{post.account} for {shown(post.scheduled_for)}.")
    return None


def _content(
    caption: str, media: list[str], alt: list[str], link: str | None, options: str | None, settings: Settings
) -> NewContent:
    if len(alt) > len(media):
        raise WrongUsage(f"There are {len(alt)} descriptions (--alt) for {len(media)} media (--media).")
    if settings.media_root is None and any("://" not in source for source in media):
        raise WrongUsage("AUTOPOSTER_MEDIA_ROOT is not set: set it to the folder that --media files lie in.")
    return scheduling.content_of(
        caption,
        link=link,
        media=list(zip_longest(media, alt)),
        options=None if options is None else _read_options(options),
        media_root=settings.media_root,
    )


def _fitted(
    content: NewContent, on: list[AccountInfo], settings: Settings, shelf: MediaShelf, say: Callable[[str], None]
) -> NewContent:
    from autoposter.fitting import fit_pictures, limits_of  # brings Pillow, which no other command needs

    content = refuse_media(content, shelf, warn=lambda _: None)  # it is said when the post is scheduled
    limits = limits_of([account.platform for account in on], Host(settings.plugins))
    if limits is None:
        say("--fit: it is not known which pictures these platforms take, so the pictures stay as they are.")
        return content
    content, done = fit_pictures(content, limits, settings.media_root, shelf)
    for each in done or ["--fit: the pictures stay as they are."]:
        say(each)
    return content


def _read_options(given: str) -> Any:
    try:
        text = Path(given[1:]).read_text(encoding="utf-8") if given.startswith("@") else given
        return json_text.loads(text)
    except OSError as error:
        raise WrongUsage(f"--options {given}: the file cannot be read ({error.strerror}).") from None
    except ValueError as error:
        raise WrongUsage(f"--options: this is not JSON ({error}).") from None


def _warn(account: AccountInfo, host: Host) -> None:
    if account.platform not in host.platforms():
        say_aside(f"{account.address}: not checked, since no plugin here publishes on it; the workers may have one.")
    if account.status is AccountStatus.DISABLED:
        say_aside(f"{account.address} is disabled: its posts wait for `autoposter accounts enable`.")
    if account.status is AccountStatus.DISCONNECTED:
        say_aside(f"{account.address} is disconnected: its posts fail until `autoposter accounts reconnect`.")
