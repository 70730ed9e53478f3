"""The folder `.autoposter/`: whose it is at the moment, its secret key, and how others find what runs in it."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from cryptography.fernet import Fernet

from autoposter.errors import Refused

#: The folder below the one that `autoposter up` is started in.
NAME = ".autoposter"

#: How long a new `up` waits for the folder, in seconds: longer than any command looks whether the folder is held.
HOLD_TIMEOUT_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Urls:
    """Where the local servers of a folder are reached.  None: that one is not local."""

    database_url: str | None = None
    redis_url: str | None = None


class Home:
    """`.autoposter/` of one folder.  Nobody but its owner can look into it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.resolve()
        self.path = self.folder / NAME
        self.lock = self.path / "lock"
        self.urls = self.path / "running.json"
        self.secret_key = self.path / "secret_key"

    @contextmanager
    def held(self) -> Iterator[None]:
        """Make the folder and hold it.  Raises Refused when it cannot be written, or another `up` holds it."""
        try:
            # root lets others pass through, because its PostgreSQL is another user's; they still see nothing.
            make_folder(self.path, 0o711 if os.geteuid() == 0 else 0o700)
            (self.path / ".gitignore").write_text("*\n", encoding="ascii")
            lock = os.open(self.lock, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise Refused(
                f"{self.path} cannot be written ({error.strerror}): run this in a folder that is yours."
            ) from error
        try:
            self._take(lock)
            try:
                yield
            finally:
                self.urls.unlink(missing_ok=True)
        finally:
            os.close(lock)  # and it is free

    def _take(self, lock: int) -> None:
        until = time.monotonic() + HOLD_TIMEOUT_SECONDS
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > until:
                    pid = os.pread(lock, 20, 0).decode("ascii", "replace").strip() or "unknown"
                    raise Refused(
                        f"autoposter already runs in {self.folder} (process {pid}): stop it first,"
                        " or use another folder."
                    ) from None
                time.sleep(0.05)
        os.ftruncate(lock, 0)
        os.pwrite(lock, f"{os.getpid()}\n".encode("ascii"), 0)

    def is_held(self) -> bool:
        """Whether an `up` runs in the folder at this moment."""
        try:
            lock = os.open(self.lock, os.O_RDONLY)
        except OSError:
            return False
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(lock)
        return False

    def announce(self, urls: Urls) -> None:
        """Tell the other commands in this folder where the servers are."""
        write_privately(self.urls, json.dumps(asdict(urls)))

    def keep_secret_key(self) -> str:
        """The Fernet key of this folder, made when there is none."""
        if not self.secret_key.exists():
            write_privately(self.secret_key, Fernet.generate_key().decode("ascii"))
        return self.secret_key.read_text(encoding="ascii").strip()


def make_folder(path: Path, mode: int) -> None:
    """Make a folder with exactly these rights, whatever the umask; one that is there keeps its own."""
    try:
        path.mkdir(parents=True)
    except FileExistsError:
        return
    path.chmod(mode)


def write_privately(path: Path, text: str) -> None:
    """Write a file that only we can read, all at once or not at all."""
    new = path.with_name(path.name + ".new")
    new.unlink(missing_ok=True)
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(text + "\n")
        file.flush()
        os.fsync(file.fileno())  # a key that credentials were stored with must outlast a power cut
    new.replace(path)


def urls_of(folder: Path) -> Urls | None:
    """The local servers that run in a folder.  None: none do, or whoever runs them is not the present user."""
    home = Home(folder)
    try:
        if home.urls.stat().st_uid != os.geteuid() or not home.is_held():
            return None
        return Urls(**json.loads(home.urls.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def secret_key_of(folder: Path) -> str | None:
    """The Fernet key that `autoposter up` keeps in a folder, whether it runs or not.  None: there is none of ours."""
    path = Home(folder).secret_key
    try:
        if path.stat().st_uid != os.geteuid():
            return None
        return path.read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        return None


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """A new folder for servers that are thrown away, removed at the end."""
    folder = Path(tempfile.mkdtemp(prefix="autoposter-"))
    if os.geteuid() == 0:
        folder.chmod(0o711)  # our own new folder: PostgreSQL, which is another user's, passes through it
    try:
        yield folder
    finally:
        elsewhere = folder / NAME / "postgres"  # where the folder for temporary files is itself in a private one
        if elsewhere.is_symlink():
            shutil.rmtree(elsewhere.resolve().parent, ignore_errors=True)
        shutil.rmtree(folder, ignore_errors=True)
