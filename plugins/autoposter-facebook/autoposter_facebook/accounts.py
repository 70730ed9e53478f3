"""Whose token it is, what it lacks, how long it lives, and which Pages it leads to."""

from __future__ import annotations

from collections.abc import Iterator

import httpx2

from autoposter.publishers import AccountCheck, AccountRejected, Choice, Transient

from .errors import TABLE
from .graph import tokens
from .graph.client import Graph
from .graph.errors import Stage, refusals
from .graph.pages import pages_of
from .models import Credentials, Settings

PERMISSIONS = ("pages_manage_posts", "pages_read_engagement")

SETUP = f"""\
1. At https://developers.facebook.com create an app of type Business.
2. Make a user token with {", ".join(PERMISSIONS)} and pages_show_list (for pages that are not yours: app review),
   and make it a long one: GET /oauth/access_token?grant_type=fb_exchange_token&client_id=..&client_secret=..
   &fb_exchange_token=..
3. Give it as access_token: the Pages it leads to are listed, and the chosen Page's own token is kept, which has no
   expiry date. A Page's own token is taken too."""


def check(graph: Graph, http: httpx2.Client, settings: Settings, credentials: Credentials) -> AccountCheck:
    """Whose token it is.  Raises for trouble that says nothing about the token."""
    try:
        with refusals(TABLE, Stage.ASK):
            found = graph.get("me", fields="id,name")
            token = tokens.inspect(
                http, settings.api_url, credentials.access_token, credentials.app_id, credentials.app_secret
            )
    except AccountRejected as error:
        return AccountCheck(ok=False, problem=error.message)
    external_id, name = found.get("id"), found.get("name")
    if not isinstance(external_id, str):
        raise Transient("Facebook did not say whose token it is.")
    problem = _problem(token) if token else None
    if external_id != settings.page_id:
        problem = (
            f"This token is of {name} ({external_id}), and page_id says {settings.page_id}: a person's token publishes"
            " nothing; `autoposter accounts add facebook` finds the Page's own with it."
        )
    return AccountCheck(
        ok=problem is None,
        external_id=external_id,
        name=name if isinstance(name, str) else None,
        expires_at=token.expires_at if token else None,
        problem=problem,
    )


def _problem(token: tokens.Token) -> str | None:
    if not token.is_valid:
        return "The access token is no longer valid: reconnect the account with a new one."
    if token.kind != "PAGE":
        return f"This is a {token.kind.lower()} token: give the Page's own."
    if lacking := token.lacks(PERMISSIONS):
        return f"The access token lacks {', '.join(lacking)}: make one with these permissions and reconnect."
    return None


def choices(graph: Graph, credentials: Credentials) -> Iterator[Choice]:
    """The Pages where a user's token may publish."""
    with refusals(TABLE, Stage.ASK):
        pages = pages_of(graph)
    for page in pages:
        own = credentials.model_copy(update={"access_token": page.token})
        yield Choice(name=page.name, settings={"page_id": page.id}, credentials=own)
