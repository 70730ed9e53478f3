"""A publisher of which docs/writing-a-publisher.md shows pieces, and a fake of its platform.

On Lighthouse a picture is uploaded as a lamp, which takes a while to be lit, and is then flashed with a message.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any, Literal

import httpx2
from pydantic import BaseModel, ConfigDict, SecretStr

from autoposter.publishers import (
    AccountCheck,
    AccountRejected,
    ContentRejected,
    Delivery,
    NotReady,
    OutcomeUnknown,
    PictureLimits,
    Post,
    Publisher,
    RateLimited,
    Receipt,
    Transient,
    json_object,
)
from autoposter.testing import (
    Answer,
    FakeServer,
    Lab,
    Published,
    PublisherConformance,
    Request,
    make_media,
    make_post,
    publishes,
    refuse,
    route,
)

CAPTION_LIMIT = 200  # characters
CLOCK_SLACK = timedelta(seconds=1)


class Lighthouse(Publisher):
    """One attempt on Lighthouse."""

    platform = "lighthouse"
    delivery = Delivery.FINDABLE
    find_after = timedelta(seconds=20)
    prepare_ahead = timedelta(hours=1)
    pictures = PictureLimits(formats=("image/png", "image/jpeg"), max_bytes=4_000_000)

    class Credentials(BaseModel):
        model_config = ConfigDict(extra="forbid")
        token: SecretStr

    class Settings(BaseModel):
        model_config = ConfigDict(extra="forbid")
        api_url: str = "https://lighthouse.example"

    class Options(BaseModel):
        model_config = ConfigDict(extra="forbid")
        colour: Literal["red", "green", "white"] = "white"

    def validate(self, post: Post) -> Iterable[str]:
        if not 0 < len(post.caption.strip()) <= CAPTION_LIMIT:
            yield f"The caption has {len(post.caption)} characters; Lighthouse takes 1 to {CAPTION_LIMIT}."
        if post.link:
            yield "Lighthouse takes no link."
        if len(post.media) > 1:
            yield f"Lighthouse takes one picture; this post has {len(post.media)}."
        if any(media.kind == "video" for media in post.media):
            yield "Lighthouse takes no video."

    def prepare(self, post: Post, prepared: dict[str, Any]) -> dict[str, Any]:
        if not post.media:
            return {}
        if "lamp" not in prepared:
            with post.media[0].open() as picture:
                answer = self.http.post(self.at("lamps"), headers=self.headers, content=picture, timeout=600)
            raise_if_refused(answer)
            raise NotReady({"lamp": answer.json()["lamp"]}, retry_after=timedelta(seconds=2))
        answer = self.http.get(self.at(f"lamps/{prepared['lamp']}"), headers=self.headers)
        raise_if_refused(answer)
        match answer.json()["state"]:
            case "lit":
                return prepared
            case "working":
                raise NotReady(prepared, retry_after=timedelta(seconds=2))
            case "gone":  # Lighthouse keeps a lamp for a day
                return self.prepare(post, {})
        raise ContentRejected("Lighthouse cannot show this picture.")

    def publish(self, post: Post, prepared: dict[str, Any]) -> Receipt:
        assert isinstance(post.options, self.Options)
        flash = {"message": post.caption, "lamp": prepared.get("lamp"), "colour": post.options.colour}
        answer = self.http.post(self.at("flashes"), headers=self.headers, json=flash)
        raise_if_refused(answer)
        return receipt(answer.json()["flash"])

    def find(self, post: Post, prepared: dict[str, Any]) -> Receipt | None:
        since = (post.attempted_at or post.scheduled_for) - CLOCK_SLACK
        answer = self.http.get(self.at("flashes"), headers=self.headers, params={"after": since.isoformat()})
        flashes = answer.raise_for_status().json()["flashes"]
        fits = [flash for flash in flashes if flash["message"] == post.caption]
        if len(fits) > 1:
            raise OutcomeUnknown(f"{len(fits)} flashes have this message.")
        return receipt(fits[0]) if fits else None

    def check(self) -> AccountCheck:
        answer = self.http.get(self.at("keeper"), headers=self.headers)
        if answer.status_code == 401:
            return AccountCheck(ok=False, problem="Lighthouse does not take this token.")
        keeper = answer.raise_for_status().json()
        return AccountCheck(ok=True, external_id=keeper["id"], name=keeper["name"])

    def at(self, path: str) -> str:
        assert isinstance(self.account.settings, self.Settings)
        return f"{self.account.settings.api_url}/{path}"

    @property
    def headers(self) -> dict[str, str]:
        assert isinstance(self.account.credentials, self.Credentials)
        return {"X-Key": self.account.credentials.token.get_secret_value()}


def receipt(flash: dict[str, Any]) -> Receipt:
    return Receipt(platform_post_id=flash["id"], permalink=flash["url"])


def raise_if_refused(answer: httpx2.Response) -> None:
    match answer.status_code, json_object(answer).get("error"):
        case 401, 1:
            raise AccountRejected("Lighthouse no longer takes the token: reconnect the account.")
        case 200, 17:  # its words for "no" come with a 200
            raise ContentRejected("Lighthouse does not show this message.")
        case 200, 18:
            raise Transient("Lighthouse is in fog.")
        case 429, 4:
            wait = answer.headers.get("X-Wait-Ms", "")
            asked = timedelta(milliseconds=int(wait)) if wait.isdecimal() else None
            raise RateLimited("Lighthouse asks for a pause.", asked)
    answer.raise_for_status()


KEY_REFUSED = Answer.json(401, {"error": 1})


class FakeLighthouse(FakeServer):
    """As strict as the real one, and with a memory."""

    credentials = {"token": "the-right-key"}
    external_id = "keeper-7"
    listing_lag = timedelta(seconds=5)

    def __init__(self) -> None:
        super().__init__()
        self.asked: dict[str, int] = {}  # by lamp

    def refuses(self, request: Request) -> bool:
        return request.headers.get("x-key") != self.credentials["token"]

    @route("POST /lamps")
    def upload(self, request: Request) -> Answer:
        if self.refuses(request):
            return KEY_REFUSED
        lamp = f"lamp-{len(self.asked) + 1}"
        self.asked[lamp] = 0
        return Answer.json(201, {"lamp": lamp})

    @route("GET /lamps/{lamp}")
    def lamp(self, request: Request, lamp: str) -> Answer:
        if self.refuses(request):
            return KEY_REFUSED
        self.asked[lamp] += 1
        return Answer.json(200, {"state": "lit" if self.asked[lamp] > 1 else "working"})

    @publishes("POST /flashes")
    def flash(self, request: Request) -> Answer:
        if self.refuses(request):
            return KEY_REFUSED
        message, lamp = request.body["message"], request.body["lamp"]
        if len(message) > CAPTION_LIMIT or (lamp and self.asked.get(lamp, 0) < 2):
            return Answer.json(200, {"error": 17})
        return Answer.json(200, {"flash": shown(self.publish(message, media=1 if lamp else 0))})

    @route("GET /flashes")
    def flashes(self, request: Request) -> Answer:
        if self.refuses(request):
            return KEY_REFUSED
        after = datetime.fromisoformat(request.query["after"])
        return Answer.json(200, {"flashes": [shown(one) for one in self.listed() if one.at >= after]})

    @route("GET /keeper")
    def keeper(self, request: Request) -> Answer:
        return KEY_REFUSED if self.refuses(request) else Answer.json(200, {"id": self.external_id, "name": "Old Tom"})


def shown(flash: Published) -> dict[str, str]:
    return {"id": flash.id, "message": flash.text, "url": f"https://lighthouse.example/{flash.id}"}


class OnTheLighthouse(PublisherConformance):
    """What is known of the fake."""

    publisher = Lighthouse
    fake = FakeLighthouse
    installed = False
    media = (make_media("image"),)
    limits = {
        "characters": make_post("x" * 201),
        "link": make_post(link="https://shop.example"),
        "one picture": make_post(media=[make_media(), make_media()]),
        "video": make_post(media=[make_media("video")]),
        "4,000,000 are taken": make_post(media=[make_media(content=b"x" * 5_000_000)]),
    }
    refusals = {
        AccountRejected: [refuse(401, '{"error": 1}')],
        ContentRejected: [refuse(200, '{"error": 17}')],
        Transient: [refuse(200, '{"error": 18}')],
        RateLimited: [refuse(429, '{"error": 4}')],
    }

    def test_the_colour_is_sent(self, lab: Lab) -> None:
        lab.attempt(lab.post(options=Lighthouse.Options(colour="red")))
        assert b'"red"' in lab.server.received[-1]

    def test_a_flash_is_found_behind_newer_ones(self, lab: Lab) -> None:
        lab.server.listing_lag = timedelta(0)
        sent = lab.attempt(post := lab.post()).platform_post_id
        for number in range(30):
            lab.server.publish(f"Another flash, {number}")
        found = lab.find(post, {})
        assert found is not None and found.platform_post_id == sent
