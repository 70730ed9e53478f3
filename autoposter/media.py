"""What a publisher can do with a picture or a video: read it, or name an address where it can be fetched."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import quote, urlsplit

from autoposter.publishers.errors import ContentRejected
from autoposter.publishers.values import Media


class MediaShelf:
    """Where media come from: files below one folder, or https addresses."""

    def __init__(self, root: Path | None, base_url: str | None) -> None:
        self._root = root.resolve() if root else None
        self._base_url = base_url.rstrip("/") if base_url else None

    def media(self, asset: dict[str, Any]) -> Media:
        """One asset of a snapshot, ready for a publisher.  Reads nothing from the source but a local file's size."""
        source = str(asset["source"])
        return Media(
            kind=asset["kind"],
            alt_text=asset["alt_text"] or "",
            mime_type=asset["mime_type"],
            size=self._size(source),
            width=None,
            height=None,
            duration=None,
            open=partial(self._open, source),
            _public_url=partial(self._public_url, source),
        )

    def _file(self, source: str) -> Path:
        if self._root is None:
            raise ContentRejected(f"The file {source} cannot be read: AUTOPOSTER_MEDIA_ROOT is not set.")
        file = (self._root / source).resolve()
        if not file.is_relative_to(self._root):
            raise ContentRejected(f"The file {source} lies outside AUTOPOSTER_MEDIA_ROOT.")
        if not file.is_file():
            raise ContentRejected(f"There is no file {source} below AUTOPOSTER_MEDIA_ROOT.")
        return file

    def _size(self, source: str) -> int | None:
        if _is_url(source):
            return None
        try:
            return self._file(source).stat().st_size
        except (ContentRejected, OSError):
            return None

    @contextmanager
    def _open(self, source: str) -> Iterator[BinaryIO]:
        if _is_url(source):
            raise ContentRejected(
                f"{source} cannot be read by autoposter yet: put the file below AUTOPOSTER_MEDIA_ROOT."
            )
        with self._file(source).open("rb") as stream:
            yield stream

    def _public_url(self, source: str) -> str:
        if _is_url(source):
            return source
        if self._base_url is None:
            raise ContentRejected(f"{source} has no public address: set AUTOPOSTER_MEDIA_BASE_URL.")
        return f"{self._base_url}/{quote(source.lstrip('/'))}"


def _is_url(source: str) -> bool:
    return urlsplit(source).scheme == "https"
