"""What a picture or a video is, by its content: type, sides, duration.  Nothing is decoded, so nothing can explode.

Of a picture only the header is read, in pure Python, by a reader that gives so many bytes and no more.  A video's
container is read in a process of its own (`film.py`).
"""

from __future__ import annotations

import io
import json
import math
import signal
import subprocess
import sys
import threading
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, BinaryIO

import imagesize

from autoposter.media import film
from autoposter.publishers.errors import ContentRejected, Transient

#: What the first bytes say.  A picture of none of these types is one that no platform takes.
PICTURES = (
    (0, b"\xff\xd8\xff", "image/jpeg"),
    (0, b"\x89PNG\r\n\x1a\n", "image/png"),
    (0, b"GIF87a", "image/gif"),
    (0, b"GIF89a", "image/gif"),
    (8, b"WEBP", "image/webp"),
    (0, b"BM", "image/bmp"),
    (0, b"II*\0", "image/tiff"),
    (0, b"MM\0*", "image/tiff"),
    (4, b"ftypavi", "image/avif"),
    (4, b"ftyphei", "image/heic"),
    (4, b"ftyphev", "image/heic"),
    (4, b"ftypmif1", "image/heif"),
    (4, b"ftypmsf1", "image/heif"),
)

#: What a video begins with; nothing else is given to the library.
FILMS = (
    *((4, name) for name in (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip")),
    (0, b"\x1a\x45\xdf\xa3"),
    (8, b"AVI "),
    (0, b"\0\0\1\xba"),
    (0, b"OggS"),
)

#: Video containers, as MediaInfo calls them.
VIDEOS = {
    "MPEG-4": "video/mp4",
    "QuickTime": "video/quicktime",
    "WebM": "video/webm",
    "Matroska": "video/x-matroska",
    "AVI": "video/x-msvideo",
    "MPEG-PS": "video/mpeg",
    "Ogg": "video/ogg",
}

#: Pictures of more pixels are refused: somebody would unpack them.  Five times what the most generous platform takes.
MOST_PIXELS = 180_000_000
#: Longer sides, of videos too, are a lie.
LONGEST_SIDE = 65_535
#: Longer videos are a lie.
LONGEST_VIDEO = timedelta(days=1)

#: The header of a picture is found within so many reads and bytes, or there is none.
MOST_READS = 20_000
MOST_BYTES = 8 * 1024**2

#: A process that looks at a video is given up after this; usually it takes 0.2 s.
FILM_LASTS = timedelta(seconds=20)

_films = threading.BoundedSemaphore(2)


@dataclass(frozen=True, slots=True)
class Found:
    """What a file is."""

    mime_type: str
    width: int | None
    """Pixels, as a person sees it: turned as it says that it is to be shown."""
    height: int | None
    duration: timedelta | None = None
    is_turned: bool = False
    """A picture that lies, and says that it is to be shown upright: not every platform obeys."""

    @property
    def kind(self) -> str:
        """`image` or `video`."""
        return self.mime_type.partition("/")[0]


def picture_type(start: bytes) -> str | None:
    """Which picture begins with these 16 bytes or more; None: none that is known."""
    return next((name for at, magic, name in PICTURES if start[at:].startswith(magic)), None)


def look_at(file: BinaryIO, kind: str | None, *, whole: bool) -> Found:
    """Look at a seekable file.  `whole`: it has no holes, so that what is not found is not there.

    Raises ContentRejected for what is no picture or video, or another than `kind` (`image`, `video`; None: either)
    says; the message goes on after the file's name.
    """
    file.seek(0)
    start = file.read(16)
    if not start:
        raise ContentRejected("is empty")
    mime_type = picture_type(start)
    if mime_type and kind == "video":
        raise ContentRejected(f"is a picture ({mime_type}), not a video")
    if mime_type:
        return _picture(file, mime_type, whole=whole)
    found = _film(file, whole=whole) if any(start[at:].startswith(magic) for at, magic in FILMS) else None
    if found is None:
        sought = {"image": "picture", "video": "video", None: "picture or video"}[kind]
        raise ContentRejected(f"holds no {sought} that is known here")
    if kind == "image":
        raise ContentRejected(f"is a video ({found.mime_type}), not a picture")
    return found


def _picture(file: BinaryIO, mime_type: str, *, whole: bool) -> Found:
    try:
        info = imagesize.get_info(_Bounded(file), dpi=False, colors=False, channels=False)
        width, height, is_turned = info.width, info.height, 2 <= info.rotation <= 8
    except Exception:  # whatever a parser raises on garbage
        width, height, is_turned = 0, 0, False
    if not (0 < width <= LONGEST_SIDE and 0 < height <= LONGEST_SIDE):
        if whole:
            raise ContentRejected(f"is a broken picture ({mime_type})")
        return Found(mime_type, None, None)
    if width * height > MOST_PIXELS:
        raise ContentRejected(f"has {width}x{height} pixels; {MOST_PIXELS:,} are taken")
    return Found(mime_type, width, height, is_turned=is_turned)


class _Bounded(io.RawIOBase):
    """A file of which only so much can be read."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._reads = MOST_READS
        self._bytes = MOST_BYTES

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return self._file.seek(offset, whence)

    def read(self, size: int = -1, /) -> bytes:
        self._reads -= 1
        if size > self._bytes or self._reads < 0:
            raise ValueError("the header is too long")
        data = self._file.read(size if size >= 0 else self._bytes)
        self._bytes -= len(data)
        return data


def _film(file: BinaryIO, *, whole: bool) -> Found | None:
    said = _said_of(file)
    mime_type = VIDEOS.get(said.get("format") or "")
    if mime_type == "video/mp4" and str(said.get("codec_id")).startswith("qt"):
        mime_type = "video/quicktime"
    video = said.get("video")
    if mime_type is None:
        return None
    if whole and (said["is_cut"] or video is None):
        raise ContentRejected(f"is a broken video ({mime_type}): it is cut off, or holds no moving picture")
    width, height = (_side(video[side]) if video else None for side in ("width", "height"))
    if video and round(_number(video["rotation"])) % 180 == 90:
        width, height = height, width
    return Found(mime_type, width, height, _duration(said.get("duration")))


def _said_of(file: BinaryIO) -> dict[str, Any]:
    """What the process that looks at it says.  Raises ContentRejected where the file is too much for it."""
    file.seek(0)
    if not _films.acquire(timeout=FILM_LASTS.total_seconds()):
        raise Transient("waits for other videos to be looked at")
    try:
        done = subprocess.run(
            [sys.executable, "-I", str(Path(film.__file__))],
            stdin=file,
            capture_output=True,
            timeout=FILM_LASTS.total_seconds(),
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise Transient(f"was not looked at within {FILM_LASTS.seconds} s") from error
    except OSError as error:
        raise Transient(f"cannot be looked at now: {error.strerror}") from error
    finally:
        _films.release()
    if -done.returncode in (
        signal.SIGINT,
        signal.SIGTERM,
        signal.SIGKILL,
    ):  # by others: its own limits end it otherwise
        raise Transient("was not looked at to its end")
    if done.returncode == film.NO_LIBRARY:
        raise Transient("cannot be looked at: the library pymediainfo does not work here (`pip install pymediainfo`)")
    try:
        said = json.loads(done.stdout)
    except ValueError as error:
        raise ContentRejected("is a broken video, or one whose header is too much") from error
    return said if isinstance(said, dict) else {}


def _number(value: object) -> float:
    try:
        number = float(str(value))
    except ValueError:
        return 0
    return number if math.isfinite(number) else 0


def _side(value: object) -> int | None:
    number = int(_number(value))
    return number if 0 < number <= LONGEST_SIDE else None


def _duration(milliseconds: object) -> timedelta | None:
    number = _number(milliseconds)
    return timedelta(milliseconds=number) if 0 < number <= LONGEST_VIDEO / timedelta(milliseconds=1) else None
