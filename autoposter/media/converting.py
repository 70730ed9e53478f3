"""Pictures made fit for a platform, with Pillow: what was done is said, and what they show stays as it is.

Here, and only here, pictures are decoded: on the machine and in the process of the person who schedules.
"""

from __future__ import annotations

import hashlib
import io
import math
import warnings
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from PIL import Image, ImageCms, ImageOps

from autoposter.media.files import open_below, write_beside
from autoposter.publishers.errors import ContentRejected
from autoposter.publishers.pictures import PictureLimits

#: What can be written, by the formats of `PictureLimits`: Pillow's name, the file's ending, whether it can be
#: transparent, and how it is saved.
WRITES: dict[str, tuple[str, str, bool, dict[str, Any]]] = {
    "image/jpeg": ("JPEG", "jpg", False, {"optimize": True}),
    "image/png": ("PNG", "png", True, {"optimize": True}),
    "image/webp": ("WEBP", "webp", True, {}),
}

#: What is read.  The other formats of Pillow are for other trades.
READS = ("JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF", "AVIF")

#: Bigger pictures are not converted: decoded, these take 400 MB.
MOST_PIXELS = 100_000_000

#: What is tried until the file is small enough: first these qualities, then 4/5 of the sides, again and again.
QUALITIES = (92, 85, 78)
SMALLER = 0.8

#: So much of a file's name is kept; what is added to it has to fit in as well.
LONGEST_STEM = 200  # bytes

#: Below this nobody would recognise it any more.
SMALLEST_SIDE = 64


@dataclass(slots=True)
class Fitted:
    """A picture that fits, and what was done to it; nothing: it is the one that it was."""

    source: str
    done: list[str] = field(default_factory=list)


def fit(root: Path | None, source: str, mime_type: str, limits: PictureLimits, *, is_turned: bool) -> Fitted:
    """Convert a file below the root into what `limits` says; the new one lies beside it.

    Raises ContentRejected for what cannot be converted.  Proportions, and too few pixels, are left to be named.
    """
    with open_below(root, source) as file, warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # our own limit is asked below
        try:
            picture = Image.open(file, formats=READS)
            size = file.seek(0, io.SEEK_END)
            if not is_turned and _fits(picture, mime_type, size, limits):
                return Fitted(source)
            if picture.width * picture.height > MOST_PIXELS:
                raise ContentRejected(f"{source} has more pixels than can be converted here ({MOST_PIXELS:,}).")
            done: list[str] = []
            data, written_type = _converted(picture, mime_type, size, limits, done)
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError, MemoryError) as error:
            raise ContentRejected(f"{source} ({mime_type}) cannot be converted here: {error}.") from error
    ending = WRITES[written_type][1]
    stem = PurePosixPath(source).stem.encode()[:LONGEST_STEM].decode(errors="ignore")
    name = f"{stem}.{hashlib.sha256(data).hexdigest()[:8]}.{ending}"
    return Fitted(write_beside(root, source, name, data), done)


def _fits(picture: Image.Image, mime_type: str, size: int, limits: PictureLimits) -> bool:
    return (
        mime_type in limits.formats
        and (limits.max_bytes is None or size <= limits.max_bytes)
        and (limits.max_pixels is None or picture.width * picture.height <= limits.max_pixels)
    )


def _converted(
    picture: Image.Image, mime_type: str, size: int, limits: PictureLimits, done: list[str]
) -> tuple[bytes, str]:
    to = _target(mime_type, size, limits)
    if to != mime_type:
        done.append(f"{_name(mime_type)} became {_name(to)}")
    if getattr(picture, "n_frames", 1) > 1 and picture.format != "MPO":
        done.append(f"only the first of its {getattr(picture, 'n_frames', 1)} frames is kept")
    profile = picture.info.get("icc_profile")
    upright = ImageOps.exif_transpose(picture)
    if upright.getexif() != picture.getexif() or upright.size != picture.size:
        done.append("it was turned upright")
    plain, profile = _plain(upright, profile, done, transparent=WRITES[to][2])
    done.append("its metadata were left out")
    if limits.max_pixels is not None and plain.width * plain.height > limits.max_pixels:
        plain = _scaled(plain, math.sqrt(limits.max_pixels / (plain.width * plain.height)))
    data, plain = _small_enough(plain, to, profile, limits.max_bytes)
    if plain.size != upright.size:
        done.append(f"it shrank from {upright.width}x{upright.height} to {plain.width}x{plain.height} pixels")
    return data, to


def _target(mime_type: str, size: int, limits: PictureLimits) -> str:
    """The type to write: its own where that is taken and small enough, else the first that can be written."""
    writable = [one for one in limits.formats if one in WRITES]
    if not writable:
        raise ContentRejected(f"Only {limits.taken} is taken, which cannot be written here.")
    keeps = mime_type in writable and (limits.max_bytes is None or size <= limits.max_bytes)
    return mime_type if keeps else writable[0]


def _plain(
    picture: Image.Image, profile: bytes | None, done: list[str], *, transparent: bool
) -> tuple[Image.Image, bytes | None]:
    """Eight bits of grey or of red, green and blue; transparent only where that can be written."""
    mode = picture.mode
    if mode.startswith("I") or mode == "F":
        done.append("its 16 bits of grey became 8")
        return picture.convert("I").point(lambda value: value / 256).convert("L"), None
    if mode in ("CMYK", "LAB", "YCbCr", "HSV"):
        done.append(f"its {mode} colours became RGB")
        return _to_srgb(picture, profile), None
    if picture.has_transparency_data:
        clear = picture.convert("RGBA")
        if transparent:
            return clear, profile
        if clear.getchannel("A").getextrema() != (255, 255):
            done.append("its transparent parts became white")
        white = Image.new("RGBA", clear.size, "white")
        return Image.alpha_composite(white, clear).convert("RGB"), profile
    return (picture if mode in ("L", "RGB") else picture.convert("RGB")), profile


def _to_srgb(picture: Image.Image, profile: bytes | None) -> Image.Image:
    if profile:
        try:
            source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            found = ImageCms.profileToProfile(picture, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
            if found is not None:
                return found
        except (ImageCms.PyCMSError, OSError, ValueError):
            pass  # a profile that makes no sense: as if there were none
    return picture.convert("RGB")


def _small_enough(
    picture: Image.Image, to: str, profile: bytes | None, max_bytes: int | None
) -> tuple[bytes, Image.Image]:
    name, _, _, options = WRITES[to]
    while min(picture.size) >= SMALLEST_SIDE or max_bytes is None:
        for quality in QUALITIES if name != "PNG" else QUALITIES[:1]:
            written = io.BytesIO()
            picture.save(written, format=name, quality=quality, icc_profile=profile, **options)
            if max_bytes is None or written.tell() <= max_bytes:
                return written.getvalue(), picture
        picture = _scaled(picture, SMALLER)
    raise ContentRejected(f"The picture cannot be made as small as {max_bytes:,} bytes.")


def _scaled(picture: Image.Image, factor: float) -> Image.Image:
    size = (max(1, int(picture.width * factor)), max(1, int(picture.height * factor)))
    return picture.resize(size, Image.Resampling.LANCZOS)


def _name(mime_type: str) -> str:
    return mime_type.removeprefix("image/").upper()
