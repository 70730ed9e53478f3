"""A publisher that does everything a publisher can do, rightly, and a fake of its platform.

`wrong_publishers` spoils it in one place each.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

import httpx2
from pydantic import BaseModel, ConfigDict, SecretStr

from autoposter.publishers import (
    AccountCheck,
    AccountRejected,
    ContentRejected,
    Delivery,
    NotReady,
    OutcomeUnknown,
    Post,
    Publisher,
    PublishError,
    RateLimited,
    Receipt,
    Refreshed,
    Transient,
    json_object,
    retry_after,
)
from autoposter.testing import (
    Answer,
    FakeServer,
    PublisherConformance,
    Request,
    make_media,
    make_post,
    publishes,
    refuse,
    route,
)

UNKNOWN_TOKEN = Answer.json(401, {"error": "token"})


class FakePinboard(FakeServer):
    """Takes pictures, works on them for a while, and pins them."""

    credentials: Mapping[str, Any] = {"token": "the-right-token"}
    external_id = "pins-7"
    listing_lag = timedelta(seconds=5)

    def __init__(self) -> None:
        super().__init__()
        self.pictures: dict[str, int] = {}

    def knows(self, request: Request) -> bool:
        return request.token in ("the-right-token", "the-fresh-token")

    @route("POST /pictures")
    def upload(self, request: Request) -> Answer:
        if not self.knows(request):
            return UNKNOWN_TOKEN
        picture = f"picture-{len(self.pictures) + 1}"
        self.pictures[picture] = 0
        return Answer.json(202, {"id": picture})

    @route("GET /pictures/{picture}")
    def state(self, request: Request, picture: str) -> Answer:
        self.pictures[picture] += 1
        return Answer.json(200, {"state": "ready" if self.pictures[picture] > 2 else "working"})

    @publishes("POST /pins")
    def pin(self, request: Request) -> Answer:
        if not self.knows(request):
            return UNKNOWN_TOKEN
        if any(picture not in self.pictures for picture in request.body["pictures"]):
            return Answer.json(422, {"error": "content"})
        key, pictures = request.headers.get("idempotency-key"), request.body["pictures"]
        pin = self.publish(request.body["text"], key=key, media=len(pictures))
        return Answer.json(201, {"id": pin.id})

    @route("GET /pins/{pin}")
    def one(self, request: Request, pin: str) -> Answer:
        return Answer.json(200, {"url": f"https://pins.example/{pin}"})

    @route("GET /pins")
    def listing(self, request: Request) -> Answer:
        if not self.knows(request):
            return UNKNOWN_TOKEN
        pins = [{"id": pin.id, "text": pin.text, "at": pin.at.isoformat()} for pin in self.listed()]
        return Answer.json(200, {"pins": pins})

    @route("GET /me")
    def me(self, request: Request) -> Answer:
        return Answer.json(200, {"id": self.external_id, "name": "Pins"}) if self.knows(request) else UNKNOWN_TOKEN

    @route("POST /token")
    def token(self, request: Request) -> Answer:
        return Answer.json(200, {"token": "the-fresh-token"}) if self.knows(request) else UNKNOWN_TOKEN


class Pinboard(Publisher):
    """Does everything, rightly."""

    platform = "pinboard"
    delivery = Delivery.FINDABLE
    find_after = timedelta(seconds=10)

    class Credentials(BaseModel):
        model_config = ConfigDict(extra="forbid")
        token: SecretStr

    class Settings(BaseModel):
        model_config = ConfigDict(extra="forbid")
        api_url: str

    class Options(BaseModel):
        model_config = ConfigDict(extra="forbid")
        colour: str = "white"

    def validate(self, post: Post) -> Iterable[str]:
        if len(post.caption) > 500:
            yield f"The caption has {len(post.caption)} characters; a pin takes 500."
        if len(post.media) > 4:
            yield f"It has {len(post.media)} pictures; a pin takes 4."
        if any(media.kind == "video" for media in post.media):
            yield "A pin takes no video."

    def prepare(self, post: Post, prepared: dict[str, Any]) -> dict[str, Any]:
        pictures = list(prepared.get("pictures", []))
        for media in post.media[len(pictures) :]:
            pictures.append(self.upload(media))
        if not prepared.get("ready"):
            self.wait_for(pictures)
        return {"pictures": pictures, "ready": True}

    def upload(self, media: Any) -> str:
        with media.open() as stream:
            answer = self.http.post(self.at("pictures"), content=stream, headers=self.headers())
        raise_if_refused(answer)
        return str(answer.json()["id"])

    def wait_for(self, pictures: list[str]) -> None:
        for picture in pictures:
            answer = self.http.get(self.at("pictures", picture), headers=self.headers()).raise_for_status()
            if answer.json()["state"] != "ready":
                raise NotReady({"pictures": pictures}, timedelta(milliseconds=1))

    def publish(self, post: Post, prepared: dict[str, Any]) -> Receipt:
        answer = self.send(post, prepared)
        raise_if_refused(answer)
        pin = json_object(answer).get("id")
        if not isinstance(pin, str):
            raise OutcomeUnknown("The pinboard did not say which pin it made.")
        return Receipt(platform_post_id=pin, permalink=self.permalink(pin))

    def send(self, post: Post, prepared: dict[str, Any]) -> httpx2.Response:
        content = {"text": post.caption, "link": post.link, "pictures": prepared["pictures"]}
        return self.http.post(self.at("pins"), json=content, headers=self.headers(post))

    def permalink(self, pin: str) -> str | None:
        with contextlib.suppress(httpx2.HTTPError, ValueError, KeyError):
            return str(self.http.get(self.at("pins", pin), headers=self.headers()).raise_for_status().json()["url"])
        return None

    def find(self, post: Post, prepared: dict[str, Any]) -> Receipt | None:
        pins = self.http.get(self.at("pins"), headers=self.headers()).raise_for_status().json()["pins"]
        fitting = [pin for pin in pins if self.fits(pin, post)]
        if len(fitting) > 1:
            raise OutcomeUnknown(f"{len(fitting)} pins have this text.")
        return Receipt(platform_post_id=fitting[0]["id"]) if fitting else None

    def fits(self, pin: dict[str, Any], post: Post) -> bool:
        since = (post.attempted_at or post.scheduled_for) - timedelta(seconds=2)
        return pin["text"] == post.caption and datetime.fromisoformat(pin["at"]).astimezone(UTC) >= since

    def check(self) -> AccountCheck:
        answer = self.http.get(self.at("me"), headers=self.headers())
        if answer.status_code == 401:
            return AccountCheck(ok=False, problem="The pinboard does not know this token.")
        said = answer.raise_for_status().json()
        return AccountCheck(ok=True, external_id=said["id"], name=said["name"])

    def refresh(self) -> Refreshed | None:
        answer = self.http.post(self.at("token"), headers=self.headers()).raise_for_status()
        credentials = self.Credentials(token=SecretStr(answer.json()["token"]))
        return Refreshed(credentials, expires_at=datetime(2030, 1, 1, tzinfo=UTC))

    def at(self, *path: str) -> str:
        return "/".join([self.account.settings.api_url, *path])  # type: ignore[attr-defined]

    def token(self) -> str:
        return str(self.account.credentials.token.get_secret_value())  # type: ignore[attr-defined]

    def headers(self, post: Post | None = None) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token()}"}


class KeyedPinboard(Pinboard):
    """Sends the key along, and relies on it."""

    delivery = Delivery.KEYED

    def headers(self, post: Post | None = None) -> dict[str, str]:
        return super().headers() | ({"Idempotency-Key": self.key(post)} if post else {})

    def key(self, post: Post) -> str:
        return post.idempotency_key


def raise_if_refused(answer: httpx2.Response) -> None:
    """Name the answers that prove that nothing was pinned."""
    match answer.status_code, json_object(answer).get("error"):
        case 401, "token":
            raise AccountRejected("The pinboard no longer takes the token: reconnect the account.")
        case 422, "content":
            raise ContentRejected("The pinboard refuses this pin.")
        case 429, _:
            raise RateLimited("The pinboard asks for a pause.", retry_after(answer))
        case 503, "maintenance":
            raise Transient("The pinboard is being repaired.", retry_after(answer))
    answer.raise_for_status()


class OnThePinboard(PublisherConformance):
    """What is known of the pinboard."""

    fake = FakePinboard
    installed = False
    media = (make_media("image"),)
    limits: ClassVar[Mapping[str, Post]] = {
        "500": make_post("x" * 501),
        "4": make_post(media=[make_media()] * 5),
        "video": make_post(media=[make_media("video")]),
    }
    refusals: ClassVar[Mapping[type[PublishError], Any]] = {
        AccountRejected: [refuse(401, '{"error": "token"}')],
        ContentRejected: [refuse(422, '{"error": "content"}')],
        RateLimited: [refuse(429, retry_after="7"), refuse(429, retry_after="date+7")],
        Transient: [refuse(503, '{"error": "maintenance"}', retry_after="60")],
    }
    patience = timedelta(seconds=0.4)
