"""Whose token it is, what it lacks, how long it lives, and which accounts it leads to."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
from pydantic import SecretStr

from autoposter.publishers import (
    AccountCheck,
    AccountRejected,
    Choice,
    Refreshed,
    Transient,
    json_object,
)

from . import models
from .errors import TABLE
from .graph import tokens
from .graph.client import Graph, as_error
from .graph.errors import Stage, refusals
from .graph.pages import pages_of
from .graph.versions import DEFAULT
from .models import INSTAGRAM_HOST, Credentials, Settings

#: What a token of Facebook Login needs, beside the role on the Page.
PERMISSIONS = ("instagram_basic", "instagram_content_publish", "pages_read_engagement")

SETUP = f"""\
Instagram publishes for Business and Creator accounts only; make yours one in its app first.
Then take one of two ways:
1. Facebook Login (the account is linked to a Facebook Page; videos may be uploaded):
   at https://developers.facebook.com create an app of type Business, ask for {", ".join(PERMISSIONS)}
   and pages_show_list, and make a long-lived user token; give it as access_token. The accounts it leads to are listed.
2. Instagram Login (no Page): create an app with the Instagram API, ask for instagram_business_basic and
   instagram_business_content_publish, and make a long-lived token (60 days; autoposter refreshes it).
   Give it as access_token, with --set api_url={INSTAGRAM_HOST}{DEFAULT}"""


def check(graph: Graph, http: httpx2.Client, settings: Settings, credentials: Credentials) -> AccountCheck:
    """Whose token it is.  Raises for trouble that says nothing about the token."""
    try:
        with refusals(TABLE, Stage.ASK):
            external_id, name = _who(graph, settings)
            token = _inspected(http, settings, credentials)
    except AccountRejected as error:
        return AccountCheck(ok=False, problem=error.message)
    if external_id != settings.ig_user_id:
        whose = f"This token is of {name} ({external_id}), and ig_user_id says {settings.ig_user_id}."
        return AccountCheck(ok=False, external_id=external_id, name=name, problem=whose)
    problem = _problem(token) if token else None
    return AccountCheck(
        ok=problem is None,
        external_id=external_id,
        name=name,
        expires_at=token.expires_at if token else None,
        problem=problem,
    )


def _who(graph: Graph, settings: Settings) -> tuple[str, str | None]:
    """The account's id and name, as the token sees it."""
    if models.is_instagram_login(settings):
        found = graph.get("me", fields="user_id,username")
        data = found.get("data")  # shown both flat and in a list
        found = data[0] if isinstance(data, list) and data and isinstance(data[0], dict) else found
    else:
        found = graph.get(settings.ig_user_id, fields="id,username")
    # `id` of Instagram Login is another one for every app.
    external_id = found.get("user_id" if models.is_instagram_login(settings) else "id")
    if not isinstance(external_id, str | int):
        raise Transient("Instagram did not say whose token it is.")
    username = found.get("username")
    return str(external_id), username if isinstance(username, str) else None


def _inspected(http: httpx2.Client, settings: Settings, credentials: Credentials) -> tokens.Token | None:
    """What Facebook Login knows of a token; Instagram Login tells nothing of the kind."""
    if models.is_instagram_login(settings):
        return None
    return tokens.inspect(http, settings.api_url, credentials.access_token, credentials.app_id, credentials.app_secret)


def _problem(token: tokens.Token) -> str | None:
    if not token.is_valid:
        return "The access token is no longer valid: reconnect the account with a new one."
    if lacking := token.lacks(PERMISSIONS):
        return f"The access token lacks {', '.join(lacking)}: make one with these permissions and reconnect."
    return None


def choices(graph: Graph, credentials: Credentials) -> Iterator[Choice]:
    """The Instagram accounts of the Pages that a user's token leads to."""
    with refusals(TABLE, Stage.ASK):
        pages = pages_of(graph, "instagram_business_account")
    for page in pages:
        account = page.details.get("instagram_business_account")
        if isinstance(account, dict) and account.get("id"):
            yield Choice(
                name=f"the Instagram account of {page.name}",
                settings={"ig_user_id": str(account["id"])},
                credentials=credentials.model_copy(update={"access_token": page.token}),
            )


def refresh(http: httpx2.Client, settings: Settings, credentials: Credentials) -> Refreshed | None:
    """A token of Instagram Login for another 60 days.  Those of Facebook Login have nothing of the kind."""
    if not models.is_instagram_login(settings):
        return None
    token = credentials.access_token.get_secret_value()
    answer = http.get(
        models.INSTAGRAM_HOST + "refresh_access_token",  # the only address without a version
        params={"grant_type": "ig_refresh_token", "access_token": token},
    )
    found: dict[str, Any] = json_object(answer)
    fresh, lasts = found.get("access_token"), found.get("expires_in")
    with refusals(TABLE, Stage.ASK):
        if not answer.is_success or not isinstance(fresh, str) or not fresh:
            raise as_error(answer, found)
    expires_at = datetime.now(UTC) + timedelta(seconds=lasts) if isinstance(lasts, int) else None
    return Refreshed(credentials.model_copy(update={"access_token": SecretStr(fresh)}), expires_at)
