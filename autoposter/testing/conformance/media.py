"""Pictures and videos: read piece by piece, and never left out."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, BinaryIO, cast

from autoposter.lifecycle import Confirmed
from autoposter.outcomes import before_the_call
from autoposter.publishers import ContentRejected, Media
from autoposter.testing.conformance.base import Conformance, needs
from autoposter.testing.conformance.validation import problems
from autoposter.testing.lab import Lab

#: A film that is too big to be held in memory by every thread of a worker.
BIG_BYTES = 32 * 1024 * 1024

#: What nobody minds to be held in memory.
SMALL_BYTES = 1024 * 1024


class MediaTests(Conformance):
    """Pictures and videos: read piece by piece, and never left out."""

    @needs("media")
    def test_media_are_published(self, lab: Lab, media_example: Media) -> None:
        """Each kind that it says it takes."""
        attempt = lab.attempt(lab.post(media=(media_example,)))
        assert attempt.platform_post_id, f"A post with {media_example.kind}: {attempt}."
        shown = len(lab.platform.published())
        assert shown == 1, f"One post with {media_example.kind} was published, and the platform shows {shown} posts."

    @needs("media", "no dropped media")
    def test_what_is_published_shows_its_media(self, lab: Lab, media_example: Media) -> None:
        """All of them, where it takes two.  The fake counts them: `self.publish(text, media=2)`."""
        two = lab.post(media=(media_example, media_example))
        for post in (lab.post(media=(media_example,)), *([] if problems(lab, two) else [two])):
            attempt = lab.attempt(post)
            assert attempt.platform_post_id, f"A post with {len(post.media)} media: {attempt}."
            shown, sent = lab.platform.published()[-1].media, len(post.media)
            assert shown == sent, (
                f"The post has {sent} media, and what is published shows {shown}: it went out without its picture, "
                "or the fake does not say how many the publishing request brought: `self.publish(text, media=...)`."
            )

    @needs("media", "no dropped media")
    def test_media_that_cannot_be_had_publish_nothing(self, lab: Lab, media_example: Media) -> None:
        """A post must not go out without its picture."""
        post = lab.post(media=(replace(media_example, open=_gone, _public_url=_gone),))
        try:
            outcome = lab.attempt(post).outcome
        except ContentRejected as error:  # in prepare
            outcome = before_the_call(error, lab.secrets)
        assert not isinstance(outcome, Confirmed), "It published the post without its media."
        assert list(lab.platform.published()) == [], "It published the post without its media."

    @needs("media", "wire")
    def test_media_are_read_piece_by_piece(self, lab: Lab, media_example: Media) -> None:
        """A worker has many threads and little memory: give the open stream to the request.

        Its file of zeros has 32 MiB, or less where `pictures` or `validate` say that less is taken.
        """
        size = BIG_BYTES
        while size > SMALL_BYTES and problems(lab, lab.post(media=(replace(media_example, size=size),))):
            size //= 2
        source = _Source(size, lambda: lab.server.received_bytes)
        lab.attempt(lab.post(media=(replace(media_example, size=size, open=source.open),)))
        held = max(size // 2, SMALL_BYTES)
        assert source.biggest_read <= held, f"It reads {source.biggest_read:,} bytes at once."
        if size == BIG_BYTES and lab.server.received_bytes >= size:  # less may stand in the sockets' buffers
            assert source.was_streamed, f"It reads all {size:,} bytes before it sends the first."

    @needs("media")
    def test_media_are_closed_after_reading(self, lab: Lab, media_example: Media) -> None:
        """`with media.open() as stream:`"""
        size = media_example.size or 1000
        source = _Source(size, lambda: 0)
        lab.attempt(lab.post(media=(replace(media_example, open=source.open),)))
        assert source.opened == source.closed, "It leaves the media open."


def _gone() -> Any:
    raise ContentRejected("There is no such file.")


@dataclass(slots=True)
class _Source:
    """A big file that knows how it is read."""

    size: int
    received: Callable[[], int]
    opened: int = 0
    closed: int = 0
    biggest_read: int = 0
    was_streamed: bool = False
    received_before: int = field(default=0)

    @contextmanager
    def open(self) -> Iterator[BinaryIO]:
        self.opened += 1
        self.begin()
        yield cast("BinaryIO", _Stream(self))
        self.closed += 1

    def begin(self) -> None:
        self.received_before = self.received()

    def has_read(self, number: int, position: int) -> None:
        self.biggest_read = max(self.biggest_read, number)
        if position >= self.size:
            self.was_streamed |= self.received() - self.received_before >= self.size // 2


class _Stream(io.RawIOBase):
    """Zeros, `size` of them."""

    def __init__(self, source: _Source) -> None:
        self._source = source
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._source.size}[whence]
        self._position = max(0, start + offset)
        if self._position == 0:
            self._source.begin()
        return self._position

    def read(self, size: int | None = -1, /) -> bytes:
        left = max(0, self._source.size - self._position)
        number = left if size is None or size < 0 else min(size, left)
        self._position += number
        self._source.has_read(number, self._position)
        return bytes(number)

    def readall(self) -> bytes:
        return self.read(-1)

    def readinto(self, buffer: bytearray | memoryview, /) -> int:  # type: ignore[override]
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)
