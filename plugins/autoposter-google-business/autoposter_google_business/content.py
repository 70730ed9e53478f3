"""A post as the API takes it, and as it is recognised in a listing.

    POST {api_url}/{location}/localPosts
    {"languageCode", "summary", "topicType", "callToAction"?, "event"?, "offer"?, "media"?: [one photo]}

Times stand on the location's own clock, in all four parts, or Google refuses them.  Zero and empty values are left out
of Google's answers, and of a photo only an address of Google's own comes back.
"""

from __future__ import annotations

import unicodedata
from datetime import datetime, timedelta
from typing import Any

from autoposter.publishers import Media, Post
from autoposter_google_business.options import Event, Offer, PostOptions

#: So much may Google's clock differ from ours, and a call take before its post is created.
CLOCK_SLACK = timedelta(minutes=2)


def options_of(post: Post) -> PostOptions:
    """The options of a post, typed."""
    assert isinstance(post.options, PostOptions)
    return post.options


def topic(options: PostOptions) -> str:
    """What kind of post it is, in Google's word."""
    return "OFFER" if options.offer else "EVENT" if options.event else "STANDARD"


def period(options: PostOptions) -> Event | None:
    """The title and the time of an event or an offer."""
    return options.offer or options.event


def button(post: Post) -> dict[str, str] | None:
    """The call to action.  A link alone is a `LEARN_MORE`; an offer has none: its link is where it is redeemed."""
    options = options_of(post)
    given = options.call_to_action
    if options.offer:
        return None
    if given is None:
        return {"actionType": "LEARN_MORE", "url": post.link} if post.link else None
    if given.action == "CALL":
        return {"actionType": "CALL"}
    return {"actionType": given.action, "url": given.url or post.link or ""}


def local_post(post: Post, language: str) -> dict[str, Any]:
    """The body of the one irreversible request.  Raises ContentRejected where the photo has no public address."""
    options = options_of(post)
    said: dict[str, Any] = {
        "languageCode": options.language or language,
        "summary": post.caption,
        "topicType": topic(options),
    }
    if call := button(post):
        said["callToAction"] = call
    if what := period(options):
        said["event"] = {"title": what.title, "schedule": _schedule(what)}
    if options.offer and (offer := _offer(options.offer, post.link)):
        said["offer"] = offer
    if post.media:
        said["media"] = [_photo(media) for media in post.media]
    return said


def _schedule(event: Event) -> dict[str, dict[str, int]]:
    return {
        "startDate": _date(event.start),
        "startTime": _time(event.start),
        "endDate": _date(event.end),
        "endTime": _time(event.end),
    }


def _date(moment: datetime) -> dict[str, int]:
    return {"year": moment.year, "month": moment.month, "day": moment.day}


def _time(moment: datetime) -> dict[str, int]:
    return {"hours": moment.hour, "minutes": moment.minute}


def _offer(offer: Offer, link: str | None) -> dict[str, str]:
    fields = {
        "couponCode": offer.coupon_code,
        "redeemOnlineUrl": offer.redeem_url or link,
        "termsConditions": offer.terms,
    }
    return {name: value for name, value in fields.items() if value}


def _photo(media: Media) -> dict[str, str]:
    return {"mediaFormat": "PHOTO", "sourceUrl": media.public_url}


# --- Recognised in a listing -----------------------------------------------------------------------------------------


def created_at(listed: dict[str, Any]) -> datetime:
    """When Google made a listed post.  Raises ValueError where it does not say so legibly."""
    moment = datetime.fromisoformat(str(listed.get("createTime")))
    if moment.tzinfo is None:
        raise ValueError(f"{moment} has no time zone")
    return moment


def fits(listed: dict[str, Any], post: Post) -> bool:
    """Whether a listed post may be the one that was sent: since its first attempt, of its kind, saying the same."""
    since = (post.attempted_at or post.scheduled_for) - CLOCK_SLACK
    return created_at(listed) >= since and _said(listed) == _meant(post)


def same_address(listed: dict[str, Any], post: Post) -> bool:
    """Whether its button leads where the post's does: decides between several that fit.

    Not a condition for one that fits alone: Google may write an address in another way.
    """
    return _of(listed, "callToAction").get("url") == (button(post) or {}).get("url")


def _meant(post: Post) -> tuple[str, ...]:
    options = options_of(post)
    what = period(options)
    action = (button(post) or {}).get("actionType", "")
    return topic(options), normal(post.caption), normal(what.title if what else ""), action


def _said(listed: dict[str, Any]) -> tuple[str, ...]:
    title = _of(listed, "event").get("title", "")
    action = _of(listed, "callToAction").get("actionType", "")
    return str(listed.get("topicType")), normal(str(listed.get("summary", ""))), normal(str(title)), str(action)


def _of(listed: dict[str, Any], name: str) -> dict[str, Any]:
    value = listed.get(name)
    return value if isinstance(value, dict) else {}


def normal(text: str) -> str:
    """A text without the differences that a platform may make: composed characters, line ends, outer space."""
    return unicodedata.normalize("NFC", text).replace("\r\n", "\n").strip()
