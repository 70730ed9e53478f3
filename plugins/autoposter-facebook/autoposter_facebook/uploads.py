"""Getting media ready: photos that nobody sees, and videos that wait for their `finish`.  Publishes nothing.

A photo:           POST photos, published=false                          its id
A reel, a story:   POST start; the bytes, from where they stopped; its state until they are taken up
A video:           POST start; transfer, piece by piece as Facebook asks for them, until it asks for none

What Facebook forgets after a day is made anew after 20 hours.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, BinaryIO

import httpx2
from pydantic import BaseModel

from autoposter.publishers import ContentRejected, Media, NotReady, Post, Transient

from .graph.client import Graph, pieces, skip
from .graph.errors import GraphError
from .models import Kind, kind_of

#: What was uploaded is used before it is so old; Facebook keeps it for about 24 h.
KEPT = timedelta(hours=20)

#: How often the state of a video is asked for.
ASK_AGAIN = timedelta(seconds=5)

#: Edges of the Page where a video is begun and finished.
EDGES: dict[Kind, str] = {"reel": "video_reels", "story": "video_stories", "video": "videos"}

#: The subcode of an answer that says which piece of a video is wanted instead.
OTHER_PIECE = 1363037


class Upload(BaseModel):
    """A photo or a video on the platform that nobody sees."""

    id: str
    made_at: datetime
    session: str | None = None
    """Of a video in pieces."""
    upload_to: str | None = None
    """Where the bytes of a reel or a story go."""
    begun: bool = False
    begin: int = 0
    """Of a video in pieces: where the piece begins that is wanted next, in bytes."""
    end: int = 0
    """Where that piece ends; no further than its beginning: none is wanted."""
    ready: bool = False


class Prepared(BaseModel):
    """What is kept of a post between two calls.  No secrets."""

    uploads: list[Upload] = []
    """In the order of the post's media."""

    def as_json(self) -> dict[str, Any]:
        """As it is kept in the row."""
        return self.model_dump(mode="json", exclude_defaults=True)


