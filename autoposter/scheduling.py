"""What people and applications do with posts: schedule, cancel, reschedule, retry, resolve, and ask.

The command line, the Python API and a web page call these functions; all that is handed in is checked here.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit

from autoposter.database import database_time, transaction
from autoposter.errors import Refused, WrongUsage
from autoposter.lifecycle import Status
from autoposter.media.files import steps
from autoposter.media.sources import shown
from autoposter.publishers import ContentRejected
from autoposter.store import posts, reports
from autoposter.store.posts import NewContent, Resolution
from autoposter.store.reports import PostInfo, Story

#: The years that the database takes for a due time: from the first, up to and without the second.
YEARS = (2000, 9999)

#: A time that has passed by no more than this is taken for "now".
PAST_TOLERANCE = timedelta(minutes=1)

#: So many posts are moved in one transaction: workers wait for none of them longer than some milliseconds.
CHUNK = 500

#: What a name's ending says it is.  Our own table, because the machine's differ from one to the next.
KINDS = dict.fromkeys(
    [".jpg", ".jpeg", ".png", ".gif", ".webp", ".heic", ".heif", ".avif", ".bmp", ".tif", ".tiff"], "image"
)
KINDS |= dict.fromkeys([".mp4", ".m4v", ".mov", ".webm", ".mkv", ".avi", ".mpg", ".mpeg", ".3gp", ".ogv"], "video")


@dataclass(frozen=True, slots=True)
class Scheduled:
    """The posts that stand for what was to be scheduled."""

    post_ids: list[int]
    """One for each account, in their order."""
    existed: bool
    """The reference was known already: nothing was written, whatever else was asked for."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of a move of one post."""

    post_id: int
    moved: bool
    status: Status | None
    """As it stands now; None: there is no such post."""


# --- schedule --------------------------------------------------------------------------------------------------------


def schedule(
    content: NewContent,
    account_ids: Sequence[int],
    *,
    at: datetime,
    reference: str | None = None,
    allow_past: bool = True,
    check_media: Callable[[NewContent], NewContent] | None = None,
    check: Callable[[int], None] | None = None,
) -> Scheduled:
    """Schedule one content item on each of these accounts.

    `check_media` looks at the media before anything is written, and says which kind those are whose names left it
    open; `check` looks at each new post.  What they raise keeps everything from being written.

    With a `reference` that a post has already, that post is the answer, and nothing is written or changed.
    """
    at = moment(at)
    reference = None if reference is None else text("The reference", reference, least=1)
    account_ids = list(dict.fromkeys(account_ids))
    if not account_ids:
        raise WrongUsage("No account is given to publish on.")
    if reference is not None and len(account_ids) > 1:
        raise WrongUsage("A reference belongs to one post: schedule on one account at a time, each with its own.")
    if reference is None or posts.id_of(reference) is None:
        if not allow_past:
            refuse_past(at)
        if check_media:
            content = check_media(content)
        for asset in content.media:
            if asset["kind"] is None:
                raise WrongUsage(of_no_kind(str(asset["source"])))
    with transaction():
        while not (written := posts.insert(content, account_ids, at=at, reference=reference)):
            if reference is not None and (existing := posts.id_of(reference)) is not None:
                return Scheduled([existing], existed=True)
        if check:
            for post_id in written:
                check(post_id)
    return Scheduled(written, existed=False)


def content_of(
    caption: str,
    *,
    link: str | None = None,
    media: Iterable[str | tuple[str, str | None]] = (),
    options: Mapping[str, Mapping[str, Any]] | None = None,
    media_root: Path | None = None,
) -> NewContent:
    """Check what is to be said.  Raises WrongUsage, in one sentence, for what could never be published.

    A medium whose name does not tell whether it is a picture or a video has the kind None: a look at it tells.
    """
    if isinstance(media, str | bytes) or not isinstance(media, Iterable):
        raise WrongUsage(f"The media are a list of paths or https addresses, not {type(media).__name__}.")
    content = NewContent(
        caption=text("The caption", caption),
        link=None if link is None else _link(text("The link", link)),
        options=_options(options or {}),
        media=tuple(_asset(given, media_root) for given in media),
    )
    if not (content.caption.strip() or content.link or content.media):
        raise WrongUsage("There is nothing to publish: give a caption, a link or media.")
    return content


