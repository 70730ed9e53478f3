"""What `prepare` has got ready: a cache in the post's row, whose loss costs lateness only."""

from __future__ import annotations

import json
from typing import Any

from autoposter.database import execute, single_statement


def keep(post_id: int, key: str, prepared: dict[str, Any]) -> None:
    """Keep what was prepared for this very content.  Two at once: the last one stays; either is usable."""
    with single_statement():
        execute(
            "update post_instance set prepared = %(prepared)s, prepared_key = %(key)s where id = %(id)s",
            {"id": post_id, "key": key, "prepared": json.dumps(prepared)},
        )
