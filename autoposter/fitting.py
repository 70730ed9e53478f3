"""Pictures that fit: those of a content item converted into what the platforms of its accounts take."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from autoposter.errors import Refused
from autoposter.media import MediaShelf
from autoposter.media.converting import fit
from autoposter.media.sources import is_address
from autoposter.plugins import Host, NoPublisher
from autoposter.publishers import PictureLimits, PublishError
from autoposter.store.posts import NewContent


def limits_of(platforms: Iterable[str], host: Host) -> PictureLimits | None:
    """What all these platforms take; None where none of them says.  Raises Refused where nothing suits all."""
    combined: PictureLimits | None = None
    for platform in dict.fromkeys(platforms):
        try:
            limits = host.publisher_for(platform).pictures
        except NoPublisher as error:
            raise Refused(f"What {platform} takes is not known here: {error}") from error
        if limits:
            combined = limits if combined is None else combined.and_also(limits)
    if combined and not combined.formats:
        raise Refused("No type of picture is taken by all these accounts: schedule on each by itself.")
    return combined


def fit_pictures(
    content: NewContent, limits: PictureLimits, root: Path | None, shelf: MediaShelf
) -> tuple[NewContent, Sequence[str]]:
    """Convert the files among the pictures that do not fit; the content with the new ones, and what was done.

    The media have been examined.  Raises Refused for what cannot be converted.
    """
    media, done = [], []
    for asset in content.media:
        source = str(asset["source"])
        known = shelf.media(asset)
        if asset["kind"] != "image" or is_address(source) or known.mime_type is None:
            media.append(asset)
            continue
        try:
            fitted = fit(root, source, known.mime_type, limits, is_turned=shelf.is_turned(asset))
        except PublishError as error:
            raise Refused(str(error)) from error
        media.append({**asset, "source": fitted.source})
        if fitted.done:
            done.append(f"{source} is not changed; {fitted.source} is what fits: {', '.join(fitted.done)}.")
    return replace(content, media=tuple(media)), done
