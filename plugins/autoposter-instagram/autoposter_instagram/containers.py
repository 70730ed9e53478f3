"""The parameters of each kind of container.  Creating one publishes nothing."""

from __future__ import annotations

import json
from typing import Any

from autoposter.publishers import ContentRejected, Media, Post

from .models import Kind, Options, options_of


def single(post: Post, kind: Kind, *, takes_bytes: bool) -> dict[str, str]:
    """For a photo, a reel or a story."""
    media, options = post.media[0], options_of(post)
    parameters = _source(media, takes_bytes=takes_bytes) | _of_all(post, options)
    if kind == "photo":
        return parameters | _given(alt_text=media.alt_text)
    if kind == "story":
        return _source(media, takes_bytes=takes_bytes) | {"media_type": "STORIES"} | _tags(options)
    return parameters | {"media_type": "REELS"} | _of_a_reel(options)


def child(media: Media, *, takes_bytes: bool) -> dict[str, str]:
    """For one medium of a carousel."""
    parameters = _source(media, takes_bytes=takes_bytes) | {"is_carousel_item": "true"}
    if media.kind == "video":
        return parameters | {"media_type": "VIDEO"}
    return parameters | _given(alt_text=media.alt_text)


def carousel(post: Post, children: list[str]) -> dict[str, str]:
    """For a carousel of children that are ready; their order is that of the post's media."""
    options = options_of(post)
    shared = _given(share_to_feed=options.share_to_feed)
    return {"media_type": "CAROUSEL", "children": ",".join(children)} | _of_all(post, options) | shared


def _source(media: Media, *, takes_bytes: bool) -> dict[str, str]:
    """Where Instagram gets the medium: it fetches it, or a video is uploaded where it has no public address."""
    try:
        return {"image_url" if media.kind == "image" else "video_url": media.public_url}
    except ContentRejected:
        if media.kind == "image" or not takes_bytes:
            raise
        return {"upload_type": "resumable"}


def _of_all(post: Post, options: Options) -> dict[str, str]:
    collaborators = json.dumps(options.collaborators) if options.collaborators else None
    given = _given(caption=post.caption, location_id=options.location_id, collaborators=collaborators)
    return given | (_tags(options) if len(post.media) == 1 else {})


def _tags(options: Options) -> dict[str, str]:
    tags = [tag.model_dump(exclude_none=True) for tag in options.user_tags]
    return {"user_tags": json.dumps(tags)} if tags else {}


def _of_a_reel(options: Options) -> dict[str, str]:
    return _given(share_to_feed=options.share_to_feed, cover_url=options.cover_url, thumb_offset=options.thumb_offset)


def _given(**parameters: Any) -> dict[str, str]:
    """Those that were given, as a form has them."""
    as_text = {True: "true", False: "false"}
    return {
        name: as_text[value] if isinstance(value, bool) else str(value)
        for name, value in parameters.items()
        if value is not None and value != ""
    }
