"""What became of an attempt whose outcome is unknown: the container's state first, then the account's listing.

The container says whether it was published, and never as which post; the listing shows posts, and not which container
they were.  A post fits by its text, its kind and its time; two that fit are not told apart.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from autoposter.publishers import OutcomeUnknown, Post, Receipt

from .graph import listings
from .graph.client import Graph
from .graph.texts import begins_alike, normalised
from .models import Kind, kind_of
from .preparation import UNREADABLE, Prepared, state_of

#: A container that is published is looked for in the listing so long; then its own id stands for the post's.
LISTED_WITHIN = timedelta(minutes=15)

FIELDS = "id,caption,media_type,permalink,timestamp"
STORY_FIELDS = "id,media_type,permalink,timestamp"

#: What a listing calls each kind of post.  A story is either.
MEDIA_TYPES: dict[Kind, tuple[str, ...]] = {
    "photo": ("IMAGE",),
    "reel": ("VIDEO",),
    "carousel": ("CAROUSEL_ALBUM",),
    "story": ("IMAGE", "VIDEO"),
}


def find(graph: Graph, user: str, post: Post, prepared: dict[str, Any]) -> Receipt | None:
    """The receipt of what went out; None: the platform says that nothing did.  Raises GraphError."""
    creation = Prepared.model_validate(prepared).creation
    if creation is None:
        return None  # without a container nothing can have been published
    state, words = state_of(graph, creation.id)
    if state == "PUBLISHED":
        return published(graph, user, post, creation.id)
    if state == UNREADABLE:
        return _only(list(_fitting(graph, user, post)))
    if not state:
        raise OutcomeUnknown(f"Instagram does not say what became of the container. {words}".strip())
    return None


def published(graph: Graph, user: str, post: Post, container_id: str) -> Receipt:
    """The post that a container has become.  The listing may lag: until then, OutcomeUnknown."""
    found = list(_fitting(graph, user, post))
    if len(found) == 1:
        return _receipt(found[0])
    if datetime.now(UTC) - _since(post) > LISTED_WITHIN:
        return Receipt(platform_post_id=f"container:{container_id}")
    what = f"{len(found)} posts fit it" if found else "it is not listed yet"
    raise OutcomeUnknown(f"Instagram has published it, and {what}.")


def _only(found: list[dict[str, Any]]) -> Receipt | None:
    if len(found) > 1:
        raise OutcomeUnknown(f"{len(found)} posts of the account fit it.")
    return _receipt(found[0]) if found else None


def _receipt(row: dict[str, Any]) -> Receipt:
    permalink = row.get("permalink")
    return Receipt(str(row["id"]), permalink if isinstance(permalink, str) else None)


def _since(post: Post) -> datetime:
    return post.attempted_at or post.scheduled_for


def _fitting(graph: Graph, user: str, post: Post) -> Iterator[dict[str, Any]]:
    """The listed posts that may be this one: of those with exactly its text, or else with its beginning."""
    kind = kind_of(post) or "photo"
    listed = list(_listed(graph, user, post, kind))
    if kind == "story":
        yield from listed
        return
    exactly = [row for row in listed if normalised(_caption(row)) == normalised(post.caption)]
    yield from exactly or [row for row in listed if post.caption and begins_alike(_caption(row), post.caption)]


def _listed(graph: Graph, user: str, post: Post, kind: Kind) -> Iterator[dict[str, Any]]:
    """The posts of its kind since it was attempted."""
    path, fields = (f"{user}/stories", STORY_FIELDS) if kind == "story" else (f"{user}/media", FIELDS)
    earliest = _since(post) - listings.CLOCK_SLACK
    for row in listings.rows(graph, path, fields=fields, limit="25"):
        made = listings.moment(row.get("timestamp"))
        if made is None or not isinstance(row.get("id"), str):
            raise ValueError("The listing has a post without an id or a time.")
        if made < earliest:
            return
        if row.get("media_type") in MEDIA_TYPES[kind]:
            yield row


def _caption(row: dict[str, Any]) -> str:
    """Missing where there is none."""
    return str(row.get("caption", ""))
