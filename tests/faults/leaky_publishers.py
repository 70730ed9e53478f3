"""A publisher that tells its token to everybody it meets.  Installed like any plugin."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from autoposter import hookimpl
from autoposter.publishers import (
    AccountCheck,
    ContentRejected,
    OutcomeUnknown,
    Post,
    Publisher,
    RateLimited,
    Receipt,
    Refreshed,
    Transient,
)
from autoposter.testing.publishers import FakeFindable

#: How it leaks, by a word in the post's text.
WAYS = ("refuse", "later", "slowly", "unknown", "crash", "chain", "exit", "prepare", "validate", "receipt")


class Leaky(FakeFindable):
    """Holds its token as plain text, and puts it into all it says."""

    platform = "leaky"

    class Credentials(BaseModel):
        """Not a SecretStr, as it should be."""

        model_config = ConfigDict(extra="forbid")
        token: str

    @property
    def _token(self) -> str:
        assert isinstance(self.account.credentials, Leaky.Credentials)
        return self.account.credentials.token

    @property
    def _headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self._token}"}

    def validate(self, post: Post) -> Iterable[str]:
        """Name the token in a reason."""
        logging.getLogger("leaky.library").debug("validates with %r, %s", self.account.credentials, self._token)
        if "validate" in post.caption and self._told:
            yield f"The token {self._token} does not allow this."

    @property
    def _told(self) -> bool:
        """Whether it has credentials: without them, when a post is scheduled, there is nothing to leak."""
        return hasattr(self.account.credentials, "token")

    def prepare(self, post: Post, prepared: dict[str, Any]) -> dict[str, Any]:
        """Fail with the token."""
        if "prepare" in post.caption:
            raise ValueError(f"cannot upload with {self._token}")
        return prepared

    def publish(self, post: Post, prepared: dict[str, Any]) -> Receipt:
        """Leak, each way in turn."""
        self.http.get(f"{self._url}/me?access_token={self._token}")
        said = f"{post.id} by {self._token}"
        match next((way for way in WAYS if way in post.caption), ""):
            case "refuse":
                raise ContentRejected(said)
            case "later" if post.attempted_at is None:
                raise Transient(said)
            case "slowly" if post.attempted_at is None:
                raise RateLimited(said)
            case "unknown":
                raise OutcomeUnknown(said)
            case "crash":
                raise RuntimeError(said, self.account, self._headers)
            case "chain":
                raise KeyError(self._token) from OSError(said)
            case "exit":
                raise SystemExit(said)
            case "receipt":
                return Receipt(f"receipt {said}", f"https://fake.example/{self._token}/{post.id}")
        return super().publish(post, prepared)

    def find(self, post: Post, prepared: dict[str, Any]) -> Receipt | None:
        """Fail with the token, or find nothing."""
        if "unknown" in post.caption:
            raise RuntimeError(f"cannot look with {self._token}")
        return super().find(post, prepared)

    def check(self) -> AccountCheck:
        """Call itself by its token."""
        return AccountCheck(ok=True, external_id=f"me {self._token}", name=self._token)

    def refresh(self) -> Refreshed | None:
        """Fail with the token."""
        raise RuntimeError(f"cannot refresh {self._token}")


@hookimpl
def autoposter_publishers() -> Iterable[type[Publisher]]:
    """The one."""
    return [Leaky]


def install(folder: Path) -> None:
    """Lay a distribution that registers it into `folder`."""
    metadata = folder / "autoposter_leaky-0.1.0.dist-info"
    metadata.mkdir(parents=True, exist_ok=True)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: autoposter-leaky\nVersion: 0.1.0\n")
    (metadata / "entry_points.txt").write_text(f"[autoposter]\nleaky = {__name__}\n")
