"""`autoposter demo`: `autoposter up` in a folder that is thrown away, and 12 posts watched as they go out.

Everything is real but the platform, `stub`, whose journal tells how often each post went out.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import struct
import sys
import time
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from statistics import median

import peewee
import typer
from rich.console import Console
from rich.live import Live
from rich.table import Table

from autoposter import connecting, database, scheduling
from autoposter.cli.printing import WIDTH_WITHOUT_TERMINAL, Json, print_json
from autoposter.credentials import Keyring
from autoposter.database import transaction
from autoposter.errors import AutoposterError, Refused
from autoposter.lifecycle import Status
from autoposter.local import require_installed, temporary_folder, urls_of
from autoposter.local.processes import Child
from autoposter.models import Worker
from autoposter.publishers.stub import JOURNAL, Stub
from autoposter.store import reports
from autoposter.store.reports import PostInfo
from autoposter.supervisor import script

#: What goes out: so many seconds from the start, by which accounts.  Twelve posts, three of them at one instant.
PLAN = ((2, "A"), (4, "B"), (5, "C"), (7, "A"), (8, "B"), (10, "ABC"), (12, "C"), (15, "A"), (17, "B"), (20, "C"))

ACCOUNTS = {"A": "Corner Bakery", "B": "City Museum", "C": "Bike Shop"}

CAPTIONS = (
    "Fresh rye bread from seven o'clock.",
    "Late opening on Thursday: until 22:00.",
    "Spring check for your bike, while you wait.",
    "Baguettes two for one until noon.",
    "New in the gallery: harbour views of 1900.",
    "We wish you a fine weekend!",
    "Cargo bikes to try on Saturday.",
    "The first strawberry cakes are here.",
    "Guided tour tomorrow at three.",
    "Closed on Monday: we are counting bells.",
)

#: How long the servers and the worker may take to start, in seconds.
START_SECONDS = 90.0

#: How long after the last due time the demo still waits, in seconds.
PATIENCE_SECONDS = 60.0

#: How long everything may take to stop, in seconds.
STOP_SECONDS = 30.0

#: How many of the last lines of the log are shown when something went wrong.
LOG_LINES = 40

_OPEN = (Status.SCHEDULED, Status.PUBLISHING)


def demo(as_json: Json = False) -> None:
    """Publish 12 posts in 20 seconds on stub accounts, with servers of its own, and show how punctual each was.

    Needs no configuration, and nothing of it is left.  Exit code 0 only if each post went out exactly once.
    """
    require_installed()
    with _interruptible(), temporary_folder() as folder:
        try:
            with _running(folder, quiet=as_json), database.out_of_reach_in_one_sentence():
                posts = _watch(_schedule(folder), shown=not as_json)
            _conclude(posts, _journal(folder), as_json=as_json)
        except KeyboardInterrupt:
            print("Stopped; nothing is left running.", file=sys.stderr)
            raise typer.Exit(130) from None
        except AutoposterError:
            _show_log(folder)
            raise


@contextmanager
def _interruptible() -> Iterator[None]:
    """Take SIGTERM and a lost terminal for a Ctrl-C."""
    before = {number: signal.signal(number, _interrupt) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


@contextmanager
def _running(folder: Path, *, quiet: bool) -> Iterator[None]:
    """`autoposter up` in this folder, deaf to the settings around us; its log is a file there."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AUTOPOSTER_")}
    (folder / "media").mkdir()
    environment |= {
        "AUTOPOSTER_MEDIA_ROOT": str(folder / "media"),
        "AUTOPOSTER_PLUGINS": "autoposter",  # no installed plugin has a part in this
        JOURNAL: str(folder / "journal.jsonl"),
    }
    everything = Child("demo", [script("autoposter"), "up"], folder, environment)
    if not quiet:
        print("Starting PostgreSQL, Valkey, a worker and the scheduler in a folder of their own ...", flush=True)
    try:
        with (folder / "up.log").open("wb") as log:
            everything.start(log)
        _wait_for_worker(folder, everything)
        yield
        if not everything.is_running:
            raise Refused("The demo's servers ended early: the log above tells why.")
    finally:
        # It is bounded, and a second Ctrl-C in the middle of it would leave something behind.
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        database.database.close_all()
        everything.stop(STOP_SECONDS)


def _wait_for_worker(folder: Path, everything: Child) -> None:
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until and everything.is_running:
        urls = urls_of(folder)
        if urls is not None and urls.database_url:
            database.connect_to(urls.database_url)
            with contextlib.suppress(*database.DATABASE_AWAY, peewee.ProgrammingError), transaction():
                if Worker.select().exists():
                    return
        time.sleep(0.1)
    raise Refused("The demo could not start: the log above tells why.")


