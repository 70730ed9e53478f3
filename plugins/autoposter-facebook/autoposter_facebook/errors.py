"""Facebook's own codes, and what each proves."""

from __future__ import annotations

from datetime import timedelta

from autoposter.publishers import (
    AccountRejected,
    ContentRejected,
    OutcomeUnknown,
    RateLimited,
    Transient,
)

from .graph.errors import GENERAL, HOUR, PASSING, Row, Table

SAME_AGAIN = "Facebook does not take the same content twice in a row."
BAD_PICTURE = "Facebook does not take the picture."
BAD_VIDEO = "Facebook does not take the video's shape, resolution, length or frame rate."
STANDARDS = "Facebook finds that it breaks its standards."
IDENTITY = "Facebook asks for a proof of identity before the Page may publish."
LIMITED = "Facebook has limited the account: look at its messages there."

#: Whether it is out is asked first, where an earlier attempt may have come through.
SAME = frozenset({(506, None), (None, 1366051)})

TABLE: Table = (
    Row(SAME_AGAIN, ContentRejected, ContentRejected, 506),
    Row("Facebook has posted these photos already.", ContentRejected, ContentRejected, None, 1366051),
    Row(SAME_AGAIN, ContentRejected, ContentRejected, 368, text="duplicate"),
    Row(SAME_AGAIN, ContentRejected, ContentRejected, 368, text="already posted"),
    Row("Facebook asks for a pause: posting too fast.", RateLimited, RateLimited, None, 1390008, wait=HOUR),
    Row("There is no such Page, or the token does not see it.", AccountRejected, AccountRejected, 100, 33),
    Row(BAD_PICTURE, ContentRejected, ContentRejected, 324),
    Row("The picture is too large for Facebook.", ContentRejected, ContentRejected, None, 1366046),
    Row(BAD_PICTURE, ContentRejected, ContentRejected, None, 2069019),
    Row("Facebook could not fetch the video.", Transient, Transient, 389, wait=timedelta(seconds=30)),
    Row("Facebook could not take up the file.", ContentRejected, ContentRejected, 6000),
    Row("Facebook could not take up the file.", Transient, Transient, 6001, wait=timedelta(seconds=30)),
    Row("The video is too small.", ContentRejected, ContentRejected, 382),
    Row(BAD_VIDEO, ContentRejected, ContentRejected, None, 1363040),
    Row(BAD_VIDEO, ContentRejected, ContentRejected, None, 1363127),
    Row(BAD_VIDEO, ContentRejected, ContentRejected, None, 1363128),
    Row(BAD_VIDEO, ContentRejected, ContentRejected, None, 1363129),
    Row("Facebook cannot see the link.", ContentRejected, ContentRejected, None, 1609005),
    Row("Facebook takes no links to itself.", ContentRejected, ContentRejected, None, 1609008),
    Row("Facebook does not take the link.", ContentRejected, ContentRejected, None, 2061006),
    Row(STANDARDS, ContentRejected, ContentRejected, None, 1346003),
    Row(STANDARDS, ContentRejected, ContentRejected, None, 1404102),
    Row(LIMITED, AccountRejected, AccountRejected, None, 1404006),
    Row(LIMITED, AccountRejected, AccountRejected, None, 1404112),
    Row(IDENTITY, AccountRejected, AccountRejected, None, 1404078),
    Row(IDENTITY, AccountRejected, AccountRejected, None, 4854002),
    Row(PASSING, Transient, OutcomeUnknown, None, 1363047),
    Row(PASSING, Transient, OutcomeUnknown, None, 1609010),
    *GENERAL,
)
