"""Getting a container ready: create, upload, ask for its state.  Publishes nothing, and goes on where it stopped.

    (nothing) --POST--> IN_PROGRESS --> FINISHED   ready: `publish` may use it, once
                             |--------> ERROR      by its code: another one, or the content is at fault
                             `--------> EXPIRED    after 24 h, never published: another one
    PUBLISHED: an earlier attempt has come through; `publish` looks for the post instead of sending

A container that may have been published is never replaced before the platform says that it was not.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
from pydantic import BaseModel

from autoposter.publishers import ContentRejected, Media, NotReady, Post, Transient

from . import containers
from .errors import SOON, TABLE
from .graph.client import Graph
from .graph.errors import GraphError, Row, look_up
from .models import kind_of

#: A container that is older has expired, if it was not published.
LIFE = timedelta(hours=24)

#: How often the state is asked for: a quarter of the container's age, within these.  Meta says once a minute.
SHORTEST_WAIT, LONGEST_WAIT = timedelta(seconds=3), timedelta(minutes=1)

UNREADABLE = "UNREADABLE"

#: Uploads of bytes fail now and then for good files.
UPLOAD = Row("Instagram could not take up the video's bytes.", Transient, Transient, tries=3)
#: A state `ERROR` whose code is not known.
UNKNOWN = Row("Instagram could not process the media.", Transient, Transient, tries=2)


class Container(BaseModel):
    """One container on the platform."""

    id: str
    created_at: datetime
    upload_to: str | None = None
    """Where its bytes go; None: the platform fetches the medium by itself."""
    begun: bool = False
    uploaded: bool = False
    ready: bool = False


class Prepared(BaseModel):
    """What is kept of a post between two calls.  No secrets."""

    creation: Container | None = None
    """The container that `publish` makes a post of."""
    children: list[Container | None] = []
    """Of a carousel, in the order of its media."""
    failures: dict[str, int] = {}
    """How often containers have failed, by reason."""
    published: bool = False
    """The platform said that the container is published."""

    def as_json(self) -> dict[str, Any]:
        """As it is kept in the row."""
        return self.model_dump(mode="json", exclude_defaults=True)


def state_of(graph: Graph, container_id: str) -> tuple[str, str]:
    """The state of a container and the platform's words on it; UNREADABLE where it is not, or is not shown."""
    try:
        found = graph.get(container_id, fields="status_code,status")
    except GraphError as error:
        if error.is_missing:
            return UNREADABLE, str(error)
        raise
    return str(found.get("status_code", "")), str(found.get("status", ""))


