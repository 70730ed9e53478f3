"""Publishers that are each wrong in one way, made of the pinboard's: in what it prepares, reads and refreshes."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, ClassVar

import httpx2
from pinboard import KeyedPinboard, OnThePinboard, Pinboard, raise_if_refused
from pydantic import BaseModel, ConfigDict, SecretStr
from wrong_publishers import wrong as wrong_on

from autoposter.publishers import Choice, ContentRejected, Media, Post, Receipt, Refreshed, Transient, json_object

wrong = partial(wrong_on, suite=OnThePinboard)


# --- what it says of itself ------------------------------------------------------------------------------------------


@wrong("test_secrets_are_no_settings", "belongs into Credentials")
class HasASecretSetting(Pinboard):
    class Settings(BaseModel):
        model_config = ConfigDict(extra="forbid")
        api_url: str
        app_secret: SecretStr = SecretStr("app")


@wrong("test_it_is_made_from_an_account_and_a_client", "has sent a request")
class AsksWhenMade(Pinboard):
    def __init__(self, account: Any, http: httpx2.Client) -> None:
        super().__init__(account, http)
        with contextlib.suppress(httpx2.HTTPError):
            self.http.get(self.at("me"), headers=self.headers())


@wrong("test_the_limits_of_the_platform_are_listed", "List a post for every limit", limits={})
class HasLimitsThatNobodyLists(Pinboard):
    pass


@wrong("test_the_refusals_it_knows_are_listed", "AccountRejected, ContentRejected, RateLimited", refusals={})
class HasRefusalsThatNobodyLists(Pinboard):
    pass


# --- validate --------------------------------------------------------------------------------------------------------


@wrong("test_validating_does_not_depend_on_when", "Scheduled for 9998")
class LooksTenYearsAhead(Pinboard):
    def validate(self, post: Post) -> Iterable[str]:
        yield from super().validate(post)
        if post.scheduled_for > datetime(2040, 1, 1, tzinfo=UTC):
            yield "A pin is not planned so far ahead."


# --- prepare ---------------------------------------------------------------------------------------------------------


@wrong("test_what_is_ready_is_not_uploaded_again", "uploads again")
class UploadsAgain(Pinboard):
    def prepare(self, post: Post, prepared: dict[str, Any]) -> dict[str, Any]:
        return super().prepare(post, {} if prepared.get("ready") else prepared)


@wrong("test_preparing_may_be_repeated_from_the_beginning", "UploadsOnce")
class UploadsOnce(Pinboard):
    seen: ClassVar[set[tuple[str, int]]] = set()

    def prepare(self, post: Post, prepared: dict[str, Any]) -> dict[str, Any]:
        here = (self.at(), post.id)
        if not prepared and here in self.seen:
            raise RuntimeError("UploadsOnce has prepared this post before")
        self.seen.add(here)
        return super().prepare(post, prepared)


@wrong("test_preparing_goes_by_what_it_was_handed_only", "The pictures belong to another post")
class RemembersOnTheClass(Pinboard):
    latest: ClassVar[int] = 0

    def prepare(self, post: Post, prepared: dict[str, Any]) -> dict[str, Any]:
        RemembersOnTheClass.latest = post.id
        return super().prepare(post, prepared)

    def publish(self, post: Post, prepared: dict[str, Any]) -> Receipt:
        if RemembersOnTheClass.latest != post.id:
            raise Transient("The pictures belong to another post.")
        return super().publish(post, prepared)


@wrong("test_trouble_while_preparing_is_no_lasting_failure[502]", "ends the post as a bug")
class StumblesOverTrouble(Pinboard):
    def upload(self, media: Media) -> str:
        with media.open() as stream:
            answer = self.http.post(self.at("pictures"), content=stream, headers=self.headers())
        return str(json_object(answer)["id"])


@wrong("test_preparing_leaves_the_publishing_request_alone", "sends the publishing request")
class TriesOutThePin(Pinboard):
    def prepare(self, post: Post, prepared: dict[str, Any]) -> dict[str, Any]:
        self.http.post(self.at("pins"), json={"text": post.caption, "pictures": ["none"]}, headers=self.headers())
        return super().prepare(post, prepared)


# --- media -----------------------------------------------------------------------------------------------------------


@wrong("test_media_are_published[image]", "A post with image")
class ForgetsToWait(Pinboard):
    def prepare(self, post: Post, prepared: dict[str, Any]) -> dict[str, Any]:
        return {"pictures": [f"picture-of-{media.kind}" for media in post.media]}


@wrong("test_what_is_published_shows_its_media[image]", "has 1 media, and what is published shows 0")
class LeavesThePictureBehind(Pinboard):
    def send(self, post: Post, prepared: dict[str, Any]) -> httpx2.Response:
        return super().send(post, {"pictures": []})


@wrong("test_media_that_cannot_be_had_publish_nothing[image]", "without its media")
class GoesWithoutItsPicture(Pinboard):
    def prepare(self, post: Post, prepared: dict[str, Any]) -> dict[str, Any]:
        try:
            return super().prepare(post, prepared)
        except ContentRejected:
            return {"pictures": [], "ready": True}


@wrong("test_media_are_read_piece_by_piece[image]", "before it sends the first")
class CollectsThePieces(Pinboard):
    def upload(self, media: Media) -> str:
        with media.open() as stream:
            whole = b"".join(iter(lambda: stream.read(65536), b""))
        answer = self.http.post(self.at("pictures"), content=whole, headers=self.headers())
        return str(answer.raise_for_status().json()["id"])


@wrong("test_media_are_closed_after_reading[image]", "leaves the media open")
class LeavesTheMediaOpen(Pinboard):
    kept: ClassVar[list[Any]] = []

    def upload(self, media: Media) -> str:
        self.kept.append(opened := media.open())
        answer = self.http.post(self.at("pictures"), content=opened.__enter__(), headers=self.headers())
        return str(answer.raise_for_status().json()["id"])


# --- publish ---------------------------------------------------------------------------------------------------------


@wrong("test_only_publish_publishes", "before publish() is called")
class PinsToFindOut(Pinboard):
    def find(self, post: Post, prepared: dict[str, Any]) -> Receipt | None:
        return self.publish(post, prepared)


@wrong("test_a_slow_answer_is_waited_for", "The answer took 300 ms")
class HasNoPatience(Pinboard):
    def send(self, post: Post, prepared: dict[str, Any]) -> httpx2.Response:
        content = {"text": post.caption, "pictures": prepared["pictures"]}
        return self.http.post(self.at("pins"), json=content, headers=self.headers(), timeout=0.1)


@wrong("test_without_a_connection_nothing_was_published", "Nobody listens there")
class LooksUpBeforeItPublishes(Pinboard):
    def publish(self, post: Post, prepared: dict[str, Any]) -> Receipt:
        self.http.get(self.at("me"), headers=self.headers()).raise_for_status()
        return super().publish(post, prepared)


@wrong("test_a_look_up_that_fails_afterwards_fails_nothing[404]", "All but the publishing request failed")
class FailsForThePermalink(Pinboard):
    def permalink(self, pin: str) -> str | None:
        return str(self.http.get(self.at("pins", pin), headers=self.headers()).raise_for_status().json()["url"])


@wrong("test_a_success_that_says_nothing_is_not_taken_for_one[published-]", "would be sent again")
class TakesNoIdForARefusal(Pinboard):
    def send(self, post: Post, prepared: dict[str, Any]) -> httpx2.Response:
        answer = super().send(post, prepared)
        if answer.is_success and not json_object(answer):
            raise Transient("The pinboard said nothing.")
        return answer


@wrong("test_a_lost_answer_leaves_the_outcome_unknown[silence]", "the platform has no such post")
class HopesForTheBest(Pinboard):
    def publish(self, post: Post, prepared: dict[str, Any]) -> Receipt:
        try:
            return super().publish(post, prepared)
        except httpx2.TransportError:
            return Receipt(platform_post_id=f"pin-of-{post.id}")


@wrong("test_a_known_refusal_is_named[RateLimited-429_0]", "does not hand on how long")
class DoesNotSayHowLong(Pinboard):
    def send(self, post: Post, prepared: dict[str, Any]) -> httpx2.Response:
        answer = super().send(post, prepared)
        answer.headers.pop("Retry-After", None)
        return answer


# --- doubts ----------------------------------------------------------------------------------------------------------


@wrong("test_find_finds_nothing_where_nothing_went_out", "IndexError")
class ExpectsToFind(Pinboard):
    def find(self, post: Post, prepared: dict[str, Any]) -> Receipt | None:
        pins = self.http.get(self.at("pins"), headers=self.headers()).raise_for_status().json()["pins"]
        return Receipt(platform_post_id=[pin for pin in pins if self.fits(pin, post)][0]["id"])  # noqa: RUF015


@wrong("test_find_does_not_choose_between_two_that_fit", "picked the wrong one")
class FindsTheNewestThatFits(Pinboard):
    def find(self, post: Post, prepared: dict[str, Any]) -> Receipt | None:
        pins = self.http.get(self.at("pins"), headers=self.headers()).raise_for_status().json()["pins"]
        return next((Receipt(platform_post_id=pin["id"]) for pin in pins if self.fits(pin, post)), None)


@wrong(
    "test_find_does_not_take_a_refused_question_for_a_refused_post[ContentRejected-422]", "find() ends it as refused"
)
class TakesARefusedQuestionForARefusedPost(Pinboard):
    def find(self, post: Post, prepared: dict[str, Any]) -> Receipt | None:
        raise_if_refused(self.http.get(self.at("pins"), headers=self.headers()))
        return super().find(post, prepared)


@wrong("test_find_sends_no_publishing_request", "sends the publishing request")
class AsksByPinning(Pinboard):
    def find(self, post: Post, prepared: dict[str, Any]) -> Receipt | None:
        self.http.post(self.at("pins"), json={"text": post.caption, "pictures": ["none"]}, headers=self.headers())
        return super().find(post, prepared)


@wrong("test_a_lost_answer_is_heard_by_sending_again", "it is out twice")
class MakesANewKeyEachTime(KeyedPinboard):
    made: ClassVar[list[str]] = []

    def key(self, post: Post) -> str:
        self.made.append(f"{post.idempotency_key}-{len(self.made)}")
        return self.made[-1]


@wrong("test_an_edited_post_is_another_one", "The edited post went out as")
class KeysByThePost(KeyedPinboard):
    def key(self, post: Post) -> str:
        return f"post-{post.id}"


# --- accounts and secrets --------------------------------------------------------------------------------------------


@wrong("test_a_wrong_token_is_the_accounts_fault", "A wrong token came to")
class TriesAWrongTokenAgain(Pinboard):
    def send(self, post: Post, prepared: dict[str, Any]) -> httpx2.Response:
        answer = super().send(post, prepared)
        if answer.status_code == 401:
            raise Transient("The pinboard does not know us today.")
        return answer


@wrong("test_choices_tell_one_account_from_another", "nobody could choose")
class OffersTheSameTwice(Pinboard):
    def choices(self) -> Iterable[Choice]:
        return [Choice(name, {}, self.account.credentials) for name in ("Bakery", "Cafe")]


@wrong("test_refreshed_credentials_work", "has no time zone")
class RefreshesWithoutAZone(Pinboard):
    def refresh(self) -> Refreshed | None:
        return Refreshed(self.Credentials(token=SecretStr("the-fresh-token")), datetime.now() + timedelta(days=60))  # noqa: DTZ005


@wrong("test_secrets_stay_out_of[repr]", "A secret stands in repr")
class ShowsItself(Pinboard):
    def __repr__(self) -> str:
        return f"<pinboard of {self.token()}>"
