"""Validation before the due time: what a platform would refuse is said when it can still be mended."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from difflib import get_close_matches

from autoposter.assembling import problems
from autoposter.database import DATABASE_AWAY
from autoposter.errors import Refused
from autoposter.media import MediaShelf
from autoposter.media.sources import is_address
from autoposter.outcomes import log_trace
from autoposter.plugins import Host
from autoposter.publishers import ContentRejected, PublishError
from autoposter.publishers.texts import clean
from autoposter.scheduling import of_no_kind
from autoposter.store import happenings, validations
from autoposter.store.posts import NewContent
from autoposter.store.snapshots import Snapshot

log = logging.getLogger(__name__)

#: Posts are validated by the minute scan so long before they are due.
AHEAD = timedelta(hours=24)


def refuse_media(content: NewContent, shelf: MediaShelf, warn: Callable[[str], None] = log.warning) -> NewContent:
    """The content, with the kinds that names left open, as far as a look at the media tells them.

    Raises Refused for media that could never be published.  What may pass is only said, to `warn`, where each kind is
    known in spite of it, and refused otherwise.  Files are not judged where no media root is set: an application's
    machine need not have them.
    """
    trouble: PublishError | None = None
    try:
        shelf.examine(asset for asset in content.media if shelf.has_root or is_address(str(asset["source"])))
    except ContentRejected as error:
        raise Refused(str(error)) from error
    except PublishError as error:
        trouble = error
    known = replace(content, media=tuple({**asset, "kind": shelf.kind(asset)} for asset in content.media))
    if trouble:
        for asset in known.media:
            if asset["kind"] is None:
                raise Refused(f"{trouble} {of_no_kind(str(asset['source']))}") from trouble
        warn(f"{trouble} It is tried again when the post is due.")
    return known


def refuse_problems(post_id: int, host: Host, shelf: MediaShelf) -> None:
    """Raises Refused, in one sentence, for a post that its platform would refuse.

    A platform whose plugin is not installed here is not judged: the workers may have it.
    """
    snapshot = happenings.post(post_id)
    if snapshot is None or snapshot.account.platform not in host.platforms():
        return
    if found := _problems(snapshot, host, shelf):
        raise Refused(f"{snapshot.account.platform} would refuse this post: {' '.join(found)}")


def validate(post_id: int, host: Host, shelf: MediaShelf) -> list[str]:
    """Find what a post's platform would refuse, and note it in `last_error`, or that it is mended.

    Returns the reasons.
    """
    snapshot = happenings.post(post_id)
    if snapshot is None:
        return []
    found = _media_problems(snapshot, shelf) or _problems(snapshot, host, shelf)
    if found is None:
        return []
    if found:
        if validations.flag(post_id, " ".join(found)):
            log.warning("post %s would be refused: %s", post_id, " ".join(found))
    else:
        validations.unflag(post_id)
    return found


def _problems(snapshot: Snapshot, host: Host, shelf: MediaShelf) -> list[str] | None:
    """The reasons.  None where `validate` fails itself, which is logged and is none: the attempt will tell."""
    try:
        return [*problems(snapshot, host, shelf), *_misspelt_platforms(snapshot.post_id, host)]
    except DATABASE_AWAY:
        raise
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            raise
        log_trace(error, (), "validating post %s on %s failed", snapshot.post_id, snapshot.account.platform)
        return None


def _misspelt_platforms(post_id: int, host: Host) -> Iterator[str]:
    """Options for a platform that nobody knows are left alone, unless its name looks like one that is known."""
    known = host.platforms()
    for name in validations.platforms_of_options(post_id):
        if name not in known and (near := get_close_matches(name, known, n=1, cutoff=0.8)):
            yield f"There are options for {name}, which is no platform here (did you mean {near[0]}?)."


def _media_problems(snapshot: Snapshot, shelf: MediaShelf) -> list[str]:
    try:
        shelf.examine(snapshot.content["media"])
    except ContentRejected as error:
        return [clean(error)]
    except PublishError as error:
        log.warning("post %s: %s It is tried again when the post is due.", snapshot.post_id, clean(error))
    return []


class Validating:
    """Which posts the minute scan of this process has to validate: each content once."""

    def __init__(self) -> None:
        self._seen_until: datetime | None = None

    def due(self) -> list[int]:
        """The posts of the next 24 hours that are new, were changed, or came into them since the last call."""
        found = validations.changed(since=self._seen_until, ahead=AHEAD)
        self._seen_until = found.asked_at
        return found.post_ids