class Preparation:
    """One step of getting a post ready, from what was kept of the last."""

    def __init__(self, graph: Graph, user: str, post: Post, prepared: dict[str, Any], *, takes_bytes: bool) -> None:
        self._graph = graph
        self._user = user
        self._post = post
        self._takes_bytes = takes_bytes
        self._known = prepared
        self.kept = Prepared.model_validate(prepared)

    def go_on(self) -> dict[str, Any]:
        """Go on; what is ready.  Raises NotReady with all progress, or why it cannot go on."""
        try:
            self._finish(self._creation())
        except (GraphError, httpx2.TransportError, Transient):
            if self.kept.as_json() != self._known:  # what was done so far is kept first; the trouble comes again
                raise NotReady(self.kept.as_json(), timedelta(seconds=1)) from None
            raise
        return self.kept.as_json()

    # --- steps -------------------------------------------------------------------------------------------------------

    def _creation(self) -> Container:
        if self.kept.creation is None:
            kind = kind_of(self._post)
            if kind == "carousel":
                parameters = containers.carousel(self._post, self._children())
            else:
                parameters = containers.single(self._post, kind or "photo", takes_bytes=self._takes_bytes)
            self.kept.creation = self._create(parameters, self._forget_all)
        if len(self._post.media) == 1:
            self._upload(self.kept.creation, self._post.media[0], self._forget_all)
        return self.kept.creation

    def _children(self) -> list[str]:
        """The ids of the children, all ready."""
        media = self._post.media
        self.kept.children = (self.kept.children + [None] * len(media))[: len(media)]
        for place, medium in enumerate(media):
            child = self.kept.children[place]
            if child is None:
                parameters = containers.child(medium, takes_bytes=self._takes_bytes)
                child = self.kept.children[place] = self._create(parameters, self._forgetting(place))
            self._upload(child, medium, self._forgetting(place))
        waits = [self._wait_for_child(place, child) for place, child in enumerate(self.kept.children) if child]
        if longest := max(waits, default=timedelta(0)):
            raise NotReady(self.kept.as_json(), longest)
        return [child.id for child in self.kept.children if child]

    def _wait_for_child(self, place: int, child: Container) -> timedelta:
        """How long until the child is asked about again; 0: it is ready."""
        if child.ready:
            return timedelta(0)
        state, words = state_of(self._graph, child.id)
        child.ready = state == "FINISHED"
        if state in ("ERROR", "EXPIRED", "PUBLISHED"):
            self._failed(state, words, self._forgetting(place))
        return timedelta(0) if child.ready else _wait(child)

    def _finish(self, creation: Container) -> None:
        """Return when the container is ready, or published; raise NotReady while it is not."""
        state, words = state_of(self._graph, creation.id)
        if state in ("ERROR", "EXPIRED"):
            self._failed(state, words, self._forget_all)
        if state == UNREADABLE and self._post.attempted_at is not None:
            raise Transient(f"Instagram does not show the container that may have been published. {words}", SOON)
        if state == UNREADABLE and _age(creation) > LIFE:
            self._failed(state, words, self._forget_all)
        self.kept.published = state == "PUBLISHED"
        creation.ready = state in ("FINISHED", "PUBLISHED")
        if not creation.ready:
            raise NotReady(self.kept.as_json(), _wait(creation))

    # --- requests ----------------------------------------------------------------------------------------------------

    def _create(self, parameters: dict[str, str], forget: Callable[[], None]) -> Container:
        try:
            found = self._graph.post(f"{self._user}/media", parameters)
        except GraphError as error:
            row = look_up(error, TABLE)
            if row and row.tries is not None:
                self._again(row, str(error), forget)
            raise
        if not isinstance(found.get("id"), str):
            raise Transient("Instagram made a container and did not name it; it makes another one.")
        where = found.get("uri")
        if parameters.get("upload_type") and not isinstance(where, str):
            raise Transient("Instagram did not say where the bytes of the video go.")
        return Container(id=found["id"], created_at=datetime.now(UTC), upload_to=where)

    def _upload(self, container: Container, media: Media, forget: Callable[[], None]) -> None:
        if container.upload_to is None or container.uploaded:
            return
        if not media.size:
            raise ContentRejected("The size of the video is not known, so that it cannot be uploaded.")
        offset = self._arrived(container) if container.begun else 0
        container.begun = True
        if offset < media.size:
            with media.open() as stream:
                try:
                    self._graph.upload(container.upload_to, stream, offset=offset, size=media.size)
                except GraphError as error:
                    if error.code is None and not error.is_transient and error.status < 500:
                        self._again(UPLOAD, str(error), forget)
                    raise
        container.uploaded = True

    def _arrived(self, container: Container) -> int:
        """How many bytes of an upload that broke off have arrived."""
        status = self._graph.get(container.id, fields="status_code,status,video_status").get("video_status")
        phase = status.get("uploading_phase") if isinstance(status, dict) else None
        arrived = phase.get("bytes_transferred") if isinstance(phase, dict) else None
        return arrived if isinstance(arrived, int) else 0

    # --- failures ----------------------------------------------------------------------------------------------------

    def _failed(self, state: str, words: str, forget: Callable[[], None]) -> None:
        """A container failed: raises, by the code in the platform's words."""
        if state != "ERROR":
            forget()
            raise NotReady(self.kept.as_json(), timedelta(seconds=1))
        number = re.search(r"\b2207\d{3}\b", words)
        error = GraphError(words or "No reason is given", status=200, subcode=int(number[0]) if number else None)
        row = _by_subcode(error) or UNKNOWN
        if row.prepare is not Transient:
            raise row.prepare(f"{row.says} {error}")
        self._again(row, str(error), forget)

    def _again(self, row: Row, words: str, forget: Callable[[], None]) -> None:
        """Let another container be made; after `row.tries` of them the content is at fault.  Raises."""
        failed = self.kept.failures[row.says] = self.kept.failures.get(row.says, 0) + 1
        forget()
        if row.tries is not None and failed > row.tries:
            raise ContentRejected(f"{row.says} Tried {failed} times. {words}")
        raise NotReady(self.kept.as_json(), SOON * failed)

    def _forget_all(self) -> None:
        self.kept.creation = None
        self.kept.children = []

    def _forgetting(self, place: int) -> Callable[[], None]:
        def forget() -> None:
            self.kept.children[place] = None

        return forget


def _by_subcode(error: GraphError) -> Row | None:
    """A container's state tells a subcode without its code."""
    return next((row for row in TABLE if row.subcode is not None and row.subcode == error.subcode), None)


def _age(container: Container) -> timedelta:
    return datetime.now(UTC) - container.created_at


def _wait(container: Container) -> timedelta:
    return min(max(_age(container) / 4, SHORTEST_WAIT), LONGEST_WAIT)
