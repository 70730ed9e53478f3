"""What the tests beside processes of our own must know of a real platform, whichever it is."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from autoposter.publishers import Post
from autoposter.testing import FakeServer, Reply, Rule, accept_then, outage, refuse, slow
from autoposter.testing.rules import drop_unread, slow_to_publish
from autoposter.testing.server import AcceptedPost

#: What any platform does in a storm.
ANYWHERE = [
    slow(300, probability=0.1),
    slow_to_publish(700, probability=0.05),
    accept_then(Reply.RESET, probability=0.05),
    accept_then(Reply.TRUNCATE, probability=0.03),
    accept_then(Reply.SILENCE, probability=0.02),
    accept_then(Reply.CLOSE, probability=0.03),
    outage(probability=0.03),
    drop_unread(probability=0.02),
    Rule(on="other", reply=Reply.RESET, probability=0.03),
    refuse(200, "<html>", on="other", probability=0.02),
]


@dataclass(frozen=True)
class Stage:
    """One platform: its fake, posts of every kind, and its weather."""

    platform: str
    """What the publisher of `quick_publishers` calls it."""
    fake: Callable[[], FakeServer]
    """Makes one that lists new posts late."""
    kinds: Mapping[str, Post]
    sequences: Sequence[str]
    """The kinds whose requests differ from each other's; the one first that is always tried."""
    files: Mapping[str, tuple[str, bytes]]
    """By the kind of media, how a file is called and what is in it."""
    effects: Callable[[Any, Collection[str]], list[AcceptedPost]]
    """What the public can see on the fake, each with its text or, where it has none, that of its medium.

    It is told the ids that stand in the books: a post whose own id was not to be found out goes by another.
    """
    weather: Sequence[Rule]
    """What the platform does in a storm."""
    can_fetch: Callable[[Any, Callable[[str], bytes | None]], None] = lambda fake, served: None
    """Hands the fake what is served at the media's public addresses, where it looks at them."""