def of_no_kind(source: str) -> str:
    """What to say of a medium of which nothing tells what it is."""
    return (
        f"{shown(source)!r} does not tell by its name whether it is a picture or a video, and cannot be looked at now:"
        " let its name end in .jpg, .png, .webp, .mp4, .mov or the like,"
        " or insert the post with SQL, where media_asset.kind says it."
    )


def text(what: str, value: object, *, least: int = 0) -> str:
    """A text that the database takes.  Raises WrongUsage."""
    if not isinstance(value, str):
        raise WrongUsage(f"{what} is a text, not {type(value).__name__}.")
    if len(value.strip()) < least:
        raise WrongUsage(f"{what} is empty.")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise WrongUsage(f"{what} is not valid text (UTF-8).") from None
    if "\0" in value:
        raise WrongUsage(f"{what} contains a NUL character, which cannot be stored.")
    return value


def moment(value: object) -> datetime:
    """A time that a post can be due at, in UTC.  Raises WrongUsage."""
    if not isinstance(value, datetime):
        raise WrongUsage(f"A time is a datetime with a time zone, not {type(value).__name__}.")
    if value.utcoffset() is None:
        raise WrongUsage(
            f"{value.isoformat(' ')} has no time zone, so it names no moment:"
            " give a datetime with a tzinfo, for example datetime.now(UTC)."
        )
    try:
        at = value.astimezone(UTC)
    except OverflowError:
        at = value.replace(tzinfo=UTC)
    if not YEARS[0] <= at.year < YEARS[1]:
        raise WrongUsage(f"The year {at.year} cannot be scheduled for: from {YEARS[0]} to {YEARS[1] - 1} are possible.")
    return at


def refuse_past(at: datetime) -> None:
    """Raises WrongUsage for a time that has passed by the database's clock: a person who names one is mistaken."""
    late = database_time() - at
    if late > PAST_TOLERANCE:
        raise WrongUsage(
            f"{at.astimezone():%Y-%m-%d %H:%M:%S %Z} was {_roughly(late)} ago:"
            " give a time to come, or --in 0s to publish now."
        )


def _roughly(duration: timedelta) -> str:
    minutes = duration // timedelta(minutes=1)
    if minutes < 120:
        return f"{minutes} min"
    return f"{minutes // 60} hours" if minutes < 48 * 60 else f"{minutes // (24 * 60)} days"


def _link(link: str) -> str:
    if not _is_url(link, {"http", "https"}):
        raise WrongUsage(f"{link!r} is no link: it takes an address such as https://example.org/page.")
    return link


def _is_url(value: str, schemes: Collection[str]) -> bool:
    try:
        parts = urlsplit(value)
        return parts.scheme in schemes and bool(parts.hostname) and not any(char.isspace() for char in value)
    except ValueError:
        return False


