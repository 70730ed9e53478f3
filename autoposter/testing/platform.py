"""A fake platform on a real socket, in a process of its own, with a script and a memory.

    with FakePlatform.started(record=tmp_path / "posts.jsonl") as platform:
        platform.follow(accept_then(Reply.RESET, times=1))
        ...
        assert len(platform.posts()) == 1

`python -m autoposter.testing.platform --port 0 --record FILE` starts it alone and prints its port.
The record has one line per post that the platform took, whatever it told the caller.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2

from autoposter.testing.rules import Rule
from autoposter.testing.server import AcceptedPost, PlatformServer

#: How long a started platform may take to name its port, in seconds.
START_SECONDS = 20


@dataclass(frozen=True, slots=True)
class FakePlatform:
    """A running fake platform."""

    url: str
    pid: int

    @classmethod
    @contextmanager
    def started(cls, record: Path | None = None) -> Iterator[FakePlatform]:
        """Start one in a process of its own; it ends with the block."""
        command = [sys.executable, "-m", "autoposter.testing.platform", "--port", "0", "--with-parent"]
        if record:
            command += ["--record", str(record)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True) as process:
            try:
                assert process.stdout is not None
                yield cls(f"http://127.0.0.1:{int(process.stdout.readline())}", process.pid)
            finally:
                process.kill()

    def follow(self, *rules: Rule, seed: int = 0) -> None:
        """Replace the script; no rules: behave."""
        self._post("script", {"rules": [rule.model_dump(mode="json") for rule in rules], "seed": seed})

    def configure(self, **settings: Any) -> None:
        """Replace the settings (`server.PlatformSettings`)."""
        self._post("settings", settings)

    def reset(self) -> None:
        """Forget posts, requests, script and settings.  The record file is left alone."""
        self._post("reset", {})

    def posts(self) -> list[AcceptedPost]:
        """Every effect, oldest first."""
        return [AcceptedPost(**post) for post in self._get("posts")]

    def requests(self) -> list[dict[str, Any]]:
        """Every request but the admin's, with what was replied."""
        requests: list[dict[str, Any]] = self._get("requests")
        return requests

    def _get(self, page: str) -> Any:
        return httpx2.get(f"{self.url}/admin/{page}", timeout=30, trust_env=False).raise_for_status().json()

    def _post(self, page: str, content: object) -> None:
        httpx2.post(f"{self.url}/admin/{page}", json=content, timeout=30, trust_env=False).raise_for_status()


def read_record(path: Path) -> list[AcceptedPost]:
    """The effects that a record file holds."""
    return [AcceptedPost(**json.loads(line)) for line in path.read_text(encoding="utf-8").splitlines()]


async def _serve(port: int, record: Path | None, *, with_parent: bool) -> None:
    print(await PlatformServer(record).start(port), flush=True)
    if with_parent:
        await asyncio.to_thread(sys.stdin.read)
    else:
        await asyncio.Event().wait()


def main() -> None:
    """Serve until killed."""
    parser = argparse.ArgumentParser(prog="autoposter.testing.platform", description="A fake platform for tests.")
    parser.add_argument("--port", type=int, default=0, help="0: any free one")
    parser.add_argument("--record", type=Path, help="one JSON line for each post taken")
    # A test that is killed cannot stop what it started; its end of the pipe closes all the same.
    parser.add_argument("--with-parent", action="store_true", help="end when standard input ends")
    arguments = parser.parse_args()
    asyncio.run(_serve(arguments.port, arguments.record, with_parent=arguments.with_parent))


if __name__ == "__main__":
    main()
