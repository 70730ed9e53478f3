"""Publishers for the fake platform, one for each delivery class: `fake_keyed`, `fake_findable`, `fake_blind`.

Written as a plugin author would: they declare only refusals whose words they know, and leave every other answer to
the core, which takes it for unknown.  Their deadlines are short, so that tests are.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

import httpx2
from pydantic import BaseModel, ConfigDict, SecretStr

from autoposter import hookimpl
from autoposter.publishers import (
    AccountCheck,
    AccountRejected,
    ContentRejected,
    Delivery,
    OutcomeUnknown,
    Post,
    Publisher,
    RateLimited,
    Receipt,
    Transient,
)

#: Clocks of the platform and of the database may differ so much; the window in which `find` looks is wider by it.
CLOCK_SLACK = timedelta(seconds=1)


class FakePublisher(Publisher):
    """What the three have in common."""

    publish_timeout = timedelta(seconds=2)
    find_after = timedelta(seconds=1)

    class Credentials(BaseModel):
        """Any token is taken, but for those the platform was told to refuse."""

        model_config = ConfigDict(extra="forbid")
        token: SecretStr

    class Settings(BaseModel):
        """Where the fake platform listens."""

        model_config = ConfigDict(extra="forbid")
        api_url: str

    def publish(self, post: Post, prepared: dict[str, Any]) -> Receipt:
        """Post the caption; the key goes along where the platform knows keys."""
        content = {"text": post.caption}
        if self.delivery is Delivery.KEYED:
            content["key"] = post.idempotency_key
        answer = self.http.post(f"{self._url}/posts", json=content, headers=self._headers)
        raise_if_refused(answer)
        return _receipt(answer.json())

    def check(self) -> AccountCheck:
        """Ask whose token it is."""
        answer = self.http.get(f"{self._url}/me", headers=self._headers)
        if answer.status_code == 401:
            return AccountCheck(ok=False, problem="The fake platform does not know this token.")
        answer.raise_for_status()
        return AccountCheck(ok=True, external_id=answer.json()["id"], name=answer.json()["name"])

    @property
    def _url(self) -> str:
        assert isinstance(self.account.settings, FakePublisher.Settings)
        return self.account.settings.api_url

    @property
    def _headers(self) -> dict[str, str]:
        assert isinstance(self.account.credentials, FakePublisher.Credentials)
        return {"Authorization": f"Bearer {self.account.credentials.token.get_secret_value()}"}


class FakeKeyed(FakePublisher):
    """Sends an idempotency key, which the platform honours even while the first request still runs."""

    platform = "fake_keyed"
    delivery = Delivery.KEYED


class FakeFindable(FakePublisher):
    """Looks its posts up in the account's listing."""

    platform = "fake_findable"
    delivery = Delivery.FINDABLE

    def find(self, post: Post, prepared: dict[str, Any]) -> Receipt | None:
        """By its exact text, since the first attempt."""
        since = (post.attempted_at or post.scheduled_for) - CLOCK_SLACK
        answer = self.http.get(
            f"{self._url}/posts", params={"since": str(since.timestamp())}, headers=self._headers
        ).raise_for_status()
        fitting = [found for found in answer.json()["posts"] if found["text"] == post.caption]
        if len(fitting) > 1:
            raise OutcomeUnknown(f"{len(fitting)} posts of this account have this text.")
        return Receipt(platform_post_id=fitting[0]["id"]) if fitting else None


class FakeBlind(FakePublisher):
    """Can do neither."""

    platform = "fake_blind"
    delivery = Delivery.BLIND


def raise_if_refused(answer: httpx2.Response) -> None:
    """Name the answers that prove that nothing was published.

    All others stay HTTP errors or nonsense, and so unknown: a 400 or a 502 may hide a post.
    """
    match answer.status_code, _error(answer):
        case 401, "token":
            raise AccountRejected("The fake platform no longer takes the token: reconnect the account.")
        case 422, "content":
            raise ContentRejected("The fake platform refuses the text.")
        case 429, "rate":
            raise RateLimited("The fake platform asks for a pause.", _retry_after(answer))
        case ((503 | 200), "later"):
            raise Transient("The fake platform is busy.", _retry_after(answer))
        case 200, "content":
            raise ContentRejected("The fake platform refuses the text.")
    answer.raise_for_status()


def _error(answer: httpx2.Response) -> str | None:
    try:
        content = answer.json()
    except ValueError:
        return None
    error = content.get("error") if isinstance(content, dict) else None
    return error if isinstance(error, str) else None


def _receipt(content: dict[str, Any]) -> Receipt:
    return Receipt(platform_post_id=content["id"], permalink=content["url"])


def _retry_after(answer: httpx2.Response) -> timedelta | None:
    given = answer.headers.get("Retry-After")
    if given is None:
        return None
    if given.isdigit():
        return timedelta(seconds=int(given))
    return parsedate_to_datetime(given) - datetime.now(UTC)


@hookimpl
def autoposter_publishers() -> Iterable[type[Publisher]]:
    """The three of them."""
    return [FakeKeyed, FakeFindable, FakeBlind]


def install(folder: Path) -> Path:
    """Lay a distribution that registers the three into `folder`; a process finds it with `folder` on its PYTHONPATH."""
    metadata = folder / "autoposter_fakes-0.1.0.dist-info"
    metadata.mkdir(parents=True, exist_ok=True)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: autoposter-fakes\nVersion: 0.1.0\n")
    (metadata / "entry_points.txt").write_text(f"[autoposter]\nfakes = {__name__}\n")
    return folder
