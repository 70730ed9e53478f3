"""What a post is beside its text: `content_item.options["google_business"]`.

The kind follows from it: with `event` it is an event, with `offer` an offer, with neither an update.  What makes no
sense in itself (a date that does not exist, an end before its start) is refused here; what the platform limits, in
`limits`.
"""

from __future__ import annotations

import re
from datetime import datetime, time
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, model_validator
from pydantic_core import PydanticCustomError

#: GET_OFFER is deprecated, and "no button" is no call to action at all.
Action = Literal["BOOK", "ORDER", "SHOP", "LEARN_MORE", "SIGN_UP", "CALL"]


def _language(code: str) -> str:
    if not re.fullmatch(r"[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*", code):
        raise PydanticCustomError("language", "a language is a code such as en, de-AT or pt-BR")
    return code


Language = Annotated[str, AfterValidator(_language)]
"""`en`, `pt-BR`, `zh-Hant-TW`: BCP 47, by its shape."""

_DATE = re.compile(r"\d{4}-\d\d-\d\d")
_MOMENT = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:00)?")


def _on_the_wall(value: Any, whole_day: time) -> datetime:
    """A time of the location's own clock; a date alone is its first or its last minute."""
    try:
        if isinstance(value, str) and _DATE.fullmatch(value):
            return datetime.combine(datetime.fromisoformat(value), whole_day)
        if isinstance(value, str) and _MOMENT.fullmatch(value):
            return datetime.fromisoformat(value)
    except ValueError as error:
        raise PydanticCustomError("wall_time", "{value} does not exist", {"value": value}) from error
    if isinstance(value, datetime) and value.tzinfo is None:
        return value
    raise PydanticCustomError(
        "wall_time",
        "this must be a date (2026-05-01) or a time on the location's own clock (2026-05-01T09:00), without a zone",
    )


Start = Annotated[datetime, BeforeValidator(lambda value: _on_the_wall(value, time(0, 0)))]
End = Annotated[datetime, BeforeValidator(lambda value: _on_the_wall(value, time(23, 59)))]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class CallToAction(_Strict):
    """A button below the post."""

    action: Action
    url: str | None = None
    """Where it leads; the post's own link where it is left out.  `CALL` leads nowhere: it dials."""

    @model_validator(mode="after")
    def _a_call_has_no_address(self) -> Self:
        if self.action == "CALL" and self.url is not None:
            raise PydanticCustomError("call", "CALL dials the profile's own phone number: leave out its `url`")
        return self


class Event(_Strict):
    """Something that begins and ends."""

    title: str
    start: Start
    end: End
    """A date alone is the end of that day."""

    @model_validator(mode="after")
    def _ends_after_its_start(self) -> Self:
        if self.end <= self.start:
            raise PydanticCustomError(
                "inverted",
                "it ends ({end}) before it has begun ({start})",
                {"end": self.end.isoformat(" ", "minutes"), "start": self.start.isoformat(" ", "minutes")},
            )
        return self


class Offer(Event):
    """An event that sells something: its time is when the offer holds."""

    coupon_code: str | None = None
    redeem_url: str | None = None
    """Where it is redeemed online; the post's own link where it is left out."""
    terms: str | None = None


class PostOptions(_Strict):
    """What a post is beside its text, its link and its photo."""

    language: Language | None = None
    """The language of the text, `pt-BR`; the account's own where it is left out."""
    call_to_action: CallToAction | None = None
    event: Event | None = None
    offer: Offer | None = None

    @model_validator(mode="after")
    def _is_one_kind(self) -> Self:
        if self.event and self.offer:
            raise PydanticCustomError("kinds", "a post is an `event` or an `offer`, not both")
        if self.offer and self.call_to_action:
            raise PydanticCustomError("kinds", "an offer has no `call_to_action`: give the offer a `redeem_url`")
        return self
