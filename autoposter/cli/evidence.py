"""What was kept of an attempt's calls and of the looks at it, told to a person: a line for each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from autoposter.cli.printing import plain

#: What stands in `publish_job.evidence`, in a person's words; all else is shown by its own name.
_WORDS = {
    "account_rejected": "the platform rejected the account's credentials",
    "last_look": "the last look",
    "other_receipts": "other receipts that came for it",
    "resolution": "a person said",
    "resolved_at": "resolved at",
    "resolved_by": "resolved by",
    "sent_again_at": "sent again, with the same key, at",
}


def evidence_lines(evidence: Mapping[str, Any]) -> Iterator[str]:
    """The calls first, then the looks, then the rest."""
    yield from _calls(evidence.get("calls"))
    for name in sorted((name for name in evidence if name.startswith("look_")), key=lambda name: (len(name), name)):
        look = evidence[name]
        calls = list(_calls(look.get("calls") if isinstance(look, dict) else None))
        yield f"look {plain(name.removeprefix('look_'))}: {'; '.join(calls) or 'nothing was asked'}"
    for name, value in evidence.items():
        if value and name not in ("calls", "worker") and not name.startswith("look_"):
            yield f"{_WORDS.get(name, plain(name))}" + ("" if value is True else f": {_told(name, value)}")


def _calls(calls: object) -> Iterator[str]:
    for call in calls if isinstance(calls, list) else ():
        if isinstance(call, dict):
            yield plain(_call(call))


def _call(call: Mapping[str, Any]) -> str:
    """`POST api.example/posts: 201 after 34 ms, request 4711`."""
    outcome = call.get("error") or call.get("status") or "no answer"
    took = "" if call.get("ms") is None else f" after {call['ms']} ms"
    request = f", request {call['request_id']}" if call.get("request_id") else ""
    return f"{call.get('method')} {call.get('host')}{call.get('path')}: {outcome}{took}{request}"


def _told(name: str, value: object) -> str:
    if isinstance(value, list):
        return plain(", ".join(map(str, value)))
    if name.endswith("_at") and isinstance(value, str):
        return precisely(datetime.fromisoformat(value))
    return plain(value)


def precisely(moment: datetime) -> str:
    """A moment in the user's own zone, to the millisecond."""
    local = moment.astimezone()
    return f"{local:%Y-%m-%d %H:%M:%S}.{local.microsecond // 1000:03} {local:%Z}"