def _options(options: Mapping[str, Mapping[str, Any]]) -> str:
    if not isinstance(options, Mapping) or not all(isinstance(inner, Mapping) for inner in options.values()):
        raise WrongUsage('The options are an object for each platform, for example {"facebook": {"feed": true}}.')
    try:
        written = json.dumps({platform: dict(inner) for platform, inner in options.items()}, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise WrongUsage(f"The options cannot be written as JSON: {error}.") from None
    if "\\u0000" in written:
        raise WrongUsage("The options contain a NUL character, which cannot be stored.")
    return written


def _asset(given: object, media_root: Path | None) -> dict[str, str | None]:
    match given:
        case str():
            source, alt_text = given, None
        case [str() as source, str() | None as alt_text]:
            pass
        case _:
            raise WrongUsage("Each of the media is a path or https address, or a pair of one and its description.")
    source = text("The source of the media", source, least=1)
    return {
        "kind": _kind(source),
        "source": source if "://" in source else _below_root(source, media_root),
        "alt_text": None if alt_text is None else text("The description of the media", alt_text),
    }


def _kind(source: str) -> str | None:
    if "://" in source and not _is_url(source, {"https", "http"}):  # http: the shelf knows from whom
        raise WrongUsage(f"{shown(source)!r} cannot be used: media are files below the media root, or https addresses.")
    name = urlsplit(source).path if "://" in source else source
    return KINDS.get(PurePosixPath(name).suffix.lower())


def _below_root(source: str, media_root: Path | None) -> str:
    try:
        return "/".join(steps(media_root, source))
    except ContentRejected as error:
        raise WrongUsage(str(error)) from error


# --- moves -----------------------------------------------------------------------------------------------------------

#: What a selection of posts stands for, move by move.  A cancelled post comes back only by its own id.
CANCELLABLE = (Status.DRAFT, Status.SCHEDULED, Status.PUBLISHING)
RESCHEDULABLE = (Status.DRAFT, Status.SCHEDULED)
RETRYABLE = (Status.FAILED, Status.MISSED)
RESOLVABLE = (Status.UNCONFIRMED,)


def cancel(post_ids: Collection[int]) -> list[Verdict]:
    """Keep posts from being published.

    Too late for one that is `Publishing` (not moved): it is switched off, so that it is not tried again.
    """
    return _move(post_ids, posts.cancel)


def reschedule(post_ids: Collection[int], at: datetime) -> list[Verdict]:
    """Move `Draft` and `Scheduled` posts to another time, with a new budget of attempts."""
    at = moment(at)
    return _move(post_ids, lambda ids: posts.reschedule(ids, at))


def retry(post_ids: Collection[int], at: datetime | None = None) -> list[Verdict]:
    """Schedule `Failed`, `Missed` and `Cancelled` posts anew, for now or for `at`, and switch them on."""
    at = None if at is None else moment(at)
    return _move(post_ids, lambda ids: posts.retry(ids, at))


def resolve(
    post_ids: Collection[int], resolution: Resolution, *, by: str, platform_post_id: str | None = None
) -> list[Verdict]:
    """Write what a person (`by`) found out about `Unconfirmed` posts."""
    if platform_post_id is not None:
        platform_post_id = text("The platform's id of the post", platform_post_id, least=1)
        if len(post_ids) != 1 or resolution is not Resolution.POSTED:
            raise WrongUsage("A platform's id belongs to one post that is there: give it with --posted and one post.")

    def each(ids: Collection[int]) -> dict[int, Status]:
        won = [id for id in ids if posts.resolve(id, resolution, by=by, platform_post_id=platform_post_id)]
        return dict.fromkeys(won, _RESOLVED[resolution])

    return _move(post_ids, each)


_RESOLVED = {
    Resolution.POSTED: Status.POSTED,
    Resolution.NOT_POSTED: Status.FAILED,
    Resolution.RETRY: Status.SCHEDULED,
}


def _move(post_ids: Collection[int], move: Callable[[Collection[int]], Mapping[int, Status]]) -> list[Verdict]:
    """Move posts, some at a time.  `move` returns the status that each of those has which it touched."""
    verdicts = []
    for ids in _chunks(post_ids):
        possible = [id for id in ids if 0 < id < 2**63]
        touched = move(possible)
        others = reports.statuses(set(possible) - touched.keys())
        for id in ids:
            moved = id in touched and touched[id] is not Status.PUBLISHING  # no move of a person's leads there
            verdicts.append(Verdict(id, moved, touched.get(id) or others.get(id)))
    return verdicts


def _chunks(post_ids: Collection[int]) -> Iterator[list[int]]:
    rest = iter(dict.fromkeys(post_ids))
    while chunk := list(islice(rest, CHUNK)):
        yield chunk


# --- ask -------------------------------------------------------------------------------------------------------------


def status(post_id: int) -> PostInfo:
    """One post as it stands.  Raises Refused if there is none."""
    if 0 < post_id < 2**63 and (found := reports.post(post_id)):
        return found
    raise no_such_post(post_id)


def story(post_id: int) -> Story:
    """One post with its content and all its attempts.  Raises Refused if there is none."""
    if 0 < post_id < 2**63 and (found := reports.story(post_id)):
        return found
    raise no_such_post(post_id)


def post_of(post: int | str) -> int:
    """A post's id, from its id or its owner's reference.  Raises Refused for an unknown reference."""
    if isinstance(post, int):
        return post
    reference = text("A post's reference", post)
    if (found := posts.id_of(reference)) is None:
        raise Refused(f"There is no post with the reference {reference!r}.")
    return found


def no_such_post(post_id: int) -> Refused:
    """What to say of an id that no post has."""
    return Refused(f"There is no post {post_id}.")
