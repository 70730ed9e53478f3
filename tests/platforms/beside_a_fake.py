"""Processes of ours beside the fake of a real platform: the fault tests' world and machines, with posts of every kind.

A publisher as it is waits minutes before it believes that a post is not there.  `quick_publishers` brings the same one
with a shorter patience, as a plugin that the processes find.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import cycle
from pathlib import Path
from typing import Any

from faults.machines import Machines, OwnServers
from faults.world import World
from media_files import box
from platforms import quick_publishers
from platforms.stages import Stage

from autoposter.publishers import ContentRejected, Media, Post
from autoposter.testing import FakeServer, Rule
from autoposter.testing.rules import Script
from autoposter.testing.server import AcceptedPost


@dataclass(frozen=True)
class Beside:
    """A fake, as the machines and the judge of the fault tests know one."""

    fake: FakeServer
    posts: Callable[[], list[AcceptedPost]]
    """What the public can see."""

    @property
    def url(self) -> str:
        """Where it listens."""
        return self.fake.url

    def requests(self) -> list[dict[str, Any]]:
        """Every request, with what was replied."""
        return self.fake.requests

    def follow(self, *rules: Rule, seed: int = 0) -> None:
        """Replace the script; no rules: behave."""
        self.fake.script = Script(list(rules), seed)


class PlatformWorld(World):
    """A database and a fake that is running, with one account on it."""

    def __init__(self, database_url: str, stage: Stage, fake: FakeServer, folder: Path) -> None:
        quick_publishers.install(folder)
        self.stage = stage
        super().__init__(database_url, Beside(fake, self._effects), folder)  # type: ignore[arg-type]  # all that is asked
        self._fake = fake
        self._root = folder / "media"
        self._root.mkdir()
        self._accounts: list[int] = []
        stage.can_fetch(fake, self._served)

    @property
    def environment(self) -> dict[str, str]:
        """What its processes are told."""
        return super().environment | {
            "AUTOPOSTER_MEDIA_ROOT": str(self._root),
            "AUTOPOSTER_MEDIA_BASE_URL": "https://media.example",
            "AUTOPOSTER_MEDIA_ALLOW": "127.0.0.1",
        }

    def account(self, platform: str = "") -> int:
        """The one account."""
        if not self._accounts:
            made = self.rows.account(self.stage.platform, settings=dict(self._fake.settings))
            self._accounts.append(made)
            self.give(made, self._fake.credentials)
        return self._accounts[0]

    def give(self, account_id: int, credentials: Mapping[str, Any]) -> None:
        """Store these credentials, as `accounts reconnect` does."""
        written = self.keyring.encrypt(account_id, dict(credentials))
        self.rows.query("update channel_account set credentials = %s where id = %s", (written, account_id))

    def plan(self, kind: Post, **columns: Any) -> int:
        """A post of this kind, due now or when the columns say; its id."""
        reference = f"n{next(self._numbers)}"
        options = {self.stage.platform: kind.options.model_dump(mode="json", exclude_none=True)}
        caption = f"post {reference} {kind.caption}" if kind.caption else ""  # a story has none
        content = self.rows.content(caption=caption, link=kind.link, options=options)
        for position, media in enumerate(kind.media):
            source = self._source(media, reference, position)
            self.rows.media(content, position=position, kind=media.kind, source=source, alt_text=media.alt_text)
        given = {"channel_account_id": self.account(), "content_item_id": content, "reference": reference}
        return self.rows.post(**given | columns)

    def _source(self, media: Media, reference: str, position: int) -> str:
        """Where a medium is.  Its name and its end say whose it is, for platforms whose stories have no text."""
        name, content = self.stage.files[media.kind]
        try:
            media.public_url  # noqa: B018 # whether there is one
        except ContentRejected:
            return f"{self.platform.url}/house/{name}"  # a server that the platform cannot reach
        file = self._root / f"{reference}-{position}-{name}"
        file.write_bytes(content + box(b"free", f"#{reference}#".encode()))  # no viewer looks at what follows
        return file.name

    def _served(self, address: str) -> bytes | None:
        file = self._root / address.rpartition("/")[2]
        return file.read_bytes() if file.is_file() else None

    def _effects(self) -> list[AcceptedPost]:
        known = self.rows.query("select platform_post_id from post_instance where status = 'Posted'")
        return self.stage.effects(self._fake, {str(name) for (name,) in known})


class PlatformMachines(Machines):
    """Servers, workers and a scheduler, with one account on one platform."""

    world: PlatformWorld

    def __init__(self, servers: OwnServers, world: PlatformWorld) -> None:
        super().__init__(servers, world)
        self._kinds = cycle(world.stage.kinds.values())

    def account(self, platform: str = "") -> int:
        """The one account."""
        return self.world.account()

    def schedule(self, due: Sequence[float], what: str = "", platforms: Sequence[str] = ()) -> list[int]:
        """A post for each due time (seconds since 1970), of each kind in turn."""
        return [self._one(moment, kind) for moment, kind in zip(due, self._kinds, strict=False)]

    def plan(self, kind: Post, due: Sequence[float]) -> None:
        """Posts of this kind."""
        for moment in due:
            self._one(moment, kind)

    def _one(self, moment: float, kind: Post) -> int:
        return self.world.plan(kind, scheduled_for=datetime.fromtimestamp(moment, UTC))

    def state_of(self, status: str) -> list[tuple[int, str | None, str | None]]:
        """The posts with a status: id, the platform's id, last error."""
        return [
            (int(found[0]), found[1], found[2])
            for found in self.rows.query(
                "select id, platform_post_id, last_error from post_instance where status = %s order by id", (status,)
            )
        ]
