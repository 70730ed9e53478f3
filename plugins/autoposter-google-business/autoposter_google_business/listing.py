"""Looking for a post whose answer was lost, among the posts of its location.

The API has no filter and promises no order.  Where a page is in the order that it was seen in, newest first, and ends
long before the attempt, the post is on no later one.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

from autoposter.publishers import OutcomeUnknown, Post
from autoposter_google_business.content import created_at, fits, same_address

#: A page that is in order and ends so long before the attempt is the last one read.
LONG_BEFORE = timedelta(days=1)

#: More pages of a hundred posts are not read: then nobody can tell.
MOST_PAGES = 10


def search(pages: Iterable[dict[str, Any]], post: Post) -> dict[str, Any] | None:
    """The post as it is listed; None: it is not there.  Raises OutcomeUnknown where that cannot be told."""
    found: list[dict[str, Any]] = []
    for number, page in enumerate(pages, start=1):
        if number > MOST_PAGES:
            raise OutcomeUnknown(f"The location has more than {MOST_PAGES * 100} posts, and lists them in no order.")
        listed = _listed(page)
        try:
            found += [one for one in listed if fits(one, post)]
            if _is_long_before(listed, (post.attempted_at or post.scheduled_for) - LONG_BEFORE):
                break
        except ValueError as error:
            raise OutcomeUnknown(f"Google's listing cannot be read: {error}.") from error
    if len(found) > 1:
        found = [one for one in found if same_address(one, post)] or found
    if len(found) > 1:
        raise OutcomeUnknown(f"{len(found)} posts of this location are of its kind, and say the same.")
    return found[0] if found else None


def _listed(page: dict[str, Any]) -> list[dict[str, Any]]:
    """The posts of a page.  A location without posts answers `{}`."""
    listed = page.get("localPosts", [])
    if not isinstance(listed, list) or not all(isinstance(one, dict) for one in listed):
        raise OutcomeUnknown("Google's listing cannot be read: its posts are no list of objects.")
    return listed


def _is_long_before(listed: list[dict[str, Any]], moment: datetime) -> bool:
    made = [created_at(one) for one in listed]
    return bool(made) and made[-1] < moment and all(newer >= older for newer, older in pairwise(made))
