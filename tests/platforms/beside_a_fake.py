"""Real workers beside the fake of a real platform: the fault tests' machines and judge, with posts of every kind.

A publisher as it is waits minutes before it believes that a post is not there.  `quick_publishers` brings the same one
with a shorter patience, as a plugin that the workers find.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import cycle
from pathlib import Path
from typing import Any

from faults.machines import Machines, OwnServers
from media_files import box
from platforms import quick_publishers

from autoposter.publishers import ContentRejected, Media, Post
from autoposter.testing import FakeServer, Rule
from autoposter.testing.rules import Script
from autoposter.testing.server import AcceptedPost


@dataclass(frozen=True)
class Beside:
    """A fake, as the machines and the judge of the fault tests know one."""

    fake: FakeServer
    effects: Callable[[], list[AcceptedPost]]

    @property
    def url(self) -> str:
        """Where it listens."""
        return self.fake.url

    def posts(self) -> list[AcceptedPost]:
        """What the public can see."""
        return self.effects()

    def requests(self) -> list[dict[str, Any]]:
        """Every request, with what was replied."""
        return self.fake.requests

    def follow(self, *rules: Rule, seed: int = 0) -> None:
        """Replace the script; no rules: behave."""
        self.fake.script = Script(list(rules), seed)


class PlatformMachines(Machines):
    """Servers, workers and a scheduler, with one account on one platform."""

    def __init__(
        self,
        servers: OwnServers,
        platform: Beside,
        folder: Path,
        name: str,
        kinds: Sequence[Post],
        files: Mapping[str, tuple[str, bytes]],
    ) -> None:
        """`files`: by the kind of media, how a file is called and what is in it."""
        quick_publishers.install(folder)
        super().__init__(servers, platform, folder)  # type: ignore[arg-type]  # all that they ask of a FakePlatform
        self.name = name
        self._kinds = cycle(kinds)
        self._files = files
        self._root = folder / "media"
        self._root.mkdir()
        self.processes.tell(
            AUTOPOSTER_MEDIA_ROOT=str(self._root),
            AUTOPOSTER_MEDIA_BASE_URL="https://media.example",
            AUTOPOSTER_MEDIA_ALLOW="127.0.0.1",
        )

    def account(self, platform: str = "") -> int:
        """The one account."""
        if self.name not in self._accounts:
            fake = self.platform.fake  # type: ignore[attr-defined]
            made = self.rows.account(self.name, settings=dict(fake.settings))
            self._accounts[self.name] = made
            self.give(made, fake.credentials)
        return self._accounts[self.name]

    def give(self, account_id: int, credentials: Mapping[str, Any]) -> None:
        """Store these credentials, as `accounts reconnect` does."""
        written = self.world.keyring.encrypt(account_id, dict(credentials))
        self.rows.query("update channel_account set credentials = %s where id = %s", (written, account_id))

    def schedule(self, due: Sequence[float], what: str = "", platforms: Sequence[str] = ()) -> list[int]:
        """A post for each due time (seconds since 1970), of each kind in turn."""
        return [self._one(moment, kind) for moment, kind in zip(due, self._kinds, strict=False)]

    def plan(self, kinds: Sequence[Post], due: Sequence[float]) -> None:
        """Posts of these kinds in turn."""
        for moment, kind in zip(due, cycle(kinds), strict=False):
            self._one(moment, kind)

    def _one(self, moment: float, kind: Post) -> int:
        reference = f"n{next(self._numbers)}"
        options = {self.name: kind.options.model_dump(mode="json", exclude_none=True)}
        caption = f"post {reference} {kind.caption}" if kind.caption else ""  # a story has none
        content = self.rows.content(caption=caption, link=kind.link, options=options)
        for position, media in enumerate(kind.media):
            source = self._source(media, reference, position)
            self.rows.media(content, position=position, kind=media.kind, source=source, alt_text=media.alt_text)
        due = datetime.fromtimestamp(moment, UTC)
        return self.rows.post(
            channel_account_id=self.account(), content_item_id=content, scheduled_for=due, reference=reference
        )

    def _source(self, media: Media, reference: str, position: int) -> str:
        """Where a medium is.  Its name and its end say whose it is, for platforms whose stories have no text."""
        name, content = self._files[media.kind]
        try:
            media.public_url  # noqa: B018 # whether there is one
        except ContentRejected:
            return f"{self.platform.url}/house/{name}"  # a server that the platform cannot reach
        file = self._root / f"{reference}-{position}-{name}"
        file.write_bytes(content + box(b"free", f"#{reference}#".encode()))  # no viewer looks at what follows
        return file.name

    def served(self, address: str) -> bytes | None:
        """What the platform finds at an address of the media's."""
        file = self._root / address.rpartition("/")[2]
        return file.read_bytes() if file.is_file() else None

    def state_of(self, status: str) -> list[tuple[int, str | None, str | None]]:
        """The posts with a status: id, the platform's id, last error."""
        return [
            (int(found[0]), found[1], found[2])
            for found in self.rows.query(
                "select id, platform_post_id, last_error from post_instance where status = %s order by id", (status,)
            )
        ]

    def requests_in_order(self) -> list[str]:
        """What reached the platform."""
        return [f"{one['method']} {one['path']}" for one in self.platform.requests()]
