"""One attempt on Instagram.

FINDABLE: the container knows whether it was published.  The one irreversible call is `media_publish`; the container is
made before, up to an hour ahead, so that a reel goes out on the second.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from functools import cached_property
from typing import Any

import httpx2

from autoposter.publishers import (
    Account,
    AccountCheck,
    Choice,
    Delivery,
    OutcomeUnknown,
    Post,
    Publisher,
    Receipt,
    Refreshed,
)

from . import accounts, finding, models, rules
from .errors import TABLE
from .graph.client import Graph
from .graph.errors import GraphError, Stage, refusals
from .graph.versions import DEFAULT, ENDS
from .preparation import Preparation, Prepared


class Instagram(Publisher):
    """Publishes pictures, reels, stories and carousels."""

    platform = "instagram"
    delivery = Delivery.FINDABLE
    Credentials = models.Credentials
    Settings = models.Settings
    Options = models.Options
    setup = accounts.SETUP
    pictures = rules.PICTURES
    api_ends = ENDS[DEFAULT]
    publish_timeout = timedelta(seconds=60)
    find_after = timedelta(minutes=5)  # the listing's delay is not documented; 5 minutes are advised for reels
    prepare_ahead = timedelta(hours=1)  # a container lives for 24 h

    def __init__(self, account: Account, http: httpx2.Client) -> None:
        super().__init__(account, http)
        assert isinstance(account.settings, models.Settings) and isinstance(account.credentials, models.Credentials)
        self._settings, self._credentials = account.settings, account.credentials

    def validate(self, post: Post) -> Iterable[str]:
        """The limits of the platform that are known without asking it."""
        return rules.problems(post, takes_bytes=self._takes_bytes)

    def prepare(self, post: Post, prepared: dict[str, Any]) -> dict[str, Any]:
        """Make the container, upload what it needs, and see it finished."""
        step = Preparation(self._graph, self._user, post, prepared, takes_bytes=self._takes_bytes)
        with refusals(TABLE, Stage.PREPARE):
            return step.go_on()

    def publish(self, post: Post, prepared: dict[str, Any]) -> Receipt:
        """Publish the container, unless the platform said that it is published."""
        kept = Prepared.model_validate(prepared)
        if kept.creation is None:
            raise ValueError("There is no container to publish.")
        if kept.published:  # nothing is sent, and no trouble in looking means that nothing was
            return finding.published(self._graph, self._user, post, kept.creation.id)
        with refusals(TABLE, Stage.PUBLISH):
            found = self._graph.post(f"{self._user}/media_publish", {"creation_id": kept.creation.id})
        if not isinstance(found.get("id"), str) or not found["id"]:
            raise OutcomeUnknown("Instagram did not say which post it made.")
        return Receipt(found["id"], self._permalink(found["id"]))

    def _permalink(self, media_id: str) -> str | None:
        """Nice to have: no trouble with it may fail a post that is out."""
        try:
            permalink = self._graph.get(media_id, fields="permalink").get("permalink")
        except (GraphError, httpx2.HTTPError):
            return None
        return permalink if isinstance(permalink, str) and permalink.startswith("https://") else None

    def find(self, post: Post, prepared: dict[str, Any]) -> Receipt | None:
        """Ask the container, then the listing."""
        with refusals(TABLE, Stage.ASK):
            return finding.find(self._graph, self._user, post, prepared)

    def pause(self) -> timedelta | None:
        """By the usage headers of what was asked."""
        return self._graph.pause

    def check(self) -> AccountCheck:
        """Whose token it is, what it lacks, and when it expires."""
        return accounts.check(self._graph, self.http, self._settings, self._credentials)

    def choices(self) -> Iterable[Choice]:
        """The accounts of the Pages that a user's token leads to."""
        return [] if models.is_instagram_login(self._settings) else accounts.choices(self._graph, self._credentials)

    def refresh(self) -> Refreshed | None:
        """A token of Instagram Login for another 60 days."""
        return accounts.refresh(self.http, self._settings, self._credentials)

    @cached_property
    def _graph(self) -> Graph:
        """Made when it is needed: `validate` is asked without credentials."""
        secret = self._credentials.app_secret
        return Graph(
            self.http,
            self._settings.api_url,
            self._credentials.access_token.get_secret_value(),
            secret.get_secret_value() if secret and self._takes_bytes else None,
        )

    @property
    def _user(self) -> str:
        return self._settings.ig_user_id

    @property
    def _takes_bytes(self) -> bool:
        return not models.is_instagram_login(self._settings)
