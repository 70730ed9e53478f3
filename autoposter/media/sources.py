"""What the source of a medium is, and how a person is told of it."""

from __future__ import annotations

import re

#: Longer sources are cut where they are shown.
LONGEST_SHOWN = 200  # characters


def is_address(source: str) -> bool:
    """Whether a source is an address, and no path."""
    return re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", source) is not None


def shown(source: object) -> str:
    """A source in one line, without a query, which may hold a signature, and without a user's name and password."""
    text = str(source)
    if is_address(text):
        text = re.sub(r"//[^/]*@", "//", text.partition("?")[0])
    text = "".join(char if char.isprintable() else "?" for char in text)
    return text if len(text) <= LONGEST_SHOWN else text[: LONGEST_SHOWN - 1] + "…"
