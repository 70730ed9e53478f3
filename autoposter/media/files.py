"""Files below the media root, opened so that nothing else can be meant.

Each folder on the way is opened by itself, from the one above and not through a link: so neither `..` nor a link leads
out, and nothing that is renamed meanwhile changes what was checked.  Links are not followed at all, the root excepted.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from autoposter.media.sources import shown
from autoposter.publishers.errors import ContentRejected, PublishError, Transient

#: What is wrong with the path itself.  Everything else that the system says may pass.
LASTING = {errno.EACCES, errno.EPERM, errno.ENAMETOOLONG, errno.EROFS}

#: Without O_NONBLOCK, opening a FIFO waits for its other end.
FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
FOLDER = os.O_RDONLY | os.O_NOFOLLOW | os.O_DIRECTORY | os.O_CLOEXEC
NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


def open_below(root: Path | None, source: str) -> BinaryIO:
    """Open a file below the root.  Raises ContentRejected or Transient with what is wrong."""
    with _folder_of(root, source) as (folder, name):
        if not stat.S_ISREG(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode):
            raise _no_file(source)  # before it is opened: that alone moves some devices
        file = os.open(name, FILE, dir_fd=folder)
        if not stat.S_ISREG(os.fstat(file).st_mode):
            os.close(file)
            raise _no_file(source)
        return os.fdopen(file, "rb")


def write_beside(root: Path | None, source: str, name: str, data: bytes) -> str:
    """Write a file into the folder of another, whole or not at all; its source.  One that is there stays as it is.

    Raises ContentRejected or Transient; the first too where another file has that name.
    """
    with _folder_of(root, source) as (folder, _):
        scratch = f".{name}.{secrets.token_hex(4)}"
        try:
            with os.fdopen(os.open(scratch, NEW_FILE, 0o644, dir_fd=folder), "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            with contextlib.suppress(FileExistsError):
                os.link(scratch, name, src_dir_fd=folder, dst_dir_fd=folder, follow_symlinks=False)
        except OSError as error:
            raise _as_said(f"Nothing can be written into the folder of {shown(source)}", error) from error
        finally:
            with contextlib.suppress(OSError):  # not there; a disk that is read-only says that instead
                os.unlink(scratch, dir_fd=folder)
    written = "/".join((*steps(root, source)[:-1], name))
    with open_below(root, written) as file:
        if file.read(len(data) + 1) != data:
            raise ContentRejected(f"{written} is there already, and is another file.")
    return written


def steps(root: Path | None, source: str) -> tuple[str, ...]:
    """The way from the root to a file.  Raises ContentRejected for one that leads elsewhere.  Looks at no file."""
    path = PurePosixPath(source)
    for start in (root, root.resolve()) if root else ():
        if path.is_absolute() and path.is_relative_to(start):
            path = path.relative_to(start)
    if path.is_absolute() or ".." in path.parts:
        raise ContentRejected(f"The file {shown(source)} lies outside AUTOPOSTER_MEDIA_ROOT.")
    if not path.parts or "\0" in source:
        raise ContentRejected(f"{shown(source)!r} names no file below AUTOPOSTER_MEDIA_ROOT.")
    return path.parts


@contextmanager
def _folder_of(root: Path | None, source: str) -> Iterator[tuple[int, str]]:
    """The folder that a file lies in, opened, and the file's name.  Says what is wrong in between in one sentence."""
    if root is None:
        raise ContentRejected(f"The file {shown(source)} cannot be read: AUTOPOSTER_MEDIA_ROOT is not set.")
    *folders, name = steps(root, source)
    with contextlib.ExitStack() as opened:
        try:
            folder = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise Transient(f"The folder AUTOPOSTER_MEDIA_ROOT cannot be read: {error.strerror}.") from error
        opened.callback(os.close, folder)
        try:
            for step in folders:
                folder = os.open(step, FOLDER, dir_fd=folder)
                opened.callback(os.close, folder)
            yield folder, name
        except OSError as error:
            raise _trouble(source, error) from error
        except UnicodeEncodeError:
            raise ContentRejected(f"{shown(source)!r} is no name that a file can have.") from None


def _no_file(source: str) -> ContentRejected:
    return ContentRejected(f"{shown(source)} below AUTOPOSTER_MEDIA_ROOT is no plain file (links are not followed).")


def _trouble(source: str, error: OSError) -> PublishError:
    if error.errno == errno.ENOENT:
        return ContentRejected(f"There is no file {shown(source)} below AUTOPOSTER_MEDIA_ROOT.")
    if error.errno in (errno.ENOTDIR, errno.ELOOP):
        return _no_file(source)
    return _as_said(f"The file {shown(source)} cannot be read", error)


def _as_said(what: str, error: OSError) -> PublishError:
    says = f"{what}: {error.strerror}."
    return ContentRejected(says) if error.errno in LASTING else Transient(says)
