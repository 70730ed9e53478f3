"""Publishers that are each wrong in one way, and the test of the conformance suite that must say so.

Collected only by name, by tests/test_wrong_publishers.py: every test named here must fail, and `FakeKeyed`,
`FakeFindable` and `FakeBlind`, of which these are made, pass them all.  What these three do not do at all (prepare,
media, refresh) is done wrongly in wrong_pinboards.py.
"""

from __future__ import annotations

import logging
import sys
import time
from datetime import timedelta
from typing import Any

import httpx2
from fake_boards import FakeBoard
from pydantic import BaseModel
from test_conformance import OnTheBoard

from autoposter.publishers import (
    AccountCheck,
    AccountRejected,
    ContentRejected,
    Delivery,
    OutcomeUnknown,
    Post,
    Publisher,
    Receipt,
    Transient,
)
from autoposter.testing import PublisherConformance, make_post
from autoposter.testing.publishers import FakeBlind, FakeFindable, FakeKeyed, FakePublisher, raise_if_refused

log = logging.getLogger("wrong")

#: By the suite of a wrong publisher: its module, the test that must fail, and words that its failure must contain.
REASONS: dict[str, tuple[str, str, str]] = {}


def wrong(test: str, words: str, suite: type[PublisherConformance] = OnTheBoard, **said: Any) -> Any:
    """Make the suite of a wrong publisher, and note why it must fail."""

    def make(publisher: type[Publisher]) -> type[Publisher]:
        name, module = f"Test{publisher.__name__}", publisher.__module__
        REASONS[name] = (module, test, words)
        setattr(sys.modules[module], name, type(name, (suite,), {"publisher": publisher, "__module__": module, **said}))
        return publisher

    return make


def send(self: FakePublisher, post: Post, **content: Any) -> httpx2.Response:
    """What the right ones send."""
    content = {"text": post.caption, "key": post.idempotency_key, **content}
    return self.http.post(f"{self._url}/posts", json=content, headers=self._headers)


def receipt(answer: httpx2.Response) -> Receipt:
    raise_if_refused(answer)
    return Receipt(platform_post_id=answer.json()["id"])


# --- what it says of itself ------------------------------------------------------------------------------------------


@wrong("test_its_declaration_has_no_faults", "lower_snake_case")
class ShoutsItsName(FakeBlind):
    platform = "FAKE-Board"


@wrong("test_no_declaration_is_misspelt", "did you mean prepare_ahead?")
class PreparesAtNoTime(FakeBlind):
    prepare_ahed = timedelta(hours=1)


@wrong("test_validating_needs_no_credentials", "token")
class OpensItsCredentialsAtOnce(FakeBlind):
    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.head = self._headers


@wrong("test_the_pause_that_it_asks_for_is_a_time", "says 60")
class RestsForANumber(FakeBlind):
    def pause(self) -> Any:
        return 60


@wrong("test_a_blind_one_has_no_find", "never called")
class BlindThatFinds(FakeFindable):
    delivery = Delivery.BLIND


@wrong("test_credentials_are_secret", "must be a SecretStr")
class PlainToken(FakeBlind):
    class Credentials(BaseModel):
        token: str


@wrong("test_a_misspelt_name_is_refused[Options]", "ignores names")
class TakesAnyOption(FakeBlind):
    class Options(BaseModel):
        pass


@wrong("test_an_installed_plugin_brings_it", "fake_keyed", installed=True)
class NotInstalled(FakeKeyed):
    pass


# --- validate --------------------------------------------------------------------------------------------------------


@wrong("test_validating_asks_nothing_of_the_world", "validate() asks the clock")
class LooksAtTheClock(FakeBlind):
    def validate(self, post: Post) -> list[str]:
        return ["It is too late for this."] if time.time() < 0 else []


@wrong("test_nothing_that_is_odd_makes_it_raise", "IndexError")
class TripsOverNoText(FakeBlind):
    def validate(self, post: Post) -> list[str]:
        return ["The caption starts badly."] if post.caption[0] == "\0" else []


@wrong("test_a_limit_is_named[characters]", "No reason says", limits={"characters": make_post("x" * 501)})
class KnowsNoLimit(FakeBlind):
    def validate(self, post: Post) -> list[str]:
        return []


@wrong("test_media_that_it_does_not_take_are_refused[image]", "lets a post with image pass", drops=("link",))
class DropsThePicture(FakeBlind):
    pass


# --- prepare ---------------------------------------------------------------------------------------------------------


