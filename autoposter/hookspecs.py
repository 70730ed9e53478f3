"""The hooks that a plugin may implement.

A plugin is a module that a distribution names in the entry-point group `autoposter`.  It marks its functions with
`@hookimpl` and takes as many of a hook's arguments as it wants, by name.

Events are told after the commit, each implementation by itself, and best effort: an event may be lost, or come twice.
The tables are the truth.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import pluggy

if TYPE_CHECKING:  # `from autoposter import hookimpl` must not import more than pluggy
    from autoposter.publishers import Account, Post, Publisher, Receipt

PROJECT = "autoposter"

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@hookspec
def autoposter_publishers() -> Iterable[type[Publisher]]:
    """The publishers that this plugin brings: classes, one per platform.  Without I/O."""
    raise NotImplementedError  # a specification: never called


@hookspec
def autoposter_post_published(post: Post, receipt: Receipt) -> None:
    """A post is `Posted`."""


@hookspec
def autoposter_post_failed(post: Post, error: str) -> None:
    """A post is `Failed`, and this is why."""


@hookspec
def autoposter_post_unconfirmed(post: Post, error: str) -> None:
    """A post is `Unconfirmed`: nobody can tell whether it went out, and a person must look."""


@hookspec
def autoposter_post_missed(post: Post) -> None:
    """A post is `Missed`: it was found too late and never sent."""


@hookspec
def autoposter_account_disconnected(account: Account, error: str) -> None:
    """An account is `disconnected`: its platform no longer takes the credentials."""