def _schedule(folder: Path) -> list[int]:
    """Schedule the plan on three stub accounts; the posts' ids, the first due first."""
    keyring = Keyring(())
    ids = {letter: connecting.add(Stub, name, {}, keyring).account.id for letter, name in ACCOUNTS.items()}
    contents = []
    for number, caption in enumerate(CAPTIONS):
        (folder / "media" / f"{number}.png").write_bytes(_picture(number))
        contents.append(scheduling.content_of(caption, media=[f"{number}.png"], media_root=folder / "media"))
    start = database.database_time()
    made: list[int] = []
    for content, (offset, letters) in zip(contents, PLAN, strict=True):
        at = start + timedelta(seconds=offset)
        made += scheduling.schedule(content, [ids[letter] for letter in letters], at=at).post_ids
    return made


def _picture(number: int) -> bytes:
    """A small PNG in a colour of its own."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    size = 64
    colour = bytes((60 + 19 * number, 200 - 14 * number, 120))
    pixels = zlib.compress((b"\0" + colour * size) * size)
    header = struct.pack(">IIBBBBB", size, size, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def _watch(ids: Sequence[int], *, shown: bool) -> list[PostInfo]:
    """Show the posts until all are settled, or it takes too long; as they stand then."""
    width = None if sys.stdout.isatty() else WIDTH_WITHOUT_TERMINAL
    console = Console(highlight=False, quiet=not shown, width=width)
    until = time.monotonic() + PLAN[-1][0] + PATIENCE_SECONDS
    with Live(console=console, auto_refresh=False) as live:
        while True:
            posts = sorted(reports.listed(reports.Selection(ids=ids), limit=len(ids)), key=lambda post: post.id)
            live.update(_table(posts), refresh=True)
            if time.monotonic() > until or not any(post.status in _OPEN for post in posts):
                return posts
            time.sleep(0.1)


def _table(posts: Sequence[PostInfo]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("due", "account", "status", "late", "permalink"):
        table.add_column(name, justify="right" if name == "late" else "left", no_wrap=name != "permalink")
    for post in posts:
        late = _late_ms(post)
        table.add_row(
            post.scheduled_for.astimezone().strftime("%H:%M:%S.%f")[:-3],
            post.account,
            f"[{'green' if post.status == Status.POSTED else 'default'}]{post.status}[/]",
            "" if late is None else f"{late:.1f} ms",
            post.permalink or "",
        )
    return table


def _late_ms(post: PostInfo) -> float | None:
    """How long after its due time the platform had answered, in milliseconds."""
    if post.posted_at is None:
        return None
    return round((post.posted_at - post.scheduled_for) / timedelta(milliseconds=1), 3)


def _journal(folder: Path) -> Counter[int]:
    """How often each post went out, by the books of the platform."""
    with contextlib.suppress(FileNotFoundError):
        lines = (folder / "journal.jsonl").read_text(encoding="utf-8").splitlines()
        return Counter(int(json.loads(line)["post_id"]) for line in lines if line)
    return Counter()


@dataclass(frozen=True, slots=True)
class _PostReport:
    post_id: int
    status: str
    scheduled_for: str
    posted_at: str | None
    late_ms: float | None


def _conclude(posts: Sequence[PostInfo], sent: Counter[int], *, as_json: bool) -> None:
    """Print what came of it.  Raises Refused if a post is not `Posted`, or did not go out exactly once."""
    late = [ms for ms in map(_late_ms, posts) if ms is not None]
    p50, most = (round(median(late), 3), max(late)) if late else (None, None)
    bad = [post for post in posts if post.status != Status.POSTED or sent[post.id] != 1]
    if as_json:
        print_json(
            {
                "posts": [
                    _PostReport(
                        post.id,
                        str(post.status),
                        post.scheduled_for.isoformat(),
                        post.posted_at.isoformat() if post.posted_at else None,
                        _late_ms(post),
                    )
                    for post in posts
                ],
                "p50_ms": p50,
                "max_ms": most,
            }
        )
    if bad or len(posts) != len(ACCOUNTS) + len(PLAN) - 1:
        told = ", ".join(f"post {post.id} is {post.status} and went out {sent[post.id]} times" for post in bad)
        raise Refused(f"{len(posts) - len(bad)} of {len(posts)} posts went out once as they should: {told}.")
    if not as_json:
        print(f"\nAll {len(posts)} posts went out, each exactly once: {p50:.1f} ms late at p50, {most:.1f} ms at most.")
        print(_NEXT)


_NEXT = """
What to try next, in an empty folder:
  autoposter up                                                      the same, with its data kept
  autoposter accounts add stub --name Shop                           (in a second shell, in the same folder)
  autoposter schedule "We are open." --account Shop --in 10s
  autoposter posts list"""


def _show_log(folder: Path) -> None:
    with contextlib.suppress(OSError):
        lines = (folder / "up.log").read_text(encoding="utf-8", errors="replace").splitlines()
        print(*lines[-LOG_LINES:], sep="\n", file=sys.stderr)
