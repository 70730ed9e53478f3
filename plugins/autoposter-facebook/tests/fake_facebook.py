"""A fake of the Graph API for one Page: the feed, photos, videos in pieces, reels, stories, listings."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from autoposter.testing import Answer, Request, route
from fake_graph import FakeGraph, Refusal, answers, graph_time, page_of, parameters, token_of

PAGE = "104200000000001"
OTHER_PAGE = "104200000000002"
PERSON = "7001"

#: So many bytes of a video are asked for at once.
PIECE = 100_000
LARGE_PIECE = 10_000_000
LIFE = timedelta(hours=24)


@dataclass
class Upload:
    """A photo or a video, as the platform keeps it."""

    id: str
    page: str
    edge: str
    made_at: datetime
    size: int | None = None
    arrived: int = 0
    used: bool = False
    alt_text: str = ""
    mark: str = ""
    """What stands at its end: `#...#`."""
    asked: int = 0
    refused: str = ""


@dataclass
class Shown:
    """What is known of a published post beside its text."""

    kind: str
    at: datetime
    arrived_at: float
    link: str = ""
    uploads: list[str] = field(default_factory=list)


class FakeFacebook(FakeGraph):
    """One Page, and the person who connected it."""

    credentials: Mapping[str, Any] = {"access_token": "the-right-token"}
    external_id = PAGE
    listing_lag = timedelta(seconds=5)

    def __init__(self) -> None:
        super().__init__()
        self.tokens = {"the-right-token": PAGE, "the-user-token": PERSON, "the-other-token": OTHER_PAGE}
        self.uploads: dict[str, Upload] = {}
        self.shown: dict[str, Shown] = {}
        self.asks_until_taken_up = 0
        """So often a video of a reel or story is still being taken up after its bytes have arrived."""
        self.pieces = 0
        self.fail_at_piece = 0
        """Which piece of a video meets trouble."""
        self.fail_at_photo = 0
        """Which photo meets trouble, once."""
        self.break_uploads_at: list[int] = []
        """Uploads break off when so many bytes have arrived."""
        self.refuses_repetition = False
        """Whether the same text twice in a row is refused, as the real one does."""

    @property
    def settings(self) -> Mapping[str, Any]:
        """The Page, and where it is."""
        return {**super().settings, "page_id": PAGE}

    def own(self, request: Request, page: str) -> None:
        """Refuse all tokens but the Page's own."""
        owner = self.owner(request)
        if owner == PERSON:
            raise Refusal(200, None, "A Page access token is required", 403)
        if owner != page:
            raise Refusal(100, 33, "Unsupported request: the object is missing")

    def show(self, request: Request, kind: str, text: str, *, id: str, link: str = "", uploads: list[str]) -> str:
        """Publish."""
        last = self.published()[-1:]
        if self.refuses_repetition and text and last and last[0].text == text:
            raise Refusal(506, None, "Duplicate status message")
        post = self.publish(text, id=id, media=len(uploads))
        self.shown[post.id] = Shown(kind, post.at, request.arrived_at, link, uploads)
        for name in uploads:
            self.uploads[name].used = True
        return post.id

    def next_id(self) -> str:
        return f"{PAGE}_{len(self.published()) + 1}"

    # --- feed and photos ---------------------------------------------------------------------------------------------

    @answers("POST /{version}/{page}/feed", publishing=True)
    def feed(self, request: Request, page: str) -> dict[str, Any]:
        self.own(request, page)
        given = parameters(request, {"message", "link", "attached_media", "published", "place", "tags", "fields"})
        photos = [one["media_fbid"] for one in json.loads(given.get("attached_media", "[]"))]
        if not (given.get("message") or given.get("link") or photos):
            raise Refusal(100, None, "One of message, link, attached_media is required")
        if given.get("link") and photos:
            raise Refusal(100, None, "link with attached_media")
        for photo in photos:
            self.usable(photo, page, "photos")
        kind = "photos" if photos else "link" if given.get("link") else "text"
        text, link = given.get("message", ""), given.get("link", "")
        made = self.show(request, kind, text, id=self.next_id(), link=link, uploads=photos)
        known = {"id": made, "permalink_url": self.permalink(made)}
        return {name: known[name] for name in given.get("fields", "id").split(",")}

    def usable(self, name: str, page: str, *edges: str) -> Upload:
        """An upload that no post has yet."""
        upload = self.uploads.get(name)
        if upload is None or upload.page != page or upload.edge not in edges:
            raise Refusal(100, None, "There is no such upload")
        if upload.used:
            raise Refusal(1, 1366051, "These photos were already posted")
        if self.now() - upload.made_at > LIFE:
            raise Refusal(100, None, "The upload has expired")
        return upload

    @answers("POST /{version}/{page}/photos")
    def photos(self, request: Request, page: str) -> dict[str, Any]:
        self.own(request, page)
        given = parameters(request, {"published", "alt_text_custom", "url", "caption"})
        if given.get("published") != "false":
            raise Refusal(100, None, "The tests publish photos by the feed only")
        if len(self.uploads) + 1 == self.fail_at_photo:
            self.fail_at_photo = 0
            raise Refusal(2, None, "Service temporarily unavailable", 500)
        content = request.files.get("source", b"")
        if not content:
            raise Refusal(324, None, "Missing or invalid image file")
        if len(content) > 10_000_000:
            raise Refusal(1, 1366046, "The photo is too large")
        alt_text = given.get("alt_text_custom", "")
        return {"id": self.take(page, "photos", alt_text=alt_text, mark=mark_of(content)).id}

    def take(self, page: str, edge: str, **facts: Any) -> Upload:
        upload = Upload(id=f"55{len(self.uploads) + 1:06}", page=page, edge=edge, made_at=self.now(), **facts)
        self.uploads[upload.id] = upload
        return upload

    # --- videos ------------------------------------------------------------------------------------------------------

    def finishing(self, request: Request) -> bool:
        """Whether a request publishes: the phases share one address."""
        return b"upload_phase=finish" in request.content[:10_000]

    def verb(self, request: Request) -> Any:
        """The `finish` of a video publishes, its other phases do not."""
        if request.method == "POST" and request.path.rpartition("/")[2] in ("videos", "video_reels", "video_stories"):
            return "publish" if self.finishing(request) else "other"
        return super().verb(request)

    @answers("POST /{version}/{page}/videos")
    def videos(self, request: Request, page: str) -> dict[str, Any]:
        self.own(request, page)
        told = {"upload_phase", "file_size", "upload_session_id", "start_offset", "title", "description"}
        given = parameters(request, told)
        phase = given.get("upload_phase")
        if phase == "start":
            upload = self.take(page, "videos", size=int(given["file_size"]))
            return {"video_id": upload.id, "upload_session_id": f"s{upload.id}", **self.wanted(upload)}
        upload = self.usable(given.get("upload_session_id", "")[1:], page, "videos")
        if phase == "transfer":
            return self.piece(request, upload, int(given["start_offset"]))
        if phase != "finish" or upload.arrived != upload.size:
            raise Refusal(100, None, "Not all bytes have arrived")
        self.show(request, "video", given.get("description", ""), id=upload.id, uploads=[upload.id])
        return {"success": True}

    def wanted(self, upload: Upload) -> dict[str, str]:
        size = upload.size or 0
        end = min(upload.arrived + (PIECE if size < LARGE_PIECE else LARGE_PIECE), size)
        return {"start_offset": str(upload.arrived), "end_offset": str(end)}

    def piece(self, request: Request, upload: Upload, offset: int) -> dict[str, Any]:
        self.pieces += 1
        if self.pieces == self.fail_at_piece:
            raise Refusal(2, None, "Service temporarily unavailable", 500)
        if offset != upload.arrived:
            refusal = Refusal(1, 1363037, "The offset is wrong")
            said = json.loads(refusal.answer.body)
            said["error"]["error_data"] = json.dumps(self.wanted(upload))  # a text, as is met with
            refusal.answer = Answer.json(400, said)
            raise refusal
        upload.arrived += len(request.files["video_file_chunk"])
        upload.mark = mark_of(request.files["video_file_chunk"])
        if upload.arrived > (upload.size or 0):
            raise Refusal(100, None, "More bytes than were announced")
        return self.wanted(upload)

    @answers("POST /{version}/{page}/video_reels")
    def video_reels(self, request: Request, page: str) -> dict[str, Any]:
        given = parameters(request, {"upload_phase", "video_id", "video_state", "description", "title"})
        if given.get("upload_phase") == "finish" and given.get("video_state") != "PUBLISHED":
            raise Refusal(100, None, "video_state")
        return self.film(request, page, "video_reels", given) or {"success": True}

    @answers("POST /{version}/{page}/video_stories")
    def video_stories(self, request: Request, page: str) -> dict[str, Any]:
        given = parameters(request, {"upload_phase", "video_id"})
        return self.film(request, page, "video_stories", given) or {"success": True, "post_id": 123}

    def film(self, request: Request, page: str, edge: str, given: Mapping[str, str]) -> dict[str, Any] | None:
        """The start of a reel or a story, or its finish (None)."""
        self.own(request, page)
        if given.get("upload_phase") == "start":
            upload = self.take(page, edge)
            return {"video_id": upload.id, "upload_url": f"{self.url}/video-upload/{self.version}/{upload.id}"}
        upload = self.usable(given.get("video_id", ""), page, edge)
        if given.get("upload_phase") != "finish" or upload.arrived != upload.size or upload.size is None:
            raise Refusal(100, None, "Not all bytes have arrived")
        kind = "reel" if edge == "video_reels" else "story"
        self.show(request, kind, given.get("description", ""), id=upload.id, uploads=[upload.id])
        return None

    @route("POST /video-upload/v25.0/{name}")
    def bytes_of_a_film(self, request: Request, name: str) -> Answer:
        upload = self.uploads[name]
        if not request.headers.get("authorization", "").startswith("OAuth ") or token_of(request) not in self.tokens:
            return Answer.json(401, {"debug_info": {"retriable": False, "type": "NotAuthorizedError", "message": "?"}})
        upload.size = int(request.headers["file_size"])
        if int(request.headers["offset"]) != upload.arrived:
            return Answer.json(400, {"debug_info": {"retriable": False, "type": "OffsetError", "message": "offset"}})
        if self.break_uploads_at:
            upload.arrived = self.break_uploads_at.pop(0)
            return Answer.json(500, {})
        upload.arrived += len(request.content)
        upload.mark = mark_of(request.content)
        return Answer.json(200, {"success": True})

    @answers("POST /{version}/{page}/photo_stories", publishing=True)
    def photo_stories(self, request: Request, page: str) -> dict[str, Any]:
        self.own(request, page)
        upload = self.usable(parameters(request, {"photo_id"}).get("photo_id", ""), page, "photos")
        made = self.show(request, "story", "", id=str(9000 + len(self.published())), uploads=[upload.id])
        return {"success": True, "post_id": int(made)}

    # --- reading -----------------------------------------------------------------------------------------------------

    def permalink(self, name: str) -> str:
        """Of a post whole, of a video without the site."""
        shown = self.shown[name]
        if shown.kind in ("video", "reel"):
            return f"/reel/{name}/"
        return f"https://facebook.com/stories/{name}" if shown.kind == "story" else f"https://www.facebook.com/{name}"

    @answers("GET /{version}/{node}")
    def node(self, request: Request, node: str) -> dict[str, Any]:
        fields = parameters(request, {"fields"}).get("fields", "id").split(",")
        owner = self.owner(request)
        if node == "me":
            names = {PAGE: "Café", OTHER_PAGE: "Bar", PERSON: "Ada"}
            return {"id": owner, "name": names[owner]}
        upload = self.uploads.get(node)
        if upload is None or upload.page != owner:
            raise Refusal(100, 33, "Unsupported get request: the object is missing")
        known = {
            "id": node,
            "status": self.status(upload),
            "published": upload.used,
            "permalink_url": self.permalink(node) if node in self.shown else None,
            "post_id": None,
        }
        if set(fields) - set(known):
            raise Refusal(100, None, "Tried accessing nonexisting field")
        return {name: known[name] for name in fields if known[name] is not None}

    def status(self, upload: Upload) -> dict[str, Any]:
        """The phases of a video."""
        upload.asked += 1
        is_there = upload.size is not None and upload.arrived == upload.size
        is_taken_up = is_there and upload.asked > self.asks_until_taken_up
        return {
            "video_status": "processing" if upload.used else "upload_complete" if is_taken_up else "uploading",
            "uploading_phase": {
                "status": "complete" if is_taken_up else "in_progress",
                "bytes_transfered": upload.arrived,
            },
            "processing_phase": {"status": "error", "error": {"message": upload.refused}}
            if upload.refused
            else {"status": "not_started"},
            "publishing_phase": {"publish_status": "published" if upload.used else "draft", "status": "not_started"},
        }

    @answers("GET /{version}/{page}/published_posts")
    def published_posts(self, request: Request, page: str) -> dict[str, Any]:
        self.own(request, page)
        given = parameters(request, {"fields", "limit", "after", "since"})
        posts = [post for post in self.listed() if self.shown[post.id].kind in ("text", "link", "photos")]
        posts = [post for post in posts if post.at.timestamp() >= float(given.get("since", "0"))]
        return page_of([self.row(post.id, post.text, post.at) for post in posts], given)

    def row(self, name: str, text: str, at: datetime) -> dict[str, Any]:
        shown = self.shown[name]
        attached: list[dict[str, Any]] = []
        if shown.link:
            attached = [{"unshimmed_url": shown.link, "url": f"https://l.facebook.com/l.php?u={shown.link}"}]
        if len(shown.uploads) == 1:
            attached = [{"target": {"id": shown.uploads[0]}}]
        if len(shown.uploads) > 1:
            several = [{"target": {"id": upload}} for upload in shown.uploads]
            attached = [{"target": {"id": "album"}, "subattachments": {"data": several}}]
        row = {"id": name, "created_time": graph_time(at), "permalink_url": self.permalink(name)}
        return row | ({"message": text} if text else {}) | ({"attachments": {"data": attached}} if attached else {})

    @answers("GET /{version}/{page}/stories")
    def stories(self, request: Request, page: str) -> dict[str, Any]:
        self.own(request, page)
        given = parameters(request, {"fields", "limit", "after"})
        posts = [post for post in self.listed() if self.shown[post.id].kind == "story"]
        rows = [
            {
                "post_id": post.id,
                "status": "PUBLISHED",
                "creation_time": str(int(post.at.timestamp())),
                "media_type": "photo",
                "media_id": self.shown[post.id].uploads[0],
                "url": self.permalink(post.id),
            }
            for post in posts
        ]
        return page_of(rows, given)

    @answers("GET /{version}/me/accounts")
    def accounts(self, request: Request) -> dict[str, Any]:
        if self.owner(request) != PERSON:
            raise Refusal(100, None, "Tried accessing nonexisting field (accounts) on node type (Page)")
        cafe = {"id": PAGE, "name": "Café", "access_token": "the-right-token", "tasks": ["CREATE_CONTENT", "MANAGE"]}
        bar = {"id": OTHER_PAGE, "name": "Bar", "access_token": "the-other-token", "tasks": ["MANAGE"]}
        read = {"id": "1042", "name": "Read only", "access_token": "the-third-token", "tasks": ["ANALYZE"]}
        return page_of([cafe, bar, read], request.query)

    @answers("GET /{version}/debug_token", token=False)
    def debug_token(self, request: Request) -> dict[str, Any]:
        if token_of(request) != "the-app|the-app-secret":
            raise Refusal(190, 467, "Invalid app access token")
        return {"data": self.debugged(parameters(request, {"input_token"})["input_token"])}

    def debugged(self, token: str) -> dict[str, Any]:
        scopes = ["pages_manage_posts", "pages_read_engagement", "pages_show_list"]
        kind = "USER" if self.tokens.get(token) == PERSON else "PAGE"
        is_valid = token in self.tokens and token not in self.expired
        ends_at = self.ends_at(token)
        return {"app_id": "the-app", "type": kind, "expires_at": ends_at, "is_valid": is_valid, "scopes": scopes}


def mark_of(content: bytes) -> str:
    """What stands at the end of a file between two #; empty: nothing."""
    found = re.search(rb"#(\w+)#$", content[-50:])
    return found[1].decode() if found else ""