class Preparation:
    """One step of getting a post's media ready, from what was kept of the last."""

    def __init__(self, graph: Graph, page: str, post: Post, prepared: dict[str, Any]) -> None:
        self._graph = graph
        self._page = page
        self._post = post
        self._known = prepared
        self.kept = Prepared.model_validate(prepared)

    def go_on(self) -> dict[str, Any]:
        """Go on; what is ready.  Raises NotReady with all progress, or why it cannot go on."""
        now = datetime.now(UTC)
        if any(now - upload.made_at > KEPT for upload in self.kept.uploads):
            self.kept.uploads = []
        try:
            for place, media in enumerate(self._post.media):
                self._make_ready(place, media)
        except (GraphError, httpx2.TransportError, Transient):
            if self.kept.as_json() != self._known:  # what was done so far is kept first; the trouble comes again
                raise NotReady(self.kept.as_json(), timedelta(seconds=1)) from None
            raise
        return self.kept.as_json()

    def _make_ready(self, place: int, media: Media) -> None:
        uploads = self.kept.uploads
        if place == len(uploads):
            uploads.append(self._photo(media) if media.kind == "image" else self._begin(media))
        upload = uploads[place]
        if not upload.ready and upload.session:
            self._transfer(upload, media)
        elif not upload.ready:
            self._send_bytes(upload, media)

    # --- photos ------------------------------------------------------------------------------------------------------

    def _photo(self, media: Media) -> Upload:
        parameters = {"published": "false"}
        if media.alt_text and kind_of(self._post) == "photos":
            parameters["alt_text_custom"] = media.alt_text
        with media.open() as stream:
            found = self._graph.send_file(
                f"{self._page}/photos", parameters, "source", pieces(stream), media.size, media.mime_type
            )
        return Upload(id=_id(found, "id"), made_at=datetime.now(UTC), ready=True)

    # --- videos ------------------------------------------------------------------------------------------------------

    def _begin(self, media: Media) -> Upload:
        if not media.size:
            raise ContentRejected("The size of the video is not known, so that it cannot be uploaded.")
        parameters = {"upload_phase": "start"}
        if kind_of(self._post) == "video":
            parameters["file_size"] = str(media.size)
        found = self._graph.post(f"{self._page}/{EDGES[kind_of(self._post)]}", parameters)
        session, where = found.get("upload_session_id"), found.get("upload_url")
        if not isinstance(session, str) and not isinstance(where, str):
            raise Transient("Facebook did not say where the bytes of the video go.")
        upload = Upload(id=_id(found, "video_id"), made_at=datetime.now(UTC), session=session, upload_to=where)
        if session:
            upload.begin, upload.end = _offset(found, "start_offset"), _offset(found, "end_offset")
        return upload

    def _send_bytes(self, upload: Upload, media: Media) -> None:
        """Send what has not arrived yet, and see it taken up."""
        status = self._status(upload) if upload.begun else {}
        if not upload.begun or not _is_taken_up(status):
            arrived = _arrived(status)
            upload.begun = True
            assert upload.upload_to is not None and media.size is not None
            if arrived < media.size:
                with media.open() as stream:
                    self._graph.upload(upload.upload_to, stream, offset=arrived, size=media.size)
            status = self._status(upload)
        upload.ready = _is_taken_up(status)
        if not upload.ready:
            raise NotReady(self.kept.as_json(), ASK_AGAIN)

    def _status(self, upload: Upload) -> dict[str, Any]:
        try:
            status = self._graph.get(upload.id, fields="status").get("status")
        except GraphError as error:
            if error.is_missing:  # a fresh video may not be shown yet
                raise Transient(f"Facebook does not show the video yet. {error}", ASK_AGAIN) from error
            raise
        status = status if isinstance(status, dict) else {}
        if refused := refused_because(status):
            raise ContentRejected(f"Facebook does not take the video: {refused}")
        return status

    def _transfer(self, upload: Upload, media: Media) -> None:
        """Send the pieces that Facebook asks for, until it asks for none."""
        while upload.begin < upload.end:
            with media.open() as stream:
                skip(stream, upload.begin)
                position = upload.begin
                while position == upload.begin < upload.end:  # else it asked for another place than that of the stream
                    position = upload.end
                    self._send_piece(upload, media, stream)
        upload.ready = True

    def _send_piece(self, upload: Upload, media: Media, stream: BinaryIO) -> None:
        """Send the piece that is wanted; which one is wanted next stands in `upload` then."""
        begin, size = upload.begin, upload.end - upload.begin
        parameters = {"upload_phase": "transfer", "upload_session_id": str(upload.session), "start_offset": str(begin)}
        try:
            found: dict[str, object] = self._graph.send_file(
                f"{self._page}/videos", parameters, "video_file_chunk", pieces(stream, size), size, media.mime_type
            )
        except GraphError as error:
            if error.subcode != OTHER_PIECE:
                raise
            found = error.data
        upload.begin, upload.end = _offset(found, "start_offset"), _offset(found, "end_offset")
        if begin >= upload.begin:
            raise Transient("Facebook wants a piece of the video again that it was sent.")


def _id(found: dict[str, Any], name: str) -> str:
    if not isinstance(found.get(name), str) or not found[name]:
        raise Transient("Facebook took the upload and did not name it; it is made again.")
    return str(found[name])


def _offset(found: dict[str, object], name: str) -> int:
    """Offsets come as texts."""
    try:
        return int(str(found.get(name)))
    except ValueError:
        raise Transient("Facebook did not say which piece of the video it wants next.") from None


# --- states ----------------------------------------------------------------------------------------------------------


def _phase(status: dict[str, Any], name: str) -> dict[str, Any]:
    phase = status.get(name)
    return phase if isinstance(phase, dict) else {}


def _is_taken_up(status: dict[str, Any]) -> bool:
    """Whether all bytes have arrived; what follows may go on after `finish`."""
    uploaded = _phase(status, "uploading_phase").get("status") in ("complete", "completed")
    return uploaded or status.get("video_status") in ("upload_complete", "processing", "ready")


def _arrived(status: dict[str, Any]) -> int:
    phase = _phase(status, "uploading_phase")
    arrived = phase.get("bytes_transfered", phase.get("bytes_transferred"))  # both are met with
    return arrived if isinstance(arrived, int) else 0


def refused_because(status: dict[str, Any]) -> str | None:
    """What is wrong with a video; a phase may say it while the whole still says `processing`."""
    for name in ("uploading_phase", "processing_phase", "publishing_phase"):
        phase = _phase(status, name)
        if phase.get("status") == "error" or isinstance(phase.get("error"), dict):
            error = phase.get("error")
            return str(error.get("message", name)) if isinstance(error, dict) else name
    failed = status.get("video_status") in ("error", "upload_failed", "expired")
    return str(status["video_status"]) if failed else None
