"""What a publisher raises; the core decides what follows.

PublishError
 |- Transient          refused for now, nothing was published: tried again
 |- RateLimited        too many calls: the account pauses
 |- AccountRejected    token expired or revoked, permission gone
 |- ContentRejected    the platform will never take this content
 |- OutcomeUnknown     it may have been published: found out, never blindly sent again
 `- NotReady           not an error: the platform still works on what `prepare` gave it

Anything else that leaves `publish()` counts as OutcomeUnknown.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any


class PublishError(Exception):
    """What a publisher says instead of returning a receipt.  `message` is shown to people: one clear sentence."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class Transient(PublishError):
    """Refused for now; nothing was published.  `retry_after` is believed up to one hour."""

    def __init__(self, message: str, retry_after: timedelta | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class RateLimited(PublishError):
    """Too many calls; nothing was published.  The account pauses for `retry_after`, believed up to one hour."""

    def __init__(self, message: str, retry_after: timedelta | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class AccountRejected(PublishError):
    """The platform no longer takes this account's credentials."""


class ContentRejected(PublishError):
    """The platform will never take this content."""


class OutcomeUnknown(PublishError):
    """It may have been published."""


class NotReady(PublishError):
    """`prepare` has begun, and the platform still works on it: ask again after `retry_after`.

    `prepared` is kept and handed to the next `prepare`.
    """

    def __init__(self, prepared: dict[str, Any], retry_after: timedelta) -> None:
        super().__init__("The platform is still preparing the media.")
        self.prepared = prepared
        self.retry_after = retry_after
