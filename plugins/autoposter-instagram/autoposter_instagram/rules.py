"""What Instagram takes: every reason to refuse a post that can be known before anything is sent."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from itertools import chain
from urllib.parse import urlsplit

from autoposter.publishers import ContentRejected, Media, PictureLimits, Post

from .graph.texts import utf16_length
from .models import Kind, Options, kind_of, options_of

CAPTION = 2200  # characters; of those that count twice in UTF-16, so many units
HASHTAGS = 30
MENTIONS = 20
ALT_TEXT = 1000  # characters
CAROUSEL = range(2, 11)
COLLABORATORS = 3
USER_TAGS = 20
#: Of every picture; the core checks it, and `--fit` converts into it.
PICTURES = PictureLimits(formats=("image/jpeg",), max_bytes=8 * 1024 * 1024)
#: Of every picture but a story's.
RATIOS = (0.8, 1.91)  # width to height: 4:5 to 1.91:1
COLUMNS = 1920  # pixels
MEGABYTE = 1_000_000

FILMS = ("video/mp4", "video/quicktime")


@dataclass(frozen=True, slots=True)
class Film:
    """What a video may be, where it is shown as one kind of post."""

    name: str
    shortest: timedelta
    longest: timedelta
    megabytes: int
    ratios: tuple[float, float]


REEL = Film("a reel", timedelta(seconds=3), timedelta(minutes=15), 300, (0.01, 10))
STORY = Film("a story", timedelta(seconds=3), timedelta(seconds=60), 100, (0.1, 10))
#: Meta gives no numbers for it: those of a reel, and a minute, which is what posts of several media were known to take.
CAROUSEL_ITEM = Film("a carousel", timedelta(seconds=3), timedelta(seconds=60), 300, (0.01, 10))


def problems(post: Post, *, takes_bytes: bool) -> Iterator[str]:
    """One sentence for each reason.  `takes_bytes`: whether videos without a public address can be uploaded."""
    kind = kind_of(post)
    if post.link:
        yield f"Instagram has no place for the link {post.link}: put it into the caption, or leave it out."
    if kind is None:
        yield "Instagram has no posts without media: add a picture or a video."
        return
    yield from _about_the_number(post, kind)
    yield from _about_the_caption(post, kind)
    yield from _about_the_options(post, kind, options_of(post))
    for number, media in enumerate(post.media, 1):
        where = f"Medium {number}" if len(post.media) > 1 else "It"
        yield from (f"{where} {problem}" for problem in _about_one(media, kind, takes_bytes))


def _about_the_number(post: Post, kind: Kind) -> Iterator[str]:
    number = len(post.media)
    if kind == "carousel":
        if number not in CAROUSEL:
            yield f"A carousel takes {CAROUSEL[0]} to {CAROUSEL[-1]} media; this has {number}."
        return
    if number != 1:
        yield f"A {kind} takes exactly 1 medium; this has {number}."
    wanted = {"photo": "image", "reel": "video"}.get(kind)
    if wanted and any(media.kind != wanted for media in post.media):
        yield f"A {kind} takes {'a picture' if wanted == 'image' else 'a video'} only."


def _about_the_caption(post: Post, kind: Kind) -> Iterator[str]:
    if kind == "story":
        if post.caption.strip():
            yield "A story takes no caption: leave it out for this account, or choose another kind."
        return
    if (length := utf16_length(post.caption)) > CAPTION:
        yield f"The caption has {length:,} characters (an emoji counts as two or more); Instagram takes {CAPTION:,}."
    if (tags := len(re.findall(r"#\w", post.caption))) > HASHTAGS:
        yield f"The caption has {tags} hashtags; Instagram takes {HASHTAGS}."
    if (names := len(re.findall(r"(?<!\w)@\w", post.caption))) > MENTIONS:
        yield f"The caption has {names} mentions (@); Instagram takes {MENTIONS}."


def _about_the_options(post: Post, kind: Kind, options: Options) -> Iterator[str]:
    if len(options.collaborators) > COLLABORATORS:
        yield f"It names {len(options.collaborators)} collaborators; Instagram takes {COLLABORATORS}."
    if len(options.user_tags) > USER_TAGS:
        yield f"It tags {len(options.user_tags)} accounts; Instagram takes {USER_TAGS}."
    if post.media and post.media[0].kind == "image" and any(None in (tag.x, tag.y) for tag in options.user_tags):
        yield "Each of `user_tags` in a picture needs x and y, between 0 and 1."
    for name in _misplaced(kind, options):
        yield f"A {kind} takes no `{name}`."
    if options.cover_url and not _is_fetchable(options.cover_url):
        yield f"`cover_url` must be a public https address in plain characters; it is {options.cover_url}."
    film = post.media[0].duration if post.media else None
    if film and options.thumb_offset is not None and timedelta(milliseconds=options.thumb_offset) > film:
        yield f"`thumb_offset` is {options.thumb_offset} ms, and the video lasts {film.total_seconds():g} s."


#: What each kind of post has no place for.
MISPLACED: dict[Kind, tuple[str, ...]] = {
    "photo": ("share_to_feed", "cover_url", "thumb_offset"),
    "reel": (),
    "story": ("collaborators", "location_id", "share_to_feed", "cover_url", "thumb_offset"),
    "carousel": ("user_tags", "cover_url", "thumb_offset"),
}


def _misplaced(kind: Kind, options: Options) -> list[str]:
    return [name for name in MISPLACED[kind] if getattr(options, name) not in (None, ())]


def _about_one(media: Media, kind: Kind, takes_bytes: bool) -> Iterator[str]:
    yield from _about_the_address(media, takes_bytes)
    if media.kind == "image":
        yield from chain(_about_a_picture(media, kind), _about_alt_text(media, kind))
        return
    if media.alt_text:
        yield "is a video, and Instagram takes alt texts of pictures only."
    yield from _about_a_video(media, {"story": STORY, "carousel": CAROUSEL_ITEM}.get(kind, REEL))


def _about_the_address(media: Media, takes_bytes: bool) -> Iterator[str]:
    try:
        address = media.public_url
    except ContentRejected as error:
        if media.kind == "image" or not takes_bytes:
            yield f"cannot be fetched by Instagram. {error.message}"
        return
    if not _is_fetchable(address):
        yield f"has the address {address}; Instagram fetches only public https addresses in plain characters."


def _is_fetchable(address: str) -> bool:
    return address.isascii() and " " not in address and address.startswith("https://") and _has_host(address)


def _has_host(address: str) -> bool:
    try:
        return bool(urlsplit(address).hostname)
    except ValueError:
        return False


def _about_alt_text(media: Media, kind: Kind) -> Iterator[str]:
    if media.alt_text and kind == "story":
        yield "has an alt text, and a story takes none."
    elif len(media.alt_text) > ALT_TEXT:
        yield f"has an alt text of {len(media.alt_text):,} characters; Instagram takes {ALT_TEXT:,}."


def _about_a_picture(media: Media, kind: Kind) -> Iterator[str]:
    if kind != "story" and (ratio := _ratio(media)) and not RATIOS[0] - 0.005 <= ratio <= RATIOS[1] + 0.005:
        yield (
            f"is {media.width} x {media.height} pixels, a ratio of {ratio:.2f};"
            f" Instagram takes {RATIOS[0]} (4:5) to {RATIOS[1]}."
        )


def _about_a_video(media: Media, film: Film) -> Iterator[str]:
    if media.mime_type not in (None, *FILMS):
        yield f"is {media.mime_type}; of videos Instagram takes MP4 and MOV."
    if media.size is not None and media.size > film.megabytes * MEGABYTE:
        yield f"is a video of {media.size / MEGABYTE:.0f} MB; {film.name} takes {film.megabytes} MB."
    if media.duration is not None and not film.shortest <= media.duration <= film.longest:
        yield (
            f"is a video of {media.duration.total_seconds():g} s; {film.name} takes"
            f" {film.shortest.total_seconds():g} to {film.longest.total_seconds():g} s."
        )
    if media.width is not None and media.width > COLUMNS:
        yield f"is a video {media.width} pixels wide; Instagram takes {COLUMNS}."
    if (ratio := _ratio(media)) and not film.ratios[0] <= ratio <= film.ratios[1]:
        yield f"is a video with a ratio of {ratio:.2f}; {film.name} takes {film.ratios[0]} to {film.ratios[1]}."


def _ratio(media: Media) -> float | None:
    return media.width / media.height if media.width and media.height else None
