"""What a publisher can do with a picture or a video: read it, know what it is, or name where it can be fetched.

    a row's source --examine--> what it is, remembered --media--> Media, as a publisher is handed it
                                                                    `open()` streams it, `public_url` names it

Sources come from whoever may schedule, and their contents from anywhere; so a file lies below the media root
(`files.py`), an address is one of the public internet (`outside.py`, `fetching.py`), and what is in it is read without
being unpacked (`probing.py`).
"""

from __future__ import annotations

import os
import tempfile
import threading
from collections import OrderedDict
from collections.abc import Collection, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import quote

from autoposter.clock import Stopwatch
from autoposter.media.fetching import fetch
from autoposter.media.files import open_below, steps
from autoposter.media.outside import may_be_public
from autoposter.media.probing import Found, look_at, picture_type
from autoposter.media.sources import is_address, shown
from autoposter.publishers.errors import ContentRejected, PublishError, Transient
from autoposter.publishers.values import Media

#: So much of the beginning of what an address holds is fetched to know what it is; of a video that has its header at
#: the end, so much of the end.
HEAD_BYTES = 1024**2
TAIL_BYTES = 4 * 1024**2

#: An address is looked at within this as a whole.
LOOK_LASTS = timedelta(seconds=15)

#: All media of a post are looked at within this, however many, and however slow their servers.
EXAMINE_LASTS = timedelta(minutes=2)

#: What was found at an address is believed for this long.  A file is looked at again when it is another.
ADDRESS_BELIEVED = timedelta(hours=1)

#: So many findings are remembered, in this process alone: losing one costs a look.
MOST_REMEMBERED = 2000

#: So many addresses of one post are looked at at once: an album of ten is not to be ten answers late.
AT_ONCE = 10


@dataclass(frozen=True, slots=True)
class Finding:
    """What an asset is, and of which file or when that was found."""

    what: Found
    size: int | None
    is_inside: bool
    stamp: tuple[int, ...]
    since: Stopwatch


