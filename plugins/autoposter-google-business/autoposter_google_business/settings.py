"""What tells one connected location from another, and what a person does at Google to connect it."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic_core import PydanticCustomError

from autoposter_google_business.options import Language

SCOPE = "https://www.googleapis.com/auth/business.manage"

SETUP = f"""\
Google lets only approved Cloud projects post. Once for your project:
1. In the Google Cloud console, make a project, and ask Google for access to the Business Profile APIs (its form wants
   a verified profile that has been active for 60 days). Before the approval every call is refused.
2. Enable the Google My Business API (it shows only after the approval), the My Business Account Management API and the
   My Business Business Information API.
3. Set up the OAuth consent screen with the scope {SCOPE}, and publish it: in "Testing", tokens end after 7 days.
4. Make an OAuth client with a redirect address of yours. It has the client_id and the client_secret.
For each Google user that manages locations:
5. Open, with your client_id and redirect address put in,
   https://accounts.google.com/o/oauth2/v2/auth?client_id=CLIENT_ID&redirect_uri=REDIRECT&response_type=code\
&scope={SCOPE}&access_type=offline&prompt=consent
6. After the consent, Google opens the redirect address with ?code=... behind it. Trade the code for the refresh_token:
   curl https://oauth2.googleapis.com/token -d grant_type=authorization_code -d code=CODE -d client_id=CLIENT_ID \
-d client_secret=CLIENT_SECRET -d redirect_uri=REDIRECT"""


def _address(address: str) -> str:
    parts = urlsplit(address)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise PydanticCustomError("address", "this must be a web address, such as https://mybusiness.googleapis.com/v4")
    return address.rstrip("/")


def _location(name: str) -> str:
    account, _, location = name.partition("/locations/")
    if not account.removeprefix("accounts/").isdecimal() or not location.isdecimal() or not name.isascii():
        raise PydanticCustomError("location", "a location is accounts/<number>/locations/<number>, with both parts")
    return name


Address = Annotated[str, AfterValidator(_address)]


class LocationSettings(BaseModel):
    """Which location, and where Google's APIs are."""

    model_config = ConfigDict(extra="forbid")
    location: Annotated[str, AfterValidator(_location)] = Field(
        description="accounts/<number>/locations/<number>; `accounts add` lists those of your token"
    )
    language: Language = Field("en", description="of the texts, as a code: en, de-AT, pt-BR")
    api_url: Address = Field("https://mybusiness.googleapis.com/v4", description="where the posts' API is")
    accounts_url: Address = Field(
        "https://mybusinessaccountmanagement.googleapis.com/v1", description="where the accounts' API is"
    )
    locations_url: Address = Field(
        "https://mybusinessbusinessinformation.googleapis.com/v1", description="where the locations' API is"
    )
    token_url: Address = Field("https://oauth2.googleapis.com/token", description="where access tokens are had")
