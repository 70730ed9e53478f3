"""Taking secrets out of texts, and which secrets this process has seen.

A line of the log may be written by a library or a plugin that knows nothing of secrets, and a stack trace shows what it
likes.  So the process remembers what it opened, and whatever writes a log or a trace asks `known` at the very end.
"""

from __future__ import annotations

import json
import threading
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from itertools import chain
from urllib.parse import quote, unquote, urlsplit

#: Shorter ones are no secrets; masking them would only make the rest illegible.
SHORTEST_SECRET = 4

#: Lines of a secret that has several (a private key) are masked by themselves from this length on.
SHORTEST_LINE = 16

#: So many credentials are remembered, those opened last: some times what a process works on at once.
REMEMBERED = 200

MASK = "***"


class Mask:
    """Replaces the secrets it was given, also where they are quoted for a URL or as JSON."""

    def __init__(self, secrets: Iterable[str]) -> None:
        self._forms = frozenset(form for secret in secrets for form in _forms(secret))

    def text(self, text: str) -> str:
        """`text`, with `***` for each secret."""
        return _masked(text, self._forms)

    def path(self, path: str) -> str:
        """A path, with `***` for each segment that contains a secret."""
        segments = self.text(path).split("/")
        return "/".join(MASK if MASK in self.text(unquote(segment)) else segment for segment in segments)


def _masked(text: str, forms: Iterable[str]) -> str:
    """The longest first: one secret may be the beginning of another."""
    for form in sorted((form for form in forms if form in text), key=len, reverse=True):
        text = text.replace(form, MASK)
    return text


def _forms(secret: str) -> frozenset[str]:
    return frozenset(form for form in _every_form(secret.strip()) if len(form) >= SHORTEST_SECRET)


def _every_form(secret: str) -> Iterator[str]:
    yield from (secret, quote(secret), quote(secret, safe=""))
    yield from (json.dumps(secret)[1:-1], repr(secret)[1:-1])
    if "\n" in secret:
        yield from (line for line in secret.splitlines() if len(line) >= SHORTEST_LINE)
    if "://" in secret:  # a webhook's address is a secret as a whole; a call has its parts
        yield urlsplit(secret).path.strip("/")


class Known:
    """The secrets that this process has seen."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._for_good: dict[str, frozenset[str]] = {}
        self._recent: OrderedDict[str, frozenset[str]] = OrderedDict()

    def keep(self, secrets: Iterable[str]) -> None:
        """Remember secrets for as long as the process lives: keys, passwords of servers."""
        with self._lock:
            self._for_good |= {secret: _forms(secret) for secret in secrets}

    def remember(self, secrets: Iterable[str]) -> None:
        """Remember secrets until `REMEMBERED` others have been seen since: an account's credentials."""
        with self._lock:
            for secret in secrets:
                if secret not in self._recent:
                    self._recent[secret] = _forms(secret)
                self._recent.move_to_end(secret)
            while len(self._recent) > REMEMBERED:
                self._recent.popitem(last=False)

    def text(self, text: str) -> str:
        """`text`, with `***` for each secret that is remembered."""
        with self._lock:
            groups = [*self._for_good.values(), *self._recent.values()]
        return _masked(text, chain.from_iterable(groups))


#: Of this process: a log line tells nobody whose it is.
known = Known()


def texts(value: object) -> Iterator[str]:
    """Every text in a JSON value: of credentials, each may be a secret."""
    match value:
        case dict():
            for inner in value.values():
                yield from texts(inner)
        case list():
            for inner in value:
                yield from texts(inner)
        case str() if value:
            yield value