@wrong("test_preparing_publishes_nothing", "prepare() has published")
class PublishesWhilePreparing(FakeKeyed):
    def prepare(self, post: Post, prepared: dict[str, Any]) -> dict[str, Any]:
        return {"id": receipt(send(self, post)).platform_post_id}


@wrong("test_what_is_prepared_is_small_json", "must be JSON")
class PreparesObjects(FakeKeyed):
    def prepare(self, post: Post, prepared: dict[str, Any]) -> dict[str, Any]:
        return {"post": post}


# --- publish ---------------------------------------------------------------------------------------------------------


@wrong("test_publish_makes_one_irreversible_call", "makes 2 requests")
class CallsTwice(FakeKeyed):
    def publish(self, post: Post, prepared: dict[str, Any]) -> Receipt:
        sent = receipt(send(self, post))
        send(self, post)
        return sent


@wrong("test_every_request_goes_through_the_client_it_was_handed", "do not go through self.http")
class BringsItsOwnClient(FakeKeyed):
    def publish(self, post: Post, prepared: dict[str, Any]) -> Receipt:
        with httpx2.Client() as client:
            self.http = client
            return receipt(send(self, post))


@wrong("test_the_caption_arrives_whole", "Second line, 100 %")
class LosesTheEmoji(FakeBlind):
    def publish(self, post: Post, prepared: dict[str, Any]) -> Receipt:
        return receipt(send(self, post, text=post.caption.encode("ascii", "ignore").decode()))


@wrong("test_a_link_is_published_or_refused", "is in no request", drops=("media",))
class DropsTheLink(FakeBlind):
    pass


@wrong("test_a_receipt_has_a_text_as_id_and_an_address", "is no web address")
class GivesHalfAnAddress(FakeBlind):
    def publish(self, post: Post, prepared: dict[str, Any]) -> Receipt:
        return Receipt(platform_post_id=receipt(send(self, post)).platform_post_id, permalink="/posts/1")


@wrong("test_a_post_is_published_once", "The platform has no post")
class InventsTheId(FakeBlind):
    def publish(self, post: Post, prepared: dict[str, Any]) -> Receipt:
        receipt(send(self, post))
        return Receipt(platform_post_id=post.idempotency_key)


@wrong("test_a_receipt_has_a_text_as_id_and_an_address", "platform_post_id is int, and must be str")
class CountsItsPosts(FakeBlind):
    def publish(self, post: Post, prepared: dict[str, Any]) -> Receipt:
        return Receipt(platform_post_id=int(receipt(send(self, post)).platform_post_id[1:]))  # type: ignore[arg-type]  # meant


@wrong("test_two_posts_are_two", "and the platform shows 1")
class SendsOneKeyForAll(FakeKeyed):
    def publish(self, post: Post, prepared: dict[str, Any]) -> Receipt:
        return receipt(send(self, post, key="always-the-same"))


# --- answers ---------------------------------------------------------------------------------------------------------


@wrong("test_an_error_that_is_not_known_is_no_refusal[json-400]", "would be sent again")
class TakesEvery400ForARefusal(FakeBlind):
    def publish(self, post: Post, prepared: dict[str, Any]) -> Receipt:
        answer = send(self, post)
        if 400 <= answer.status_code < 500:
            raise ContentRejected("The platform refuses the text.")
        return receipt(answer)


@wrong("test_an_outage_leaves_the_outcome_unknown[502]", "Nobody can tell")
class TakesA502ForARefusal(FakeBlind):
    def publish(self, post: Post, prepared: dict[str, Any]) -> Receipt:
        answer = send(self, post)
        if answer.status_code == 502:
            raise Transient("The platform is down.")
        return receipt(answer)


@wrong("test_a_success_that_says_nothing_is_not_taken_for_one[published-{}]", "the platform has no such post")
class BelievesAnyReply(FakeBlind):
    def publish(self, post: Post, prepared: dict[str, Any]) -> Receipt:
        answer = send(self, post)
        raise_if_refused(answer)
        return Receipt(platform_post_id=answer.json().get("id", "unknown"))


@wrong("test_a_known_refusal_is_named[ContentRejected-422]", "must be ContentRejected")
class KnowsNoRefusal(FakeBlind):
    def publish(self, post: Post, prepared: dict[str, Any]) -> Receipt:
        return Receipt(platform_post_id=send(self, post).raise_for_status().json()["id"])


@wrong("test_a_look_up_that_fails_afterwards_fails_nothing[502]", "The publishing request came 0 times")
class AsksForTheTokenFirst(FakeBlind):
    def publish(self, post: Post, prepared: dict[str, Any]) -> Receipt:
        self.check()
        return receipt(send(self, post))


