"""Access tokens: each lasts an hour, is had for the refresh token, and is kept in this process's memory only.

`prepare` asks for one before the due time, since `publish` may make no request but the one that publishes.  Nothing of
it is stored: after a restart the next attempt asks for another.  The refresh token stays the same, so that there is
nothing that a publisher's `refresh` could renew: a new one takes a person's consent.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import httpx2
from pydantic import BaseModel, ConfigDict, Field, SecretStr

from autoposter.publishers import json_object
from autoposter_google_business.answers import token_refusal

#: So long a token lasts where Google does not say so.
USUAL_LIFE = timedelta(hours=1)

#: A token that lasts no longer than this is not begun with.
LEAST_LEFT = timedelta(minutes=5)


class OAuthClient(BaseModel):
    """An OAuth client of your Cloud project, and what its user's consent gave."""

    model_config = ConfigDict(extra="forbid")
    client_id: SecretStr = Field(description="of the OAuth client, step 4")
    client_secret: SecretStr = Field(description="of the OAuth client, step 4")
    refresh_token: SecretStr = Field(description="begins with 1//, step 6")


@dataclass(frozen=True, slots=True)
class Grant:
    """What the token endpoint gave."""

    access_token: str = field(repr=False)
    asked_at: float
    """On the monotonic clock, in seconds."""
    lasts: timedelta
    refresh_token_over_at: datetime | None
    """When the refresh token ends; None: Google does not say, so it lasts until it is revoked."""

    @property
    def left(self) -> timedelta:
        """How long the access token still lasts."""
        return self.lasts - timedelta(seconds=time.monotonic() - self.asked_at)


_Key = tuple[str, str, str, str]

#: By everything that decides whose it is, so that nobody ever posts with another's token.
_kept: dict[_Key, Grant] = {}

#: Whose last token Google did not take.
_doubted: set[_Key] = set()


class Tokens:
    """The access token of one account."""

    def __init__(self, url: str, credentials: OAuthClient) -> None:
        client_id, secret, refresh_token = (
            one.get_secret_value()
            for one in (credentials.client_id, credentials.client_secret, credentials.refresh_token)
        )
        self._key = (url, client_id, secret, refresh_token)

    def held(self) -> str | None:
        """The token that this process has, if it still lasts."""
        grant = _kept.get(self._key)
        return grant.access_token if grant and grant.left > timedelta(0) else None

    def have(self, http: httpx2.Client) -> str:
        """A token that lasts long enough to begin with, asked for where there is none.  Raises as `ask`."""
        grant = _kept.get(self._key)
        if grant is None or grant.left < LEAST_LEFT:
            grant = self.ask(http)
        return grant.access_token

    def ask(self, http: httpx2.Client) -> Grant:
        """Ask for a new one, and keep it.

        Raises AccountRejected where Google does not take the credentials, and Transient where it is in trouble.
        """
        url, client_id, secret, refresh_token = self._key
        form = {
            "grant_type": "refresh_token",
            "refresh_token": refresh_token,
            "client_id": client_id,
            "client_secret": secret,
        }
        asked_at = time.monotonic()
        answer = http.post(url, data=form)
        if error := token_refusal(answer):
            raise error
        said = json_object(answer)
        ends_in = _time(said.get("refresh_token_expires_in"))
        grant = Grant(
            access_token=str(said["access_token"]),
            asked_at=asked_at,
            lasts=_time(said.get("expires_in")) or USUAL_LIFE,
            refresh_token_over_at=datetime.now(UTC) + ends_in if ends_in else None,
        )
        _kept[self._key] = grant
        return grant

    def taken(self) -> None:
        """Google takes the token."""
        _doubted.discard(self._key)

    def refused(self, token: str) -> bool:
        """Google does not take this token: it is forgotten.  Whether that is the second one that it did not take.

        Two attempts whose token is taken back: the second finds it forgotten, or another in its place, which stays.
        """
        grant = _kept.get(self._key)
        if grant is None or grant.access_token != token:
            return False
        _kept.pop(self._key, None)
        doubted = self._key in _doubted
        _doubted.add(self._key)
        return doubted


def _time(seconds: object) -> timedelta | None:
    return timedelta(seconds=seconds) if isinstance(seconds, int | float) and 0 < seconds < 10**9 else None
