"""One attempt on Facebook.

FINDABLE: uploads have ids that their post leads back to; texts and links are looked up in the Page's listing.  The one
irreversible call is the post of the feed, or the `finish` of a video, a reel or a story.
"""

from __future__ import annotations

import json
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
)

from . import accounts, finding, models, rules
from .errors import SAME, TABLE
from .graph.client import Graph
from .graph.errors import GraphError, Stage, refusals
from .graph.versions import DEFAULT, ENDS
from .models import kind_of, options_of
from .uploads import EDGES, Preparation, Prepared, Upload


class Facebook(Publisher):
    """Publishes texts, links, photos, videos, reels and stories of a Page."""

    platform = "facebook"
    delivery = Delivery.FINDABLE
    Credentials = models.Credentials
    Settings = models.Settings
    Options = models.Options
    setup = accounts.SETUP
    pictures = rules.PICTURES
    api_ends = ENDS[DEFAULT]
    publish_timeout = timedelta(seconds=60)
    find_after = timedelta(minutes=10)  # the listings' delay is not documented; 10 minutes are advised for videos
    prepare_ahead = timedelta(hours=1)  # what is uploaded lives for about 24 h

    def __init__(self, account: Account, http: httpx2.Client) -> None:
        super().__init__(account, http)
        assert isinstance(account.settings, models.Settings) and isinstance(account.credentials, models.Credentials)
        self._settings, self._credentials = account.settings, account.credentials

    def validate(self, post: Post) -> Iterable[str]:
        """The limits of the platform that are known without asking it."""
        return rules.problems(post)

    def prepare(self, post: Post, prepared: dict[str, Any]) -> dict[str, Any]:
        """Upload photos and videos where nobody sees them."""
        step = Preparation(self._graph, self._page, post, prepared)
        with refusals(TABLE, Stage.PREPARE):
            return step.go_on()

    def publish(self, post: Post, prepared: dict[str, Any]) -> Receipt:
        """Publish the post, or finish its video."""
        uploads = Prepared.model_validate(prepared).uploads
        if len(uploads) != len(post.media) or not all(upload.ready for upload in uploads):
            raise ValueError("Not all media are ready.")
        try:
            with refusals(TABLE, Stage.PUBLISH):
                if kind_of(post) in EDGES:
                    return self._finish(post, uploads[0])
                return self._to_the_feed(post, uploads)
        except Exception as error:
            if post.attempted_at is not None and _says_it_is_there(error.__cause__):
                raise OutcomeUnknown(f"An earlier attempt may have come through. {error}") from error
            raise

    def _to_the_feed(self, post: Post, photos: list[Upload]) -> Receipt:
        attached = json.dumps([{"media_fbid": photo.id} for photo in photos]) if photos else None
        given = {"message": post.caption, "link": post.link, "attached_media": attached}
        parameters = {name: value for name, value in given.items() if value}
        found = self._graph.post(f"{self._page}/feed", parameters, answer_with="id,permalink_url")
        if not isinstance(found.get("id"), str) or not found["id"]:
            raise OutcomeUnknown("Facebook did not say which post it made.")
        return Receipt(found["id"], finding.permalink(found.get("permalink_url")))

    def _finish(self, post: Post, upload: Upload) -> Receipt:
        if post.media[0].kind == "image":
            found = self._graph.post(f"{self._page}/photo_stories", {"photo_id": upload.id})
            return self._story(found)
        kind = kind_of(post)
        found = self._graph.post(f"{self._page}/{EDGES[kind]}", _finishing(post, upload))
        if found.get("success") is not True:
            raise OutcomeUnknown("Facebook did not say that it published the video.")
        return Receipt(upload.id, self._permalink(upload.id))

    def _story(self, found: dict[str, Any]) -> Receipt:
        if not isinstance(found.get("post_id"), str | int) or not found["post_id"]:
            raise OutcomeUnknown("Facebook did not say which story it made.")
        return Receipt(str(found["post_id"]))

    def _permalink(self, video_id: str) -> str | None:
        """Nice to have: no trouble with it may fail a post that is out."""
        try:
            return finding.permalink(self._graph.get(video_id, fields="permalink_url").get("permalink_url"))
        except (GraphError, httpx2.HTTPError):
            return None

    def find(self, post: Post, prepared: dict[str, Any]) -> Receipt | None:
        """By the ids of its media, or by its text."""
        with refusals(TABLE, Stage.ASK):
            return finding.find(self._graph, self._page, post, prepared)

    def pause(self) -> timedelta | None:
        """By the usage headers of what was asked."""
        return self._graph.pause

    def check(self) -> AccountCheck:
        """Whose token it is, what it lacks, and when it expires."""
        return accounts.check(self._graph, self.http, self._settings, self._credentials)

    def choices(self) -> Iterable[Choice]:
        """The Pages where a user's token may publish."""
        return accounts.choices(self._graph, self._credentials)

    @cached_property
    def _graph(self) -> Graph:
        """Made when it is needed: `validate` is asked without credentials."""
        secret = self._credentials.app_secret
        return Graph(
            self.http,
            self._settings.api_url,
            self._credentials.access_token.get_secret_value(),
            secret.get_secret_value() if secret else None,
        )

    @property
    def _page(self) -> str:
        return self._settings.page_id


def _finishing(post: Post, upload: Upload) -> dict[str, str]:
    """The parameters that publish a video."""
    parameters = {"upload_phase": "finish"}
    if kind_of(post) == "video":
        parameters["upload_session_id"] = str(upload.session)
    else:
        parameters["video_id"] = upload.id
    if kind_of(post) == "reel":
        parameters["video_state"] = "PUBLISHED"
    said = {"description": post.caption, "title": options_of(post).title}
    return parameters | {name: text for name, text in said.items() if text}


def _says_it_is_there(error: BaseException | None) -> bool:
    """Whether Facebook refuses it as something that it has."""
    return isinstance(error, GraphError) and ((error.code, None) in SAME or (None, error.subcode) in SAME)
