"""Which pictures a platform takes, said by its publisher and checked by the core before `validate`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from autoposter.publishers.values import Media


@dataclass(frozen=True, slots=True)
class PictureLimits:
    """Which pictures a platform takes; None: no limit is known.

    `autoposter schedule --fit` converts a file into what this says, but never changes what the picture shows: one that
    is too small, or of other proportions, is only named.
    """

    formats: tuple[str, ...]
    """MIME types by content, such as `image/jpeg`.  `--fit` writes the first of them that it can: JPEG, PNG or WebP."""
    max_bytes: int | None = None
    max_pixels: int | None = None
    """Width times height."""
    min_side: int | None = None
    """Pixels that both sides must have."""
    min_ratio: float | None = None
    """Width divided by height, as a person sees the picture."""
    max_ratio: float | None = None

    def problems(self, media: Iterable[Media]) -> Iterator[str]:
        """Every reason why these pictures would be refused, one sentence each.  What is unknown is no reason."""
        pictures = [one for one in media if one.kind == "image"]
        for number, picture in enumerate(pictures, start=1):
            which = f"Picture {number}" if len(pictures) > 1 else "The picture"
            for what in self._problems(picture):
                yield f"{which} {what}"

    def _problems(self, picture: Media) -> Iterator[str]:
        if picture.mime_type is not None and picture.mime_type not in self.formats:
            yield f"is {_name(picture.mime_type)}, and only {self.taken} is taken: {CONVERT}."
        if picture.size is not None and self.max_bytes is not None and picture.size > self.max_bytes:
            yield f"has {picture.size:,} bytes, and {self.max_bytes:,} are taken: {CONVERT}."
        if not picture.width or not picture.height:
            return
        if self.max_pixels is not None and picture.width * picture.height > self.max_pixels:
            yield f"has {picture.width}x{picture.height} pixels, and {self.max_pixels:,} are taken: {CONVERT}."
        yield from self._unfit(picture.width, picture.height)

    def _unfit(self, width: int, height: int) -> Iterator[str]:
        """What no conversion mends."""
        if self.min_side is not None and min(width, height) < self.min_side:
            yield f"has {width}x{height} pixels, and each side needs {self.min_side}: take a bigger one."
        ratio = width / height
        least, most = self.min_ratio or 0, self.max_ratio or float("inf")
        if not least - ROUNDING <= ratio <= most + ROUNDING:
            yield f"is {ratio:.2f} times as wide as high, and {_range(least, most)} is taken: cut it."

    def and_also(self, other: PictureLimits) -> PictureLimits:
        """What both take."""

        def least(one: float | None, another: float | None) -> Any:
            return min((value for value in (one, another) if value is not None), default=None)

        def most(one: float | None, another: float | None) -> Any:
            return max((value for value in (one, another) if value is not None), default=None)

        return PictureLimits(
            formats=tuple(one for one in self.formats if one in other.formats),
            max_bytes=least(self.max_bytes, other.max_bytes),
            max_pixels=least(self.max_pixels, other.max_pixels),
            min_side=most(self.min_side, other.min_side),
            min_ratio=most(self.min_ratio, other.min_ratio),
            max_ratio=least(self.max_ratio, other.max_ratio),
        )

    @property
    def taken(self) -> str:
        """The formats as a person calls them."""
        return " or ".join(map(_name, self.formats))


#: What to do about a picture that could be converted.
CONVERT = "convert it (`autoposter schedule --fit` does that with a file)"

#: Sides are whole pixels, so that a ratio is never exact.
ROUNDING = 0.005


def _name(mime_type: str) -> str:
    return mime_type.removeprefix("image/").upper()


def _range(least: float, most: float) -> str:
    if most == float("inf"):
        return f"at least {least:g}"
    return f"{least:g} to {most:g}" if least else f"at most {most:g}"
