"""What an Instagram account is made of, and what a post may ask for."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, StringConstraints, field_validator

from autoposter.publishers import Post

from .graph.versions import DEFAULT, as_api_url

Text = Annotated[str, StringConstraints(min_length=1, strip_whitespace=True)]
Kind = Literal["photo", "reel", "story", "carousel"]


class Credentials(BaseModel):
    """What lets us in.  The app's own two are optional: with them `check` knows permissions and expiry."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    access_token: SecretStr = Field(description="the account's token: of its Facebook Page, or of Instagram Login")
    app_id: SecretStr | None = Field(default=None, description="the id of your Meta app")
    app_secret: SecretStr | None = Field(default=None, description="the secret of your Meta app")


class Settings(BaseModel):
    """Where the account is."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    ig_user_id: Text = Field(description="the Instagram account's id, such as 17841400000000000", pattern=r"^[0-9]+$")
    api_url: str = Field(
        default=f"https://graph.facebook.com/{DEFAULT}",
        description="with the version; for a token of Instagram Login https://graph.instagram.com/" + DEFAULT,
    )

    @field_validator("api_url")
    @classmethod
    def _with_a_version(cls, value: str) -> str:
        return as_api_url(value)


class UserTag(BaseModel):
    """A public account that is tagged in the picture or video."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    username: Text
    x: float | None = Field(default=None, ge=0, le=1)
    """From the left edge (0) to the right (1); required in pictures."""
    y: float | None = Field(default=None, ge=0, le=1)
    """From the upper edge (0) to the lower (1)."""


class Options(BaseModel):
    """What a post may ask for: `options["instagram"]` of its content."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    kind: Kind | None = None
    """By default one picture is a photo, one video a reel, several media a carousel."""
    collaborators: tuple[Text, ...] = ()
    """Usernames."""
    user_tags: tuple[UserTag, ...] = ()
    location_id: Text | None = None
    """The id of a Facebook Page that has a place."""
    share_to_feed: bool | None = None
    """Of a reel: whether it shows among the posts too."""
    cover_url: Text | None = None
    """Of a reel: its cover picture.  Wins over `thumb_offset`."""
    thumb_offset: int | None = Field(default=None, ge=0)
    """Of a reel: the moment of its cover, in milliseconds."""


def options_of(post: Post) -> Options:
    """The post's options."""
    return post.options if isinstance(post.options, Options) else Options()


def kind_of(post: Post) -> Kind | None:
    """The kind that was asked for, or that follows from the media; None: there are none."""
    asked = options_of(post).kind
    if asked or not post.media:
        return asked
    if len(post.media) > 1:
        return "carousel"
    return "photo" if post.media[0].kind == "image" else "reel"


def is_instagram_login(settings: Any) -> bool:
    """Whether the account came by Instagram Login; else by Facebook Login, which can do a little more."""
    return str(settings.api_url).startswith(INSTAGRAM_HOST)


#: Tokens of Instagram Login work here only, and are refreshed here.
INSTAGRAM_HOST = "https://graph.instagram.com/"
