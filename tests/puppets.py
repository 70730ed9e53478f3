"""Publishers that do what a test says, and remember what they were asked; and the bench they work at."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any, ClassVar

from cryptography.fernet import Fernet
from pydantic import BaseModel, ConfigDict, SecretStr

from autoposter.clock import Clock
from autoposter.credentials import Keyring
from autoposter.leases import Leases
from autoposter.lifecycle import RetryPolicy
from autoposter.media import MediaShelf
from autoposter.plugins import Host, NoPublisher
from autoposter.publishers import Account, AccountCheck, Delivery, Post, Publisher, Receipt
from autoposter.workbench import Workbench

POLICY = RetryPolicy(max_attempts=8, retry_base=timedelta(seconds=30), retry_cap=timedelta(minutes=15))
KEY = SecretStr(Fernet.generate_key().decode())


class Puppet(Publisher):
    """Publishes on a board in memory; `acts` replaces what its methods do."""

    platform = "puppet"
    delivery = Delivery.BLIND
    publish_timeout = timedelta(seconds=10)
    find_after = timedelta(seconds=60)

    acts: ClassVar[dict[str, Callable[..., Any]]] = {}
    """By method: what it does instead, called with the publisher and the post."""
    asked: ClassVar[list[str]] = []
    board: ClassVar[list[Post]] = []

    class Credentials(BaseModel):
        token: SecretStr = SecretStr("")

    class Settings(BaseModel):
        model_config = ConfigDict(extra="forbid")
        page: str = ""

    class Options(BaseModel):
        model_config = ConfigDict(extra="forbid")
        colour: str = ""

    def __init__(self, account: Account, http: Any) -> None:
        super().__init__(account, http)
        self._do("__init__", None, None)

    def _do(self, method: str, post: Post | None, otherwise: Any) -> Any:
        self.asked.append(method)
        act = self.acts.get(method)
        return act(self, post) if act else otherwise

    def validate(self, post: Post) -> Any:
        return self._do("validate", post, ())

    def prepare(self, post: Post, prepared: dict[str, Any]) -> Any:
        return self._do("prepare", post, {"made": post.caption})

    def publish(self, post: Post, prepared: dict[str, Any]) -> Any:
        done = self._do("publish", post, self)
        if done is not self:
            return done
        self.board.append(post)
        return Receipt(f"p{post.id}", f"https://example.org/{post.id}")


class Thrifty(Puppet):
    """Says when the platform should be left alone."""

    platform = "thrifty"

    def pause(self) -> Any:
        return self._do("pause", None, None)


class Checked(Puppet):
    """Can check its account."""

    platform = "checked"

    def check(self) -> Any:
        return self._do("check", None, AccountCheck(ok=True))


class Renewable(Checked):
    """Can refresh its token."""

    platform = "renewable"

    class Credentials(BaseModel):
        token: SecretStr
        refresh_token: SecretStr | None = None

    def refresh(self) -> Any:
        return self._do("refresh", None, None)


class Findable(Puppet):
    """Can look for its posts."""

    platform = "findable"
    delivery = Delivery.FINDABLE

    def find(self, post: Post, prepared: dict[str, Any]) -> Any:
        found = [shown for shown in self.board if shown.idempotency_key == post.idempotency_key]
        return self._do("find", post, Receipt(f"p{post.id}") if found else None)


class Keyed(Puppet):
    """Drops a second request with the same key."""

    platform = "keyed"
    delivery = Delivery.KEYED


class Forgetful(Keyed):
    """Remembers a key for five minutes."""

    platform = "forgetful"
    key_lasts = timedelta(minutes=5)


class ForgetfulFindable(Findable):
    """Remembers a key for five minutes, and can look for its posts."""

    platform = "forgetful_findable"
    delivery = Delivery.KEYED
    key_lasts = timedelta(minutes=5)


class BlindWithFind(Findable):
    """Has a `find` that must never be asked."""

    platform = "blind_with_find"
    delivery = Delivery.BLIND


KINDS = (Puppet, Thrifty, Checked, Renewable, Findable, Keyed, Forgetful, ForgetfulFindable, BlindWithFind)


class Troupe(Host):
    """A host that was told its publishers instead of finding them installed."""

    def publisher_for(self, platform: str) -> type[Publisher]:
        for kind in KINDS:
            if kind.platform == platform:
                return kind
        raise NoPublisher(f"No installed plugin publishes on {platform}; there are: puppets.")


def bench(worker: str = "w1", **changes: Any) -> Workbench:
    """Where attempts of this test are carried out; the puppets forget what they did."""
    Puppet.acts.clear()
    Puppet.asked.clear()
    Puppet.board.clear()
    given: dict[str, Any] = {
        "worker": worker,
        "host": Troupe(),
        "keyring": Keyring([KEY]),
        "shelf": MediaShelf(None, None),
        "policy": POLICY,
        "max_lateness": timedelta(hours=24),
        "clock": Clock(),
        "leases": Leases(),
    }
    return Workbench(**(given | changes))


def raises(error: BaseException | type[BaseException]) -> Callable[..., Any]:
    """An act that raises this."""

    def act(*_: Any) -> Any:
        raise error

    return act


def returns(value: Any) -> Callable[..., Any]:
    """An act that returns this."""
    return lambda *_: value
