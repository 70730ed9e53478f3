"""The door for plugin authors.  Everything a publisher needs is imported from here."""

from autoposter.publishers.answers import json_object, retry_after
from autoposter.publishers.base import Delivery, Publisher
from autoposter.publishers.errors import (
    AccountRejected,
    ContentRejected,
    NotReady,
    OutcomeUnknown,
    PublishError,
    RateLimited,
    Transient,
)
from autoposter.publishers.pictures import PictureLimits
from autoposter.publishers.values import Account, AccountCheck, Choice, Media, Post, Receipt, Refreshed

__all__ = [
    "Account",
    "AccountCheck",
    "AccountRejected",
    "Choice",
    "ContentRejected",
    "Delivery",
    "Media",
    "NotReady",
    "OutcomeUnknown",
    "PictureLimits",
    "Post",
    "PublishError",
    "Publisher",
    "RateLimited",
    "Receipt",
    "Refreshed",
    "Transient",
    "json_object",
    "retry_after",
]
