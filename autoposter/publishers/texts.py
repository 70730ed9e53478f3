"""Texts of publishers and platforms, made safe to keep and to show."""

from __future__ import annotations

import re
from collections.abc import Collection

from autoposter.redaction import Mask

#: Longer texts of publishers and platforms are cut.
LONGEST_TEXT = 2000  # characters


_ADDRESS = re.compile(r"""\b(https?://)([^\s/?#@'"<>]*@)?([^\s?#'"<>]*)(\?[^\s#'"<>]*)?""")


def without_queries(text: str) -> str:
    """A text whose web addresses have neither user names nor queries.

    Either may bear a token that is not among the credentials: one that was got with them a moment ago.  An
    `httpx2.HTTPStatusError` tells its whole address.
    """
    return _ADDRESS.sub(lambda found: found[1] + found[3] + ("?***" if found[4] else ""), text)


def clean(text: object, secrets: Collection[str] = (), limit: int = LONGEST_TEXT) -> str:
    """A text that PostgreSQL takes and a person may read: secrets masked, no NUL or lone surrogate, not too long."""
    try:
        said = str(text)
    except Exception:
        said = f"<{type(text).__name__} that cannot be shown>"
    # Masked before it is cut: half a secret would not be recognised.  And after NUL is gone, which may stand between
    # its characters.
    said = Mask(secrets).text(said.replace("\x00", "")).encode("utf-8", "replace").decode("utf-8")
    return said if len(said) <= limit else said[: limit - 1] + "…"
