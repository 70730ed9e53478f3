"""What Facebook takes: every reason to refuse a post that can be known before anything is sent."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from urllib.parse import urlsplit

from autoposter.publishers import Media, PictureLimits, Post

from .graph.texts import utf16_length
from .models import Kind, kind_of, options_of

TEXT = 63_206  # characters; an emoji counts as two or more
PHOTOS = 10
#: Facebook cuts a longer one without a word.
REEL_TEXT = 2200
TITLE = 255
MEGABYTE = 1_000_000

#: Of every picture; the core checks it, and `--fit` converts into it.
PICTURES = PictureLimits(
    formats=("image/jpeg", "image/png", "image/gif", "image/bmp", "image/tiff"), max_bytes=10 * MEGABYTE
)

ITS_OWN = ("facebook.com", "fb.com", "fb.me", "fb.watch")


@dataclass(frozen=True, slots=True)
class Film:
    """What a video may be, where it is shown as one kind of post."""

    name: str
    formats: tuple[str, ...] | None
    """None: not known."""
    shortest: timedelta
    longest: timedelta
    megabytes: int | None
    ratios: tuple[float, float]
    """Width to height."""
    sides: tuple[int, int] = (0, 0)
    """The least width and height."""


UPRIGHT = (0.55, 0.575)  # 9:16, of whole pixels
SECOND = timedelta(seconds=1)
REEL = Film("a reel", ("video/mp4",), 3 * SECOND, 90 * SECOND, None, UPRIGHT, (540, 960))
STORY = Film("a story", ("video/mp4",), 3 * SECOND, 60 * SECOND, None, UPRIGHT, (540, 960))
#: Size and length are not documented: those that were known in 2026.
VIDEO = Film("a video", None, timedelta(0), timedelta(hours=4), 10_000, (0.55, 1.79))


def problems(post: Post) -> Iterator[str]:
    """One sentence for each reason."""
    kind = kind_of(post)
    yield from _about_the_content(post, kind)
    yield from _about_the_text(post, kind)
    yield from _about_the_link(post, kind)
    for number, media in enumerate(post.media, 1):
        where = f"Medium {number}" if len(post.media) > 1 else "It"
        yield from (f"{where} {problem}" for problem in _about_one(media, kind))


def _about_the_content(post: Post, kind: Kind) -> Iterator[str]:
    videos = [media for media in post.media if media.kind == "video"]
    photos = len(post.media) - len(videos)
    if not post.caption.strip() and not post.link and not post.media:
        yield "There is nothing to say: add a text, a link or media."
    if videos and photos:
        yield f"Facebook takes photos or a video, not both: this has {photos} and {len(videos)}."
    elif kind in ("text", "link") and post.media:
        yield f"A {kind} takes no media; this has {len(post.media)}."
    elif kind == "link" and not post.link:
        yield "A post of the kind link has a link."
    elif kind == "photos" and (videos or not 1 <= photos <= PHOTOS):
        yield f"A post of photos takes 1 to {PHOTOS} photos and no video; this has {photos}."
    elif kind in ("video", "reel") and (len(videos) != 1 or photos):
        yield f"A {kind} takes exactly 1 video; this has {len(videos)}."
    elif kind == "story" and len(post.media) != 1:
        yield f"A story takes exactly 1 medium; this has {len(post.media)}."


def _about_the_text(post: Post, kind: Kind) -> Iterator[str]:
    length = utf16_length(post.caption)
    if kind == "story" and post.caption.strip():
        yield "A story takes no text: leave it out for this account, or choose another kind."
    most = REEL_TEXT if kind == "reel" else TEXT
    if length > most:
        yield f"The text has {length:,} characters (an emoji counts as two or more); Facebook takes {most:,}."
    title = options_of(post).title
    if title and kind not in ("video", "reel"):
        yield f"A post of the kind {kind} takes no `title`."
    if title and utf16_length(title) > TITLE:
        yield f"The title has {utf16_length(title)} characters; Facebook takes {TITLE}."


def _about_the_link(post: Post, kind: Kind) -> Iterator[str]:
    if not post.link:
        return
    if kind not in ("text", "link"):
        yield f"A post of the kind {kind} has no place for the link {post.link}: put it into the text."
    try:
        parts = urlsplit(post.link)
        host = parts.hostname or ""
    except ValueError:
        parts, host = urlsplit(""), ""
    if parts.scheme not in ("http", "https") or not host:
        yield f"The link {post.link} is no http or https address."
    elif any(host == own or host.endswith(f".{own}") for own in ITS_OWN):
        yield f"Facebook takes no links to itself; this leads to {host}."


def _about_one(media: Media, kind: Kind) -> Iterator[str]:
    if media.kind == "image":
        if media.alt_text and kind == "story":
            yield "has an alt text, and a story takes none."
        return
    if media.alt_text:
        yield "is a video, and Facebook takes alt texts of photos only."
    yield from _about_a_video(media, {"reel": REEL, "story": STORY}.get(kind, VIDEO))


def _about_a_video(media: Media, film: Film) -> Iterator[str]:
    if film.formats and media.mime_type not in (None, *film.formats):
        yield f"is {media.mime_type}; {film.name} takes MP4."
    if film.megabytes and media.size is not None and media.size > film.megabytes * MEGABYTE:
        yield f"is a video of {media.size / MEGABYTE:,.0f} MB; {film.name} takes {film.megabytes:,} MB."
    if media.duration is not None and not film.shortest <= media.duration <= film.longest:
        lasts, least, most = (time.total_seconds() for time in (media.duration, film.shortest, film.longest))
        yield f"is a video of {lasts:g} s; {film.name} takes {least:g} to {most:g} s."
    if not media.width or not media.height:
        return
    if media.width < film.sides[0] or media.height < film.sides[1]:
        wanted = f"{film.sides[0]} x {film.sides[1]}"
        yield f"is a video of {media.width} x {media.height} pixels; {film.name} takes at least {wanted}."
    ratio = media.width / media.height
    if not film.ratios[0] <= ratio <= film.ratios[1]:
        shape = "9:16" if film.ratios is UPRIGHT else "9:16 to 16:9"
        yield f"is a video with a ratio of {ratio:.2f}; {film.name} takes {shape}."
