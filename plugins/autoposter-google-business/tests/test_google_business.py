"""The publisher keeps autoposter's contract.

`pytest test_google_business.py -s -k sentence` prints what a person sees of each limit.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

import google_business_answers as answers
from autoposter.publishers import AccountRejected, ContentRejected, RateLimited, Transient
from autoposter.testing import PublisherConformance, make_media, make_post, refuse
from autoposter_google_business import limits
from autoposter_google_business.options import PostOptions
from autoposter_google_business.publisher import GoogleBusiness
from fake_google_business import FakeGoogleBusiness
from google_business_examples import LINK, event, offer, options, photo


def known(kind: type[Exception]) -> list[object]:
    """The answers that must be raised as this."""
    return [refuse(http, body) for http, body, raises, _ in answers.ROWS.values() if raises is kind]


class TestGoogleBusiness(PublisherConformance):
    publisher = GoogleBusiness
    fake = FakeGoogleBusiness
    media = (photo(),)
    refusals = {
        AccountRejected: known(AccountRejected),
        ContentRejected: known(ContentRejected),
        RateLimited: [*known(RateLimited), refuse(429, answers.error(429, answers.EXHAUSTED), retry_after="7")],
        Transient: known(Transient),
    }
    limits = {
        "text is empty": make_post(" "),
        "The text has 1,501 characters (an emoji counts as two); Google takes 1,500.": make_post(
            "x" * 1499 + "\U0001f389"
        ),
        "phone number (+49 30 1234567)": make_post("Call +49 30 1234567."),
        "no video": make_post(media=[make_media("video")]),
        "2 photos": make_post(media=[photo(), photo()]),
        "WEBP, and only JPEG or PNG": make_post(media=[photo(mime_type="image/webp")]),
        "10,239 bytes": make_post(media=[photo(b"\xff" * 10_239)]),
        "5,242,881 bytes": make_post(media=[photo(b"\xff" * 5_242_881)]),
        "900x249 pixels": make_post(media=[photo(width=900, height=249)]),
        "https address with a named host": make_post(media=[photo(public_url="https://203.0.113.7/a.jpg")]),
        "'http://media.example/a.jpg'": make_post(media=[photo(public_url="http://media.example/a.jpg")]),
        "two links": make_post(link=LINK, options=options(call_to_action={"action": "SHOP", "url": LINK + "/2"})),
        "leads nowhere": make_post(options=options(call_to_action={"action": "ORDER"})),
        "CALL dials": make_post(link=LINK, options=options(call_to_action={"action": "CALL"})),
        "The link is 'ftp://shop.example'": make_post(link="ftp://shop.example"),
        "The link is 'http://127.0.0.1/'": make_post(options=offer(redeem_url="http://127.0.0.1/")),
        "title is empty": make_post(options=event(title=" ")),
        "title has 59 characters": make_post(options=offer(title="x" * 59)),
        "coupon code has 59 characters": make_post(options=offer(coupon_code="x" * 59)),
        "terms have 5,001 characters": make_post(options=offer(terms="x" * 5001)),
    }


@pytest.mark.parametrize("words", TestGoogleBusiness.limits)
def test_each_limit_is_one_sentence(words: str) -> None:
    given = TestGoogleBusiness.limits[words]
    post = given if isinstance(given.options, PostOptions) else replace(given, options=PostOptions())

    (sentence,) = [*limits.PICTURES.problems(post.media), *limits.problems(post)]

    print(sentence)
    assert words in sentence and sentence.endswith(".")
