"""What a token may do and when it ends, where the app's id and secret are known: `/debug_token`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import httpx2
from pydantic import SecretStr

from autoposter.publishers import json_object

from .client import as_error


@dataclass(frozen=True, slots=True)
class Token:
    """What the platform knows of a token."""

    is_valid: bool
    kind: str
    """`PAGE`, `USER`, ..."""
    expires_at: datetime | None
    """None: never."""
    scopes: frozenset[str]

    def lacks(self, needed: Iterable[str]) -> list[str]:
        """The permissions that it does not have."""
        return [scope for scope in needed if scope not in self.scopes]


def inspect(
    http: httpx2.Client, api_url: str, token: SecretStr, app_id: SecretStr | None, app_secret: SecretStr | None
) -> Token | None:
    """Ask what a token is; None: the app is not known.  Raises GraphError."""
    if not app_id or not app_secret:
        return None
    app = f"{app_id.get_secret_value()}|{app_secret.get_secret_value()}"
    answer = http.get(
        f"{api_url}/debug_token",
        params={"input_token": token.get_secret_value()},
        headers={"Authorization": f"Bearer {app}"},
    )
    found = json_object(answer)
    data = found.get("data")
    if not answer.is_success or not isinstance(data, dict):
        raise as_error(answer, found)
    return Token(
        is_valid=data.get("is_valid") is True,
        kind=str(data.get("type", "")),
        expires_at=_moment(data.get("expires_at")),
        scopes=frozenset(str(scope) for scope in _list(data.get("scopes"))),
    )


def _moment(value: object) -> datetime | None:
    return datetime.fromtimestamp(value, UTC) if isinstance(value, int) and value > 0 else None


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []
