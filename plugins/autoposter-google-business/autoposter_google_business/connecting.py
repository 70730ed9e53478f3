"""Whose credentials these are: the locations they lead to, and whether one of them may have posts.

Listing works where posting does not (the API of the posts is another one, and may not be enabled), so `check` asks that
one too.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any, Protocol

from autoposter.publishers import AccountCheck
from autoposter_google_business.settings import LocationSettings

#: The most that Google gives at once.
ACCOUNTS_A_PAGE = "20"
LOCATIONS_A_PAGE = "100"


class Get(Protocol):
    """Asks Google for a JSON object."""

    def __call__(self, url: str, **parameters: str) -> dict[str, Any]: ...


def locations(get: Get, settings: LocationSettings) -> Iterator[tuple[str, str]]:
    """The title and the full name, `accounts/../locations/..`, of every location that these credentials lead to.

    A location does not tell its account afterwards: the name is put together here.
    """
    for account in _all(get, f"{settings.accounts_url}/accounts", "accounts", pageSize=ACCOUNTS_A_PAGE):
        url = f"{settings.locations_url}/{account['name']}/locations"
        for location in _all(get, url, "locations", readMask="name,title", pageSize=LOCATIONS_A_PAGE):
            name = f"{account['name']}/{location['name']}"
            yield str(location.get("title") or name), name


def _all(get: Get, url: str, what: str, **parameters: str) -> Iterator[dict[str, Any]]:
    while True:
        page = get(url, **parameters)
        yield from page.get(what, [])
        if not page.get("nextPageToken"):
            return
        parameters["pageToken"] = str(page["nextPageToken"])


def check(get: Get, settings: LocationSettings, *, expires_at: datetime | None) -> AccountCheck:
    """Whether the location may have posts.  Raises what Google's refusals mean, and for any trouble."""
    own = "locations/" + settings.location.partition("/locations/")[2]
    location = get(f"{settings.locations_url}/{own}", readMask="name,title,metadata")
    if location.get("name") != own:
        raise ValueError("Google's answer does not name the location.")
    get(f"{settings.api_url}/{settings.location}/localPosts", pageSize="1")
    metadata = location.get("metadata", {})
    problem = None
    if metadata.get("canOperateLocalPost") is False:  # absent is not False
        problem = "Google lets this location have no posts (metadata.canOperateLocalPost is false)."
    elif metadata.get("hasVoiceOfMerchant") is False:
        problem = "The location is not verified, or suspended (metadata.hasVoiceOfMerchant is false)."
    return AccountCheck(
        ok=problem is None,
        external_id=settings.location,
        name=str(location.get("title") or settings.location),
        expires_at=expires_at,
        problem=problem,
    )
