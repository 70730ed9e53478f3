"""What became of an attempt whose outcome is unknown.

Photos, videos and stories have ids from before, so that their post is told exactly.  Texts and links have none: a post
of the Page fits by its text, its link and its time, and two that fit are not told apart.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import urljoin

from autoposter.publishers import ContentRejected, OutcomeUnknown, Post, Receipt

from .graph import listings
from .graph.client import Graph
from .graph.texts import normalised
from .models import kind_of
from .uploads import Prepared, refused_because

SITE = "https://www.facebook.com/"

WITH_PHOTOS = "id,created_time,permalink_url,attachments{target{id},subattachments{target{id}}}"
WITH_TEXT = "id,message,created_time,permalink_url,attachments{unshimmed_url,url}"
STORIES = "post_id,status,creation_time,media_type,media_id,url"


def find(graph: Graph, page: str, post: Post, prepared: dict[str, Any]) -> Receipt | None:
    """The receipt of what went out; None: Facebook says that nothing did.  Raises GraphError."""
    uploads = Prepared.model_validate(prepared).uploads
    ids = {upload.id for upload in uploads}
    if len(ids) != len(post.media):
        return None  # what is not ready cannot have been published
    if any(media.kind == "video" for media in post.media):
        return _video(graph, uploads[0].id)
    if kind_of(post) == "story":
        return _only([row for row in _rows(graph, f"{page}/stories", post, STORIES) if row.get("media_id") in ids])
    if ids:
        listed = _rows(graph, f"{page}/published_posts", post, WITH_PHOTOS)
        return _only([row for row in listed if ids & set(_targets(row))])
    listed = _rows(graph, f"{page}/published_posts", post, WITH_TEXT)
    return _only([row for row in listed if _says_the_same(row, post)])


def permalink(found: object) -> str | None:
    """An address; Facebook tells those of videos without itself."""
    return urljoin(SITE, found) if isinstance(found, str) and found else None


def _video(graph: Graph, video_id: str) -> Receipt | None:
    found = graph.get(video_id, fields="status,published,post_id,permalink_url")
    status = found.get("status")
    if not isinstance(status, dict):
        raise OutcomeUnknown("Facebook does not say what became of the video.")
    publishing = status.get("publishing_phase")
    said = publishing.get("publish_status") if isinstance(publishing, dict) else None
    if said == "published" or found.get("published") is True:
        return Receipt(video_id, permalink(found.get("permalink_url")))
    if refused := refused_because(status):
        raise ContentRejected(f"Facebook took the video and did not publish it: {refused}")
    return None


def _only(found: list[dict[str, Any]]) -> Receipt | None:
    if len(found) > 1:
        raise OutcomeUnknown(f"{len(found)} posts of the Page fit it.")
    if not found:
        return None
    (row,) = found
    return Receipt(str(row.get("id") or row["post_id"]), permalink(row.get("permalink_url") or row.get("url")))


def _rows(graph: Graph, path: str, post: Post, fields: str) -> Iterator[dict[str, Any]]:
    """What the Page has published since the post was attempted."""
    begun = post.attempted_at or post.scheduled_for
    asked = {} if path.endswith("stories") else {"since": listings.since(begun)}
    for row in listings.rows(graph, path, fields=fields, limit="100", **asked):
        made = listings.moment(row.get("created_time") or row.get("creation_time"))
        if made is None or not (row.get("id") or row.get("post_id")):
            raise ValueError("The listing has a post without an id or a time.")
        if made < begun - listings.CLOCK_SLACK:
            return
        yield row


def _says_the_same(row: dict[str, Any], post: Post) -> bool:
    """Its text, and the link of one without a text.  A post of a link only has no `message`."""
    if normalised(str(row.get("message", ""))) != normalised(post.caption):
        return False
    if post.caption.strip() or not post.link:
        return True
    return post.link in (
        attached.get(name) for attached in _data(row, "attachments") for name in ("unshimmed_url", "url")
    )


def _targets(row: dict[str, Any]) -> Iterator[str]:
    """The ids of what is attached to a post."""
    for attached in _data(row, "attachments"):
        for one in (attached, *_data(attached, "subattachments")):
            target = one.get("target")
            if isinstance(target, dict):
                yield str(target.get("id"))


def _data(row: dict[str, Any], name: str) -> list[dict[str, Any]]:
    listed = row.get(name)
    data = listed.get("data") if isinstance(listed, dict) else None
    return [one for one in data if isinstance(one, dict)] if isinstance(data, list) else []