class MediaShelf:
    """Where media come from: files below one folder, or addresses outside, or of the hosts in `allow`."""

    def __init__(self, root: Path | None, base_url: str | None, allow: Collection[str] = ()) -> None:
        self._root = root
        self._base_url = base_url.rstrip("/") if base_url else None
        self._allow = frozenset(allow)
        self._remembered: OrderedDict[str, Finding] = OrderedDict()
        self._lock = threading.Lock()

    @property
    def has_root(self) -> bool:
        """Whether it is known where files lie."""
        return self._root is not None

    def examine(self, assets: Iterable[Mapping[str, Any]]) -> None:
        """Look at what is not known yet of these assets, and remember it for `media`.

        Raises, in one sentence, ContentRejected for what can never be published, and Transient for what may pass.
        """
        unknown = [asset for asset in assets if self._known(asset) is None]
        with ThreadPoolExecutor(AT_ONCE) as threads:
            troubles = [trouble for trouble in threads.map(self._try_to_look, unknown) if trouble]
        lasting = [str(trouble) for trouble in troubles if isinstance(trouble, ContentRejected)]
        if lasting:
            raise ContentRejected(" ".join(dict.fromkeys(lasting)))
        if troubles:
            raise troubles[0]

    def media(self, asset: Mapping[str, Any]) -> Media:
        """One asset of a snapshot, ready for a publisher, with what `examine` found.  Fetches nothing itself."""
        source = str(asset["source"])
        finding = self._known(asset)
        found = finding.what if finding else None
        return Media(
            kind=asset["kind"],
            alt_text=asset.get("alt_text") or "",
            mime_type=found.mime_type if found else asset.get("mime_type"),
            size=finding.size if finding else None,
            width=found.width if found else None,
            height=found.height if found else None,
            duration=found.duration if found else None,
            open=partial(self._open, source, finding),
            _public_url=partial(self._public_url, source, finding),
        )

    def kind(self, asset: Mapping[str, Any]) -> str | None:
        """`image` or `video`: what an asset says that it is; where that is open, what `examine` found, or None."""
        kind: str | None = asset["kind"]
        if kind is None and (finding := self._known(asset)):
            return finding.what.kind
        return kind

    def is_turned(self, asset: Mapping[str, Any]) -> bool:
        """Whether a picture lies, and only says that it is to be shown upright; as far as it was examined."""
        finding = self._known(asset)
        return finding is not None and finding.what.is_turned

    # --- looking --------------------------------------------------------------------------------------------------

    def _known(self, asset: Mapping[str, Any]) -> Finding | None:
        source = str(asset["source"])
        with self._lock:
            finding = self._remembered.get(source)
        if finding is None or asset["kind"] not in (None, finding.what.kind):
            return None
        if is_address(source):
            return finding if finding.since.elapsed < ADDRESS_BELIEVED else None
        try:
            with open_below(self._root, source) as file:
                return finding if finding.stamp == _stamp(file) else None
        except PublishError:
            return None

    def _try_to_look(self, asset: Mapping[str, Any]) -> PublishError | None:
        """Look at an asset, and remember what it is; what is wrong with it otherwise."""
        source = str(asset["source"])
        try:
            finding = self._look(source, asset["kind"])
        except PublishError as error:
            return error
        with self._lock:
            self._remembered[source] = finding
            self._remembered.move_to_end(source)
            while len(self._remembered) > MOST_REMEMBERED:
                self._remembered.popitem(last=False)
        return None

    def _look(self, source: str, kind: str | None) -> Finding:
        try:
            return self._look_outside(source, kind) if is_address(source) else self._look_below(source, kind)
        except _Said as said:
            raise type(said.error)(f"{shown(source)} {said.error}.") from said.error
        except OSError as error:  # a disk that fails, or is full
            raise Transient(f"{shown(source)} cannot be looked at now: {error.strerror}.") from error

    def _look_below(self, source: str, kind: str | None) -> Finding:
        with open_below(self._root, source) as file:
            stamp = _stamp(file)
            return Finding(_look_at(file, kind, whole=True), stamp[2], False, stamp, Stopwatch())

    def _look_outside(self, source: str, kind: str | None) -> Finding:
        since = Stopwatch()
        with tempfile.TemporaryFile() as window:
            with fetch(source, self._allow, lasts=LOOK_LASTS) as fetched:
                head = fetched.stream.read(HEAD_BYTES)
                window.write(head)
                size = len(head) if not fetched.stream.read(1) else fetched.size
                is_inside = fetched.is_inside
            if size and size > len(head):
                window.truncate(size)
                if kind != "image" and picture_type(head) is None and b"moov" not in head:
                    self._fetch_tail(source, window, max(len(head), size - TAIL_BYTES), LOOK_LASTS - since.elapsed)
            found = _look_at(window, kind, whole=size == len(head))
            return Finding(found, size, is_inside, (), Stopwatch())

    def _fetch_tail(self, source: str, window: BinaryIO, start: int, lasts: timedelta) -> None:
        """Add the end of a file to what is known of it, if the server sends it alone."""
        with fetch(source, self._allow, lasts=lasts, start=start) as fetched:
            if fetched.start == start:
                window.seek(start)
                window.write(fetched.stream.read(TAIL_BYTES))

    # --- what a publisher does ------------------------------------------------------------------------------------

    @contextmanager
    def _open(self, source: str, finding: Finding | None) -> Iterator[BinaryIO]:
        changed = Transient(f"{shown(source)} has changed since it was looked at.")
        if not is_address(source):
            with open_below(self._root, source) as file:
                if finding and finding.stamp != _stamp(file):
                    raise changed
                yield file
            return
        with fetch(source, self._allow) as fetched:
            if finding and None not in (finding.size, fetched.size) and finding.size != fetched.size:
                raise changed
            yield fetched.stream

    def _public_url(self, source: str, finding: Finding | None) -> str:
        url = source
        if not is_address(source):
            if self._base_url is None:
                raise ContentRejected(
                    f"{shown(source)} has no public address, and the platform fetches it by itself:"
                    " set AUTOPOSTER_MEDIA_BASE_URL."
                )
            url = f"{self._base_url}/{quote('/'.join(steps(self._root, source)))}"
        if (finding and finding.is_inside) or not may_be_public(url):
            raise ContentRejected(
                f"{shown(url)} cannot be reached by https from outside, and the platform fetches it by itself."
            )
        return url


class _Said(Exception):
    """What is wrong with a file, without its name."""

    def __init__(self, error: PublishError) -> None:
        super().__init__(str(error))
        self.error = error


def _look_at(file: BinaryIO, kind: str | None, *, whole: bool) -> Found:
    try:
        return look_at(file, kind, whole=whole)
    except PublishError as error:
        raise _Said(error) from error


def _stamp(file: BinaryIO) -> tuple[int, ...]:
    """Tells one file from another: device, inode, size, time."""
    found = os.fstat(file.fileno())
    return (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns)
