"""Publishes on one location of a Google Business Profile.

    prepare   an access token, unless this process has one that lasts
    publish   POST {api_url}/{location}/localPosts      the one irreversible request
    find      GET  {api_url}/{location}/localPosts      the same text, kind and time: FINDABLE, since there are no keys
    check     a new access token, the location, and whether posts can be listed there

A photo is not uploaded: Google fetches it from its public address, during `publish` or some hours later.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable, Iterator
from datetime import timedelta
from typing import Any

import httpx2

from autoposter.publishers import (
    AccountCheck,
    AccountRejected,
    Choice,
    ContentRejected,
    Delivery,
    OutcomeUnknown,
    Post,
    Publisher,
    Receipt,
    Transient,
    json_object,
)
from autoposter_google_business import connecting, limits, listing
from autoposter_google_business.answers import complaint_of, raise_if_refused, refusal
from autoposter_google_business.content import local_post
from autoposter_google_business.options import PostOptions
from autoposter_google_business.settings import SETUP, LocationSettings
from autoposter_google_business.tokens import OAuthClient, Tokens

#: Without it, refusals often do not say which field is wrong.
FORMAT = {"X-GOOG-API-FORMAT-VERSION": "2"}

#: What a post is called.
NAME = re.compile(r"accounts/\d+/locations/\d+/localPosts/[\w-]+", re.ASCII)


class GoogleBusiness(Publisher):
    """One attempt on one location."""

    platform = "google_business"
    delivery = Delivery.FINDABLE
    #: How long a new post may be missing from the listing is published nowhere: an assumption.
    find_after = timedelta(minutes=2)
    setup = SETUP
    pictures = limits.PICTURES

    Credentials = OAuthClient
    Settings = LocationSettings
    Options = PostOptions

    def validate(self, post: Post) -> Iterable[str]:
        """Every limit that can be known offline."""
        return limits.problems(post)

    def prepare(self, post: Post, prepared: dict[str, Any]) -> dict[str, Any]:
        """Have an access token at hand, in memory: `publish` may not ask for one.  There is nothing to upload."""
        self._tokens.have(self.http)
        return {}

    def publish(self, post: Post, prepared: dict[str, Any]) -> Receipt:
        """Create the post.  A state of `REJECTED` in the answer is a refusal; `PROCESSING` means that Google has it."""
        token = self._tokens.held()
        if token is None:
            raise Transient("There is no access token at hand; the next attempt asks for one.")
        body = local_post(post, self._settings.language)
        answer = self.http.post(self._posts_url, json=body, headers=_headers(token))
        self._see_whether_it_is_taken(token, answer)
        raise_if_refused(answer, photo=body["media"][0]["sourceUrl"] if post.media else "")
        receipt = receipt_of(json_object(answer))
        if receipt.permalink is None:
            return receipt_of(self._seen(receipt.platform_post_id))
        return receipt

    def find(self, post: Post, prepared: dict[str, Any]) -> Receipt | None:
        """Look for it among the location's posts.  Raises ContentRejected where Google took it and then rejected it."""
        found = listing.search(self._pages(), post)
        return receipt_of(found) if found else None

    def choices(self) -> Iterable[Choice]:
        """Every location that the token's owner manages."""
        for name, location in connecting.locations(self._get, self._settings):
            yield Choice(name, {"location": location}, self._credentials)

    def check(self) -> AccountCheck:
        """Whether the credentials work, the location may have posts, and when the refresh token ends."""
        try:
            grant = self._tokens.ask(self.http)
            return connecting.check(self._get, self._settings, expires_at=grant.refresh_token_over_at)
        except AccountRejected as error:
            return AccountCheck(ok=False, problem=error.message)

    # --- requests ----------------------------------------------------------------------------------------------------

    def _get(self, url: str, **parameters: str) -> dict[str, Any]:
        """The JSON object that Google answers.  Raises what a refusal means, and Transient for anything else.

        A question that Google does not take is no refusal of the post: `find` must not say so.
        """
        token = self._tokens.have(self.http)
        answer = self.http.get(url, params=parameters, headers=_headers(token))
        self._see_whether_it_is_taken(token, answer)
        refused = refusal(answer)
        if refused and not isinstance(refused, ContentRejected):
            raise refused
        with contextlib.suppress(ValueError):  # no JSON, or no text
            content = answer.json()
            if answer.is_success and isinstance(content, dict):
                return content
        said = f": {refused.message}" if refused else ", and nothing that can be read."
        raise Transient(f"Google answered {answer.status_code} to a question{said}")

    def _see_whether_it_is_taken(self, token: str, answer: httpx2.Response) -> None:
        """A 401 says nothing of the account unless the token that came next is refused too: raises Transient."""
        complaint = complaint_of(answer)
        if complaint is None or complaint.http != 401:
            self._tokens.taken()
        elif not self._tokens.refused(token):
            raise Transient(f"Google took its access token back; the next attempt has another. {complaint.message}")

    def _pages(self) -> Iterator[dict[str, Any]]:
        token = ""
        while True:
            parameters = {"pageSize": "100"} | ({"pageToken": token} if token else {})
            page = self._get(self._posts_url, **parameters)
            yield page
            token = str(page.get("nextPageToken") or "")
            if not token:
                return

    def _seen(self, name: str) -> dict[str, Any]:
        """A post as Google shows it now; only its name where Google does not answer: it is out, whatever comes of this.

        Only after `publish`: where Google has rejected it meanwhile, that counts once `find` says so too.
        """
        with contextlib.suppress(httpx2.HTTPError):
            answer = self.http.get(f"{self._settings.api_url}/{name}", headers=_headers(self._tokens.held() or ""))
            if answer.is_success:
                return json_object(answer) | {"name": name}
        return {"name": name}

    @property
    def _posts_url(self) -> str:
        return f"{self._settings.api_url}/{self._settings.location}/localPosts"

    @property
    def _tokens(self) -> Tokens:
        return Tokens(self._settings.token_url, self._credentials)

    @property
    def _settings(self) -> LocationSettings:
        assert isinstance(self.account.settings, LocationSettings)
        return self.account.settings

    @property
    def _credentials(self) -> OAuthClient:
        assert isinstance(self.account.credentials, OAuthClient)
        return self.account.credentials


def _headers(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"} | FORMAT


def receipt_of(made: dict[str, Any]) -> Receipt:
    """The receipt of a post as Google shows it.

    Raises OutcomeUnknown where it has no name, and ContentRejected where Google has rejected it.
    """
    name = made.get("name")
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise OutcomeUnknown("Google's answer does not name the post.")
    if made.get("state") == "REJECTED":
        raise ContentRejected("Google rejected the post by its content policy; it does not say why.")
    return Receipt(name, address_in(made))


def address_in(made: dict[str, Any]) -> str | None:
    """The post's own address in an answer."""
    address = made.get("searchUrl")
    return address if isinstance(address, str) and address.startswith("https://") else None
