"""Validation before the due time: what a platform would refuse is said when it can still be mended."""

from __future__ import annotations

import logging
from datetime import datetime, timedelta

from autoposter.assembling import problems
from autoposter.errors import Refused
from autoposter.media import MediaShelf
from autoposter.outcomes import log_trace
from autoposter.plugins import Host
from autoposter.store import happenings, validations

log = logging.getLogger(__name__)

#: Posts are validated by the minute scan so long before they are due.
AHEAD = timedelta(hours=24)


def refuse_problems(post_id: int, host: Host, shelf: MediaShelf) -> None:
    """Raises Refused, in one sentence, for a post that its platform would refuse.

    A platform whose plugin is not installed here is not judged: the workers may have it.
    """
    snapshot = happenings.post(post_id)
    if snapshot is None or snapshot.account.platform not in host.platforms():
        return
    if found := problems(snapshot, host, shelf):
        raise Refused(f"{snapshot.account.platform} would refuse this post: {' '.join(found)}")


def validate(post_id: int, host: Host, shelf: MediaShelf) -> list[str]:
    """Find what a post's platform would refuse, and note it in `last_error`, or that it is mended.

    Returns the reasons.  A `validate` that fails itself is logged, and is no reason: the attempt will tell.
    """
    snapshot = happenings.post(post_id)
    if snapshot is None:
        return []
    try:
        found = problems(snapshot, host, shelf)
    except BaseException as error:
        log_trace(error, (), "validating post %s failed", post_id)
        return []
    if found:
        if validations.flag(post_id, " ".join(found)):
            log.warning("post %s would be refused: %s", post_id, " ".join(found))
    else:
        validations.unflag(post_id)
    return found


class Validating:
    """Which posts the minute scan of this process has to validate: each content once."""

    def __init__(self) -> None:
        self._seen_until: datetime | None = None

    def due(self) -> list[int]:
        """The posts of the next 24 hours that are new, were changed, or came into them since the last call."""
        found = validations.changed(since=self._seen_until, ahead=AHEAD)
        self._seen_until = found.asked_at
        return found.post_ids
