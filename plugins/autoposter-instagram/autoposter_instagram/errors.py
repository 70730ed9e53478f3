"""Instagram's own codes, and what each proves.  `None` as code: the subcode alone is known."""

from __future__ import annotations

from datetime import timedelta

from autoposter.publishers import (
    AccountRejected,
    ContentRejected,
    OutcomeUnknown,
    RateLimited,
    Transient,
)

from .graph.errors import GENERAL, HOUR, Row, Table

#: A container is not taken back into work sooner.
SOON = timedelta(seconds=30)

NOT_FETCHED = "Instagram could not fetch the media from their address."
NO_LONGER_THERE = "Instagram no longer has what was prepared; it is prepared again."
PRODUCT_TAGS = "Instagram does not take the tags."
OLD_CODE = "Instagram does not take the picture."

TABLE: Table = (
    Row(NOT_FETCHED, Transient, OutcomeUnknown, -2, 2207003),
    Row(NO_LONGER_THERE, Transient, Transient, -2, 2207020),
    Row("Instagram has trouble of its own.", Transient, OutcomeUnknown, -1, 2207001),
    Row("Instagram could not take up the media.", Transient, OutcomeUnknown, -1, 2207032),
    Row("Instagram could not take up the video.", Transient, OutcomeUnknown, -1, 2207053, tries=2),
    Row("`thumb_offset` lies outside the video.", ContentRejected, ContentRejected, 1, 2207057),
    # Answered to posts that were live: trying again has made duplicates.
    Row("Instagram suspects spam.", RateLimited, OutcomeUnknown, 4, 2207051, wait=HOUR),
    Row("The account has published as much as it may in a day.", RateLimited, RateLimited, 9, 2207042, wait=HOUR),
    Row(NO_LONGER_THERE, Transient, OutcomeUnknown, 24, 2207006),
    Row(NO_LONGER_THERE, Transient, Transient, 24, 2207008, wait=SOON),
    Row("The account is inactive, checkpointed or restricted.", AccountRejected, AccountRejected, 25, 2207050),
    Row("Instagram has no such kind of media.", ContentRejected, ContentRejected, 100, 2207023),
    Row("A carousel takes 2 to 10 media.", ContentRejected, ContentRejected, 100, 2207028),
    Row(PRODUCT_TAGS, ContentRejected, ContentRejected, 100, 2207035),
    Row(PRODUCT_TAGS, ContentRejected, ContentRejected, 100, 2207036),
    Row(PRODUCT_TAGS, ContentRejected, ContentRejected, 100, 2207037),
    Row("Instagram takes 20 tags.", ContentRejected, ContentRejected, 100, 2207040),
    Row("Instagram does not take the video's format.", ContentRejected, ContentRejected, 352, 2207026),
    Row(NOT_FETCHED, Transient, OutcomeUnknown, 9004, 2207052, tries=3),
    Row("The media are not ready yet.", Transient, Transient, 9007, 2207027, wait=timedelta(seconds=10)),
    Row("The picture is larger than 8 MiB.", ContentRejected, ContentRejected, 36000, 2207004),
    Row("Instagram takes JPEG pictures only.", ContentRejected, ContentRejected, 36001, 2207005),
    Row("The picture is too tall or too wide.", ContentRejected, ContentRejected, 36003, 2207009),
    Row("The caption is too long, or has too many # or @.", ContentRejected, ContentRejected, 36004, 2207010),
    Row("Instagram could not process the media.", Transient, OutcomeUnknown, None, 2207076, tries=1),
    Row(NOT_FETCHED, Transient, OutcomeUnknown, None, 2207077, tries=2),
    Row("Instagram could not process the video.", Transient, OutcomeUnknown, None, 2207085, tries=1),
    Row("The account has no trial reels.", ContentRejected, ContentRejected, None, 2207081),
    Row("Instagram could not take up the media.", Transient, OutcomeUnknown, None, 2207082),
    Row("There is no such account, or the token does not see it.", AccountRejected, AccountRejected, 100, 33),
    Row(OLD_CODE, ContentRejected, ContentRejected, 110),
    Row(OLD_CODE, ContentRejected, ContentRejected, range(36000, 36100)),
    Row(OLD_CODE, ContentRejected, ContentRejected, None, 2207024),
    Row(
        "The account is no professional account any more, or was unlinked.",
        AccountRejected,
        AccountRejected,
        text="not an Instagram business account",
    ),
    Row(
        "The token's owner may not publish for the account.",
        AccountRejected,
        AccountRejected,
        text="Not enough permissions to post",
    ),
    Row(
        "The session was ended: reconnect the account.",
        AccountRejected,
        AccountRejected,
        text="session has been invalidated",
    ),
    Row(
        "The page of `location_id` has no place.",
        ContentRejected,
        ContentRejected,
        text="INSTAGRAM_PLATFORM_API__INVALID_LOCATION_ID",
    ),
    *GENERAL,
)
