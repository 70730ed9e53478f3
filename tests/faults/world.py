"""A database, a fake platform and processes on them: what the fault tests begin with, and their common end."""

from __future__ import annotations

import itertools
import secrets
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from cryptography.fernet import Fernet
from factories import Factories
from faults.checker import Report, check
from faults.forge import Forge, Order, Ran
from pydantic import SecretStr

from autoposter import database as pool
from autoposter.credentials import Keyring
from autoposter.store import books
from autoposter.testing import publishers
from autoposter.testing.platform import FakePlatform

#: How long a healthy process may take to settle what the others left, in seconds: lease, absence and retries.
RECOVERY_SECONDS = 60


@dataclass
class World:
    """Accounts and posts on the fake platform, and who works on them."""

    database_url: str
    platform: FakePlatform
    folder: Path
    key: str = field(default_factory=lambda: Fernet.generate_key().decode())
    _taken_back: set[int] = field(default_factory=set)
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def __post_init__(self) -> None:
        publishers.install(self.folder)
        self.rows = Factories(self.database_url)
        self.keyring = Keyring([SecretStr(self.key)])

    @property
    def environment(self) -> dict[str, str]:
        """What its processes are told."""
        return {"AUTOPOSTER_DATABASE_URL": self.database_url, "AUTOPOSTER_SECRET_KEYS": self.key}

    def account(self, platform: str) -> int:
        """A connected account on the fake platform, with a token of its own."""
        account_id = self.rows.account(platform, settings={"api_url": self.platform.url})
        credentials = self.keyring.encrypt(account_id, {"token": secrets.token_hex(8)})
        self.rows.query("update channel_account set credentials = %s where id = %s", (credentials, account_id))
        return account_id

    def post(self, account_id: int, due_in: float = 0.0, text: str = "", **columns: Any) -> int:
        """A post whose text names it, with something behind.  `due_in`: seconds."""
        reference = f"{account_id}-{next(self._numbers)}"
        content = self.rows.content(caption=f"post {reference} {text}".rstrip())
        return self.rows.post(
            timedelta(seconds=due_in),
            channel_account_id=account_id,
            content_item_id=content,
            reference=reference,
            **columns,
        )

    def post_of(self, ran: Ran) -> int:
        """Which post an order was about."""
        if ran.order.do != "look":
            return ran.order.what
        found = self.rows.query("select post_instance_id from publish_job where id = %s", (ran.order.what,))
        return int(found[0][0])

    def is_promised(self, post_id: int) -> bool:
        """Whether an intent for it is in the books."""
        found = self.rows.query(
            "select exists (select from publish_job where post_instance_id = %s and intent_at is not null)", (post_id,)
        )
        return bool(found[0][0])

    def taken_back(self, post_id: int, change: str) -> None:
        """Have its owner change a post that nothing was promised of yet, so that it must not go out."""
        changed = self.rows.query(
            f"update post_instance set {change} where id = %s and status = 'Scheduled' returning id",  # noqa: S608
            (post_id,),
        )
        assert changed, f"post {post_id} is not Scheduled any more"
        self._taken_back.add(post_id)

    def job_of(self, post_id: int) -> int:
        """The latest job of a post."""
        found = self.rows.query("select max(id) from publish_job where post_instance_id = %s", (post_id,))
        return int(found[0][0])

    def expire_leases(self) -> None:
        """Let ten seconds pass for the dead."""
        self.rows.query(
            "update publish_job set lease_until = now() - interval '1 s' where lease_until is not null"
            " and status in ('running', 'unknown')"
        )

    def recover(self, forge: Forge, seconds: int = RECOVERY_SECONDS, **without: Any) -> None:
        """Have a process settle everything: a healthy one, but for the safeguards that it is `without`."""
        ran = forge.run(Order("recover", seconds, **without))
        assert ran.ended == 0, ran.trace

    def audit(self) -> list[books.Finding]:
        """What `autoposter audit` says."""
        pool.connect_to(self.database_url)
        try:
            return books.audit()
        finally:
            pool.database.close_all()

    def check(self) -> Report:
        """What the judge says."""
        return check(self.database_url, self.platform.posts(), taken_back=self._taken_back)
