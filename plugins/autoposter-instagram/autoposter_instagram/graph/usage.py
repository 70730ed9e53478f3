"""What the usage headers say: how much of the platform's limits is used up, in percent, and how long to wait.

`X-App-Usage: {"call_count": 28, "total_time": 25, "total_cputime": 25}`
`X-Business-Use-Case-Usage: {"ID": [{"type": "pages", "call_count": 95, ..., "estimated_time_to_regain_access": 19}]}`
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any

#: At 100 the platform refuses; calling on while it does makes that longer.
NEARLY_USED_UP = 95  # percent

#: The windows are an hour long and roll; how fast they empty is not documented.
PAUSE = timedelta(minutes=5)

_HEADERS = ("X-App-Usage", "X-Business-Use-Case-Usage")
_SHARES = ("call_count", "total_time", "total_cputime")
_LONGEST = 60 * 24 * 365  # minutes


def regained_in(headers: Mapping[str, str]) -> timedelta | None:
    """The longest time that the platform estimates until it takes calls again; None: it does not say so."""
    minutes = max((_number(usage.get("estimated_time_to_regain_access")) for usage in _usages(headers)), default=0)
    return timedelta(minutes=min(minutes, _LONGEST)) if minutes > 0 else None


def pause_for(headers: Mapping[str, str]) -> timedelta | None:
    """How long to leave the platform alone because its limits are nearly used up; None: they are not."""
    used = max((_number(usage.get(share)) for usage in _usages(headers) for share in _SHARES), default=0)
    if used < NEARLY_USED_UP:
        return None
    return max(regained_in(headers) or PAUSE, PAUSE)


def _usages(headers: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    for name in _HEADERS:
        try:
            found = json.loads(headers.get(name, "{}"))
        except (ValueError, RecursionError):
            continue
        yield from _objects(found)


def _objects(found: object) -> Iterator[dict[str, Any]]:
    """The innermost objects: those that hold no other."""
    if isinstance(found, dict):
        nested = [value for value in found.values() if isinstance(value, dict | list)]
        if not nested:
            yield found
        found = nested
    if isinstance(found, list):
        for one in found:
            yield from _objects(one)


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else 0.0
