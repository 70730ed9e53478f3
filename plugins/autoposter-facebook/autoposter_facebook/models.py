"""What a connected Page is made of, and what a post may ask for."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, StringConstraints, field_validator

from autoposter.publishers import Post

from .graph.versions import DEFAULT, as_api_url

Text = Annotated[str, StringConstraints(min_length=1, strip_whitespace=True)]
Kind = Literal["text", "link", "photos", "video", "reel", "story"]


class Credentials(BaseModel):
    """What lets us in.  The app's own two are optional: with them `check` knows permissions and expiry."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    access_token: SecretStr = Field(description="the Page's own token, or a user's, whose Pages are then listed")
    app_id: SecretStr | None = Field(default=None, description="the id of your Meta app")
    app_secret: SecretStr | None = Field(default=None, description="the secret of your Meta app")


class Settings(BaseModel):
    """Where the Page is."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    page_id: Text = Field(description="the Page's id, such as 104200000000001", pattern=r"^[0-9]+$")
    api_url: str = Field(default=f"https://graph.facebook.com/{DEFAULT}", description="with the version")

    @field_validator("api_url")
    @classmethod
    def _with_a_version(cls, value: str) -> str:
        return as_api_url(value)


class Options(BaseModel):
    """What a post may ask for: `options["facebook"]` of its content."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    kind: Kind | None = None
    """By default one video is a video, pictures are photos, and without media a link decides."""
    title: Text | None = None
    """Of a video or a reel."""


def options_of(post: Post) -> Options:
    """The post's options."""
    return post.options if isinstance(post.options, Options) else Options()


def kind_of(post: Post) -> Kind:
    """The kind that was asked for, or that follows from the content."""
    if asked := options_of(post).kind:
        return asked
    if any(media.kind == "video" for media in post.media):
        return "video"
    if post.media:
        return "photos"
    return "link" if post.link else "text"
