"""The platform `stub`: logs instead of publishing.

With `AUTOPOSTER_STUB_JOURNAL=FILE` it also appends one JSON line per post to that file, and `find` looks there; without
it nothing ever went out.  A post is published when its whole JSON stands in the journal.  What this rests on: one
`write` to a file opened for appending is not mixed with another's, and a line that a killed writer left unfinished is
ended by the next one.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from autoposter import hookimpl
from autoposter.clock import Stopwatch
from autoposter.publishers import AccountCheck, Delivery, Post, Publisher, Receipt, Transient

log = logging.getLogger(__name__)

JOURNAL = "AUTOPOSTER_STUB_JOURNAL"

#: How long a writer waits for another.  Then it writes all the same: the lock only keeps a half line from getting a
#: second half, and its holder may be frozen.
LOCK_WAIT = timedelta(seconds=1)


class Stub(Publisher):
    """Publishes nothing anywhere, and remembers it."""

    platform = "stub"
    delivery = Delivery.FINDABLE
    publish_timeout = timedelta(seconds=5)  # for one line in a local file
    find_after = timedelta(0)  # whatever the call has written can be read at once

    def publish(self, post: Post, prepared: dict[str, Any]) -> Receipt:
        """Log the post, and append it to the journal if there is one."""
        begun = Stopwatch()
        if path := _journal():
            try:
                _append(path, post, begun)
            except OSError as error:
                raise Transient(f"The stub's journal {path} cannot be written: {error.strerror or error}.") from error
        log.info("The stub publishes post %s for %s: %r", post.id, self.account.name, post.caption)
        return _receipt(post)

    def find(self, post: Post, prepared: dict[str, Any]) -> Receipt | None:
        """Look for the post's idempotency key in the journal."""
        path = _journal()
        if path is None:
            return None
        try:
            return _receipt(post) if _stands_in(path, post.idempotency_key) else None
        except FileNotFoundError:
            return None
        except OSError as error:
            raise Transient(f"The stub's journal {path} cannot be read: {error.strerror or error}.") from error

    def check(self) -> AccountCheck:
        """Every stub account works."""
        return AccountCheck(ok=True, external_id=self.account.external_id, name=self.account.name)


def _journal() -> str | None:
    return os.environ.get(JOURNAL) or None


def _receipt(post: Post) -> Receipt:
    post_id = f"stub-{post.idempotency_key}"
    return Receipt(platform_post_id=post_id, permalink=f"https://stub.invalid/{post_id}")


def _append(path: str, post: Post, begun: Stopwatch) -> None:
    """Publish.  Raises OSError where the journal holds no whole line, and Transient where the time is over."""
    with _opened(path, os.O_RDWR | os.O_APPEND | os.O_CREAT) as file:
        _lock(file)
        size = os.fstat(file).st_size
        torn = size > 0 and os.pread(file, 1, size - 1) != b"\n"
        line = (b"\n" if torn else b"") + _line(post)
        # Last of all, because a process may be frozen anywhere above, and others look for the post meanwhile.
        if begun.elapsed >= Stub.publish_timeout:
            raise Transient(f"The stub took longer than {Stub.publish_timeout.total_seconds():g} s and wrote nothing.")
        if os.write(file, line + b"\n") < len(line):
            raise OSError("the disk took only a part of the line")


def _line(post: Post) -> bytes:
    record = {
        "post_id": post.id,
        "idempotency_key": post.idempotency_key,
        "scheduled_for": post.scheduled_for.astimezone(UTC).isoformat(),
        "published_at": datetime.now(UTC).isoformat(),  # a platform has a clock of its own
        "caption": post.caption,
    }
    return json.dumps(record).encode()


def _stands_in(path: str, key: str) -> bool:
    written = json.dumps(key).encode()  # spares parsing the other lines
    with _opened(path, os.O_RDONLY) as file, open(file, "rb", closefd=False) as lines:
        return any(_key_of(line) == key for line in lines if written in line)


def _key_of(line: bytes) -> str | None:
    """The idempotency key of a line; None for a torn or foreign one."""
    try:
        record = json.loads(line)
    except ValueError:
        return None
    return record.get("idempotency_key") if isinstance(record, dict) else None


@contextmanager
def _opened(path: str, flags: int) -> Iterator[int]:
    # O_NONBLOCK: opening a named pipe would wait for its other end.
    file = os.open(path, flags | os.O_CLOEXEC | os.O_NONBLOCK, 0o644)
    try:
        if not stat.S_ISREG(os.fstat(file).st_mode):
            raise OSError("it is no regular file")
        yield file
    finally:
        os.close(file)


def _lock(file: int) -> None:
    """Keep other writers out until the file is closed."""
    waited = Stopwatch()
    while waited.elapsed < LOCK_WAIT:
        try:
            return fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(0.002)
    return None


@hookimpl
def autoposter_publishers() -> list[type[Publisher]]:
    """The stub."""
    return [Stub]