@wrong("test_a_lost_answer_leaves_the_outcome_unknown[reset]", "tries again by itself")
class TriesAgainByItself(FakeKeyed):
    def publish(self, post: Post, prepared: dict[str, Any]) -> Receipt:
        try:
            return receipt(send(self, post))
        except httpx2.TransportError:
            return receipt(send(self, post))


# --- doubts ----------------------------------------------------------------------------------------------------------


@wrong("test_a_repeated_request_makes_no_second_post", "it is out twice")
class KeyedWithoutAKey(FakeKeyed):
    def publish(self, post: Post, prepared: dict[str, Any]) -> Receipt:
        return receipt(send(self, post, key=None))


@wrong("test_find_finds_what_went_out", "would be sent again")
class NeverFinds(FakeFindable):
    def find(self, post: Post, prepared: dict[str, Any]) -> Receipt | None:
        return None


@wrong("test_find_is_not_fooled_by_an_older_post_with_the_same_text", "of an hour ago")
class FindsLastFriday(FakeFindable):
    def find(self, post: Post, prepared: dict[str, Any]) -> Receipt | None:
        shown = self.http.get(f"{self._url}/posts", params={"since": "0"}, headers=self._headers).raise_for_status()
        found = [one["id"] for one in shown.json()["posts"] if one["text"] == post.caption]
        if len(found) > 1:
            raise OutcomeUnknown("Two fit.")
        return Receipt(platform_post_id=found[0]) if found else None


@wrong("test_find_is_not_fooled_by_another_post", "takes another text")
class FindsTheNewest(FakeFindable):
    def find(self, post: Post, prepared: dict[str, Any]) -> Receipt | None:
        assert post.attempted_at
        since = {"since": str(post.attempted_at.timestamp() - 1)}
        shown = self.http.get(f"{self._url}/posts", params=since, headers=self._headers).raise_for_status()
        return next((Receipt(platform_post_id=one["id"]) for one in shown.json()["posts"]), None)


@wrong("test_find_does_not_take_trouble_for_absence[502]", "says that nothing went out")
class TakesTroubleForAbsence(FakeFindable):
    def find(self, post: Post, prepared: dict[str, Any]) -> Receipt | None:
        try:
            return super().find(post, prepared)
        except httpx2.HTTPError:
            return None


class SlowBoard(FakeBoard):
    """Shows a new post in its listing after a minute."""

    listing_lag = timedelta(minutes=1)


@wrong("test_find_after_is_longer_than_the_listing_lags", "too early", fake=SlowBoard)
class GivesUpTooEarly(FakeFindable):
    find_after = timedelta(seconds=5)


# --- account and secrets ---------------------------------------------------------------------------------------------


@wrong("test_check_says_no_to_a_wrong_token", "says that they work")
class BelievesAnyToken(FakeBlind):
    def check(self) -> AccountCheck:
        return AccountCheck(ok=True, external_id="board-7")


@wrong("test_check_does_not_take_trouble_for_a_no[502]", "blames the account")
class BlamesTheAccount(FakeBlind):
    def check(self) -> AccountCheck:
        try:
            return super().check()
        except httpx2.HTTPError as error:
            raise AccountRejected(f"The token does not work: {error}") from error


@wrong("test_check_says_whose_token_it_is", "external_id")
class DoesNotSayWhose(FakeBlind):
    def check(self) -> AccountCheck:
        return AccountCheck(ok=super().check().ok)


@wrong("test_secrets_stay_out_of[logs]", "A secret stands in logs")
class LogsItsHeaders(FakeBlind):
    def publish(self, post: Post, prepared: dict[str, Any]) -> Receipt:
        log.info("Posting with %s", self._headers)
        return receipt(send(self, post))


@wrong("test_secrets_stay_out_of[errors]", "A secret stands in errors")
class QuotesItsToken(FakeBlind):
    def publish(self, post: Post, prepared: dict[str, Any]) -> Receipt:
        answer = send(self, post)
        if answer.status_code == 401:
            raise AccountRejected(f"The platform does not take {self._headers['Authorization']}.")
        return receipt(answer)


@wrong("test_secrets_stay_out_of[what is prepared]", "A secret stands in what is prepared")
class KeepsItsToken(FakeBlind):
    def prepare(self, post: Post, prepared: dict[str, Any]) -> dict[str, Any]:
        return {"headers": self._headers}
