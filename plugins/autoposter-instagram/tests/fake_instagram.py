"""A fake of Instagram's content publishing: containers with states, one publish each, listings, quota."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from autoposter.testing import Answer, Published, Request, route
from fake_graph import FakeGraph, Medium, Refusal, answers, as_list, graph_time, only, page_of, parameters, token_of

USER = "17841400000000000"
OTHER_USER = "17841499999999999"

MEDIA = {"image_url", "video_url", "upload_type"}
SHARED = {"media_type", "caption", "alt_text", "location_id", "user_tags", "collaborators"}
CREATE = MEDIA | SHARED | {"is_carousel_item", "children", "share_to_feed", "cover_url", "thumb_offset"}

MOST_CONTAINERS = 400
LIFE = timedelta(hours=24)


@dataclass
class Container:
    """One container, as the platform keeps it."""

    id: str
    user: str
    kind: str
    caption: str
    created_at: datetime
    is_child: bool
    children: list[str] = field(default_factory=list)
    asked: int = 0
    failed: str = ""
    about: str = ""
    """What its medium's name begins with."""
    published: bool = False
    bytes_wanted: bool = False
    arrived: int = 0
    size: int | None = None


class FakeInstagram(FakeGraph):
    """One professional account, connected by Facebook Login."""

    credentials: Mapping[str, Any] = {"access_token": "the-right-token"}
    external_id = USER
    listing_lag = timedelta(seconds=5)

    def __init__(self) -> None:
        super().__init__()
        self.tokens = {"the-right-token": USER, "the-fresh-token": USER, "the-other-token": OTHER_USER}
        self.users = {"the-user-token"}
        self.containers: dict[str, Container] = {}
        self.asks_until_finished = 1
        """So often a container says IN_PROGRESS before it is FINISHED."""
        self.takes_until_finished: dict[str, timedelta] = {}
        """How long the platform works on a container, by its kind."""
        self.quota = 50
        self.most_containers = MOST_CONTAINERS
        self.arrived: dict[str, float] = {}
        """When the request for each post arrived."""
        self.kinds: dict[str, str] = {}
        """The kind of each published post, by its id."""
        self.tidy: Callable[[str], str] = lambda text: text
        """What the platform makes of a caption."""
        self.hides_every = 0
        """Of the questions for a container, each of this number is not answered; 0: none."""
        self.reads = 0
        self.hidden = False
        """Whether containers cannot be read, as once for days on the real one."""
        self.break_uploads_at: list[int] = []
        """Uploads break off when so many bytes have arrived."""

    @property
    def settings(self) -> Mapping[str, Any]:
        """The account, and where it is."""
        return {**super().settings, "ig_user_id": USER}

    # --- containers --------------------------------------------------------------------------------------------------

    @answers("POST /{version}/{user}/media")
    def create(self, request: Request, user: str) -> dict[str, Any]:
        self.own(request, user)
        given = parameters(request, CREATE)
        lately = [one for one in self.containers.values() if self.now() - one.created_at < LIFE and one.user == user]
        if len(lately) >= self.most_containers:
            raise Refusal(9, 2207042, "Too many containers")
        kind = self.kind(given)
        container = Container(
            id=f"1788{len(self.containers) + 1:010}",
            user=user,
            kind=kind,
            caption=given.get("caption", ""),
            created_at=self.now(),
            is_child=given.get("is_carousel_item") == "true",
        )
        self.take_in(container, given)
        self.containers[container.id] = container
        if container.bytes_wanted:
            return {"id": container.id, "uri": f"{self.url}/ig-api-upload/{self.version}/{container.id}"}
        return {"id": container.id}

    def kind(self, given: dict[str, str]) -> str:
        """What a container would be; refuses what it cannot be."""
        asked, is_child = given.get("media_type"), given.get("is_carousel_item") == "true"
        if asked not in (None, "REELS", "STORIES", "VIDEO", "CAROUSEL"):
            raise Refusal(100, 2207023, "Unknown media type")
        if asked == "VIDEO" and not is_child:
            raise Refusal(100, 2207023, "VIDEO is for carousels only")
        if is_child and (asked in ("REELS", "STORIES", "CAROUSEL") or "caption" in given or "location_id" in given):
            raise Refusal(100, None, "Not for a child")
        if asked == "STORIES" and "caption" in given:
            raise Refusal(100, None, "A story has no caption")
        if "alt_text" in given and ("image_url" not in given or asked == "STORIES"):
            raise Refusal(100, None, "alt_text is for images")
        if len(MEDIA & set(given)) != (asked != "CAROUSEL"):
            raise Refusal(100, None, "Exactly one of image_url, video_url, upload_type")
        caption = given.get("caption", "")
        too_many = len(re.findall(r"#\w", caption)) > 30 or len(re.findall(r"@\w", caption)) > 20
        if len(caption) > 2200 or too_many:
            raise Refusal(36004, 2207010, "The caption was too long")
        return asked or "IMAGE"

    def take_in(self, container: Container, given: dict[str, str]) -> None:
        """Fetch what the container is about; refuses bad media."""
        container.about = Medium(given.get("image_url") or given.get("video_url") or "").post
        if container.kind == "CAROUSEL":
            container.children = as_list(given.get("children", ""))
            self.look_at_children(container)
        elif "upload_type" in given:
            container.bytes_wanted = True
        elif "image_url" in given:
            self.fetch_picture(Medium(given["image_url"]), container.kind)
            if container.kind not in ("IMAGE", "STORIES"):
                raise Refusal(100, None, "A picture is no reel")
        else:
            self.fetch_film(Medium(given["video_url"]))
            if container.kind == "IMAGE":
                raise Refusal(100, 2207023, "A video without media_type")
        if "user_tags" in given and not all(tag["username"] for tag in json.loads(given["user_tags"])):
            raise Refusal(100, 2207040, "Bad tags")

    def look_at_children(self, carousel: Container) -> None:
        if not 2 <= len(carousel.children) <= 10:
            raise Refusal(100, 2207028, "A carousel takes 2 to 10")
        for name in carousel.children:
            child = self.containers.get(name)
            if child is None or child.user != carousel.user or not child.is_child:
                raise Refusal(24, 2207006, "No such child")
            if self.state(child) != "FINISHED":
                raise Refusal(9007, 2207027, "A child is not ready")

    def fetch_picture(self, picture: Medium, kind: str) -> None:
        if not picture.is_public or not picture.mime_type.startswith("image/"):
            raise Refusal(9004, 2207052, "Only photo or video can be accepted as media type")
        if picture.mime_type != "image/jpeg":
            raise Refusal(36001, 2207005, "The image format is not supported")
        if picture.bytes > 8 * 1024 * 1024:
            raise Refusal(36000, 2207004, "The image is too large")
        if kind != "STORIES" and not 0.8 <= picture.width / picture.height <= 1.91:
            raise Refusal(36003, 2207009, "The aspect ratio is not supported")

    def fetch_film(self, film: Medium) -> None:
        if not film.is_public or not film.mime_type.startswith("video/"):
            raise Refusal(9004, 2207052, "Only photo or video can be accepted as media type")

    @route("POST /ig-api-upload/v25.0/{name}")
    def upload(self, request: Request, name: str) -> Answer:
        container = self.containers[name]
        if not request.headers.get("authorization", "").startswith("OAuth ") or token_of(request) not in self.tokens:
            return Answer.json(401, {"debug_info": {"retriable": False, "type": "NotAuthorizedError", "message": "?"}})
        if self.instead["upload"]:
            return self.instead["upload"].pop(0)
        container.size = int(request.headers["file_size"])
        if int(request.headers["offset"]) != container.arrived:
            return Answer.json(400, {"debug_info": {"retriable": False, "type": "OffsetError", "message": "offset"}})
        if self.break_uploads_at:
            container.arrived = self.break_uploads_at.pop(0)
            return Answer.json(500, {})
        container.arrived += len(request.content)
        if container.arrived != container.size:
            return Answer.json(400, {"debug_info": {"retriable": False, "type": "SizeError", "message": "size"}})
        return Answer.json(200, {"success": True, "message": "Upload successful."})

    def state(self, container: Container) -> str:
        """Its state, at this moment."""
        if container.published:
            return "PUBLISHED"
        if self.now() - container.created_at > LIFE:
            return "EXPIRED"
        if container.failed:
            return "ERROR"
        waits = container.asked <= self.asks_until_finished
        waits |= self.now() - container.created_at < self.takes_until_finished.get(container.kind, timedelta(0))
        waits |= container.bytes_wanted and container.arrived != container.size
        return "IN_PROGRESS" if waits else "FINISHED"

    @answers("GET /{version}/{node}")
    def node(self, request: Request, node: str) -> dict[str, Any]:
        given = parameters(request, {"fields"})
        if node == "me":
            return self.me(request, given.get("fields", ""))
        if node in (USER, OTHER_USER):
            if self.owner(request) != node:
                raise Refusal(100, 33, "Unsupported get request: the object is missing")
            return only(given.get("fields", ""), {"id": node, "username": "cafe"})
        if node in self.containers:
            return self.container(request, self.containers[node], given["fields"])
        return self.media_object(request, node, given.get("fields", ""))

    def container(self, request: Request, container: Container, fields: str) -> dict[str, Any]:
        self.reads += 1
        is_hidden = self.hidden or (self.hides_every and self.reads % self.hides_every == 0)
        if self.owner(request) != container.user or is_hidden:
            raise Refusal(100, 33, "Unsupported get request: the object is missing")
        container.asked += 1
        state = self.state(container)
        failed = f"Error: Media upload has failed with error code {container.failed}"
        phase = {"status": "in_progress", "bytes_transferred": container.arrived}
        known = {
            "id": container.id,
            "status_code": state,
            "status": failed if state == "ERROR" else f"{state.title()}: words for people",
            "video_status": {"uploading_phase": phase} if container.bytes_wanted else None,
        }
        return only(fields, known)

    # --- posts -------------------------------------------------------------------------------------------------------

    @answers("POST /{version}/{user}/media_publish", publishing=True)
    def media_publish(self, request: Request, user: str) -> dict[str, Any]:
        self.own(request, user)
        container = self.containers.get(parameters(request, {"creation_id"}).get("creation_id", ""))
        if container is None or container.is_child:
            raise Refusal(24, 2207008, "The creation id is unknown")
        if container.user != user:
            raise Refusal(24, 2207006, "The media cannot be found")
        state = self.state(container)
        if state != "FINISHED":
            code, subcode = {"PUBLISHED": (24, 2207006), "EXPIRED": (24, 2207008)}.get(state, (9007, 2207027))
            raise Refusal(code, subcode, f"The container is {state}")
        if len(self.published()) >= self.quota:
            raise Refusal(9, 2207042, "The publishing quota is used up")
        container.published = True
        number, media = len(self.published()) + 1, len(container.children) or 1
        post = self.publish(container.caption, id=f"1792{number:010}", key=container.id, media=media)
        self.kinds[post.id] = container.kind
        self.arrived[post.id] = request.arrived_at
        return {"id": post.id}

    def shown(self, post: Published) -> dict[str, Any]:
        """A post as the API shows it."""
        kind = self.kinds[post.id]
        types = {"REELS": "VIDEO", "CAROUSEL": "CAROUSEL_ALBUM", "STORIES": "IMAGE"}
        return {
            "id": post.id,
            "caption": self.tidy(post.text) or None,
            "media_type": types.get(kind, kind),
            "media_product_type": {"REELS": "REELS", "STORIES": "STORY"}.get(kind, "FEED"),
            "permalink": f"https://www.instagram.com/{'reel' if kind == 'REELS' else 'p'}/{post.id}/",
            "timestamp": graph_time(post.at),
            "shortcode": post.id,
        }

    def media_object(self, request: Request, node: str, fields: str) -> dict[str, Any]:
        for post in self.published():
            if post.id == node and self.owner(request) == USER:
                return only(fields, self.shown(post))
        raise Refusal(100, 33, "Unsupported get request: the object is missing")

    @answers("GET /{version}/{user}/media")
    def listing(self, request: Request, user: str) -> dict[str, Any]:
        return self.list(request, user, stories=False)

    @answers("GET /{version}/{user}/stories")
    def stories(self, request: Request, user: str) -> dict[str, Any]:
        return self.list(request, user, stories=True)

    def list(self, request: Request, user: str, *, stories: bool) -> dict[str, Any]:
        self.own(request, user)
        given = parameters(request, {"fields", "limit", "after", "since", "until"})
        posts = [post for post in self.listed() if (self.kinds[post.id] == "STORIES") == stories]
        return page_of([only(given.get("fields", ""), self.shown(post)) for post in posts], given)

    # --- accounts ----------------------------------------------------------------------------------------------------

    def own(self, request: Request, user: str) -> None:
        """Refuse another account's token."""
        if self.owner(request) != user:
            raise Refusal(100, 33, "Unsupported request: the object is missing")

    def me(self, request: Request, fields: str) -> dict[str, Any]:
        user = self.owner(request)
        return {"data": [only(fields, {"user_id": user, "username": "cafe", "id": "app-scoped"})]}

    @answers("GET /{version}/me/accounts", token=False)
    def accounts(self, request: Request) -> dict[str, Any]:
        if token_of(request) not in self.users:
            self.owner(request)
            raise Refusal(100, None, "Tried accessing nonexisting field (accounts) on node type (Page)")
        shop = {"id": "1001", "name": "Café", "access_token": "the-right-token", "tasks": ["CREATE_CONTENT"]}
        bare = {"id": "1002", "name": "Bar", "access_token": "the-bar-token", "tasks": ["CREATE_CONTENT"]}
        return page_of([shop | {"instagram_business_account": {"id": USER}}, bare], request.query)

    @answers("GET /{version}/{user}/content_publishing_limit")
    def publishing_limit(self, request: Request, user: str) -> dict[str, Any]:
        self.own(request, user)
        config = {"quota_total": self.quota, "quota_duration": 86400}
        return {"data": [{"quota_usage": len(self.published()), "config": config}]}

    @route("GET /refresh_access_token")
    def refresh_access_token(self, request: Request) -> Answer:
        if request.query.get("access_token") not in self.tokens:
            return Refusal(190, 463, "Session has expired").answer
        content = {"access_token": "the-fresh-token", "token_type": "bearer", "expires_in": 5183944}
        return Answer.json(200, content)

    @answers("GET /{version}/debug_token", token=False)
    def debug_token(self, request: Request) -> dict[str, Any]:
        if token_of(request) != "the-app|the-app-secret":
            raise Refusal(190, 467, "Invalid app access token")
        given = parameters(request, {"input_token"})["input_token"]
        return {"data": self.debugged(given)}

    def debugged(self, token: str) -> dict[str, Any]:
        scopes = ["instagram_basic", "instagram_content_publish", "pages_read_engagement"]
        is_valid = token in self.tokens and token not in self.expired
        ends_at = self.ends_at(token)
        return {"app_id": "the-app", "type": "PAGE", "expires_at": ends_at, "is_valid": is_valid, "scopes": scopes}
