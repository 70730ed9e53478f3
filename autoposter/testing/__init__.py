"""What plugin authors test with: the conformance suite, and tools to write a fake of a platform.

Needs the extra `testing`, which brings pytest.  Never imported by the rest of autoposter.
"""

from typing import TYPE_CHECKING, Any

from autoposter.testing.examples import make_account, make_media, make_post
from autoposter.testing.fake import FakeServer, Platform, Published, publishes, route
from autoposter.testing.rules import Reply, Rule, accept_then, accept_then_answer, outage, refuse, slow
from autoposter.testing.serving import Answer, Request

if TYPE_CHECKING:
    from autoposter.testing.conformance import PublisherConformance
    from autoposter.testing.lab import Lab

__all__ = [
    "Answer",
    "FakeServer",
    "Lab",
    "Platform",
    "Published",
    "PublisherConformance",
    "Reply",
    "Request",
    "Rule",
    "accept_then",
    "accept_then_answer",
    "make_account",
    "make_media",
    "make_post",
    "outage",
    "publishes",
    "refuse",
    "route",
    "slow",
]


def __getattr__(name: str) -> Any:
    """The suite is imported when it is asked for: it needs pytest, and a fake platform by itself does not."""
    if name == "PublisherConformance":
        from autoposter.testing.conformance import PublisherConformance

        return PublisherConformance
    if name == "Lab":
        from autoposter.testing.lab import Lab

        return Lab
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
