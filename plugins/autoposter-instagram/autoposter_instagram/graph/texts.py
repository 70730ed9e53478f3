"""Captions: how long they are, and whether a text that was read back is the one that was sent."""

from __future__ import annotations

import re
import unicodedata

#: Of a text that was changed on its way this much is compared.
BEGINNING = 100  # characters


def utf16_length(text: str) -> int:
    """Its length in UTF-16 units, never less than in characters: an emoji counts as two or more."""
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def normalised(text: str) -> str:
    """A text without what platforms change: composed characters, line ends, outer space, runs of blank lines."""
    text = unicodedata.normalize("NFC", text).replace("\r\n", "\n").replace("\r", "\n")
    text = re.sub(r"[^\S\n]+\n", "\n", text)
    return re.sub(r"\n{3,}", "\n\n", text).strip()


def begins_alike(one: str, other: str) -> bool:
    """Whether two texts have the same beginning."""
    return normalised(one)[:BEGINNING] == normalised(other)[:BEGINNING]
