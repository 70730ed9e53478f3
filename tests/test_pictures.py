"""What a platform takes of pictures is named by the core, in one sentence each."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import httpx2
import pytest

from autoposter.publishers import Delivery, PictureLimits, Post, Publisher, Receipt
from autoposter.publishers.base import reasons
from autoposter.testing import make_account, make_media, make_post

LIMITS = PictureLimits(
    formats=("image/jpeg",), max_bytes=8_000_000, max_pixels=36_000_000, min_side=250, min_ratio=0.8, max_ratio=1.91
)


def said(limits: PictureLimits, **known: Any) -> list[str]:
    picture = make_media("image", b"", mime_type=known.pop("mime_type", "image/jpeg"), **known)
    return list(limits.problems([picture]))


def test_a_picture_within_the_limits_has_no_problem() -> None:
    assert said(LIMITS, width=1080, height=1080) == []


@pytest.mark.parametrize(
    ("known", "sentence"),
    [
        ({"mime_type": "image/png"}, "The picture is PNG, and only JPEG is taken: convert it"),
        ({"width": 9000, "height": 9000}, "The picture has 9000x9000 pixels, and 36,000,000 are taken: convert it"),
        ({"width": 249, "height": 260}, "The picture has 249x260 pixels, and each side needs 250: take a bigger one."),
        ({"width": 1000, "height": 500}, "The picture is 2.00 times as wide as high, and 0.8 to 1.91 is taken: cut it"),
        ({"width": 700, "height": 1000}, "The picture is 0.70 times as wide as high, and 0.8 to 1.91 is taken: cut it"),
    ],
)
def test_a_picture_beyond_a_limit_is_told_which_and_what_to_do(known: dict[str, Any], sentence: str) -> None:
    problems = said(LIMITS, **known)

    assert len(problems) == 1
    assert problems[0].startswith(sentence)


def test_a_file_that_is_too_big_is_told_both_sizes() -> None:
    [problem] = PictureLimits(("image/png",), max_bytes=10).problems([make_media("image", b"x" * 11)])

    assert problem.startswith("The picture has 11 bytes, and 10 are taken: convert it (`autoposter schedule --fit`")


def test_only_the_picture_with_a_problem_is_named_and_films_are_left_out() -> None:
    album = [make_media("video"), make_media("image"), make_media("image", mime_type="image/webp")]

    [problem] = PictureLimits(("image/png", "image/jpeg")).problems(album)

    assert problem.startswith("Picture 2 is WEBP, and only PNG or JPEG is taken")


def test_what_is_not_known_of_a_picture_is_no_reason_to_refuse_it() -> None:
    unknown = make_media("image", width=None, height=None)
    unknown = replace(unknown, mime_type=None, size=None)

    assert list(LIMITS.problems([unknown])) == []


class Gallery(Publisher):
    """Takes only JPEG, and no post that says nothing."""

    platform = "gallery"
    delivery = Delivery.BLIND
    pictures = PictureLimits(("image/jpeg",))

    def validate(self, post: Post) -> Iterable[str]:
        return [] if post.caption else ["The caption is empty."]

    def publish(self, post: Post, prepared: dict[str, Any]) -> Receipt:
        raise NotImplementedError


def test_a_publisher_that_lists_its_pictures_need_not_check_them() -> None:
    with httpx2.Client() as http:
        found = list(reasons(Gallery(make_account(Gallery), http), make_post("", media=[make_media("image")])))

    assert [problem.split(",")[0] for problem in found] == ["The picture is PNG", "The caption is empty."]
