"""The versions of the Graph API, which are part of `api_url`, and when they end.

A version that has ended is not refused: the oldest living one answers in its place, without a word.
"""

from __future__ import annotations

import re
from datetime import date
from urllib.parse import urlsplit

#: When Meta ends a version; those that are not named here have no date yet.
ENDS = {
    "v20.0": date(2026, 9, 24),
    "v21.0": date(2027, 1, 21),
    "v22.0": date(2027, 5, 20),
    "v23.0": date(2027, 10, 8),
    "v24.0": date(2028, 2, 18),
    "v25.0": date(2028, 7, 29),
}

DEFAULT = "v25.0"


def version_of(api_url: str) -> str:
    """The version that an `api_url` names; empty where it names none."""
    last = urlsplit(api_url).path.rstrip("/").rpartition("/")[2]
    return last if re.fullmatch(r"v[0-9]{1,3}\.[0-9]{1,2}", last) else ""


def as_api_url(value: str) -> str:
    """An `api_url` without a slash at its end.  Raises ValueError where it is no address or names no version."""
    parts = urlsplit(value)
    if parts.scheme not in ("https", "http") or not parts.netloc or parts.query or parts.fragment:
        raise ValueError("it must be an address such as https://graph.facebook.com/v25.0")
    if not version_of(value):
        raise ValueError("it must end with the version of the API, such as https://graph.facebook.com/v25.0")
    return value.rstrip("/")
