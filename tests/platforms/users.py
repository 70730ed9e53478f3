"""A user who types commands beside real workers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from factories import Factories
from processes import Processes, Running, wait_until


class User:
    """Types commands; `pytest -s` prints them with what was said."""

    def __init__(self, processes: Processes, rows: Factories, media: Path) -> None:
        self._processes = processes
        self._rows = rows
        processes.tell(AUTOPOSTER_MEDIA_ROOT=str(media), AUTOPOSTER_MEDIA_BASE_URL="https://media.example")

    def starts_workers(self) -> Running:
        """One worker with four threads, which is returned, and the scheduler."""
        self._processes.scheduler()
        return self._processes.worker()

    def types(self, *command: str, code: int = 0, **environment: str) -> str:
        """What `autoposter` answers, with this exit code."""
        running = self._processes.start("autoposter", *command, **environment)
        assert running.popen.wait(60) == code, running.output
        print(f"$ autoposter {' '.join(command)}\n{running.output}")
        return running.output

    def connects(
        self, platform: str, name: str, settings: Mapping[str, str], secrets: Mapping[str, str], *, code: int = 0
    ) -> str:
        """Connect an account, with the secrets in the environment; what is answered, with this exit code."""
        given = [f"{key}=env:{key.upper()}" for key in secrets] + [f"{key}={value}" for key, value in settings.items()]
        pairs = [word for pair in given for word in ("--set", pair)]
        environment = {key.upper(): value for key, value in secrets.items()}
        return self.types("accounts", "add", platform, "--name", name, *pairs, code=code, **environment)

    def schedules(self, account: str, caption: str, *words: str, **options: Mapping[str, Any]) -> int:
        """Schedule a post that is due in a second; its id."""
        asked = ["--options", json.dumps(options)] if options else []
        (said,) = json.loads(
            self.types("schedule", caption, "--account", account, "--in", "1s", "--json", *words, *asked)
        )
        return int(said["id"])

    def sees(self, post_id: int) -> dict[str, Any]:
        """What `posts show` says of it."""
        said: dict[str, Any] = json.loads(self.types("posts", "show", str(post_id), "--json"))["post"]
        return said

    def waits_for(self, post_id: int, status: str, seconds: float = 30) -> None:
        """Wait until a post has this status."""
        wait_until(lambda: self._of(post_id)["status"] == status, seconds, lambda: self._of(post_id))

    def _of(self, post_id: int) -> dict[str, Any]:
        return self._rows.row("post_instance", post_id)
