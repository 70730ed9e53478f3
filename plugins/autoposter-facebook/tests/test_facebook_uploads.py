"""Getting media ready: it goes on where it stopped."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from autoposter.publishers import ContentRejected
from facebook_examples import FILM, KINDS, facebook, post, requests, step


def test_an_upload_that_breaks_off_goes_on_where_it_stopped() -> None:
    with facebook() as (fake, lab):
        fake.break_uploads_at = [100_000]
        own = lab.own(KINDS["reel"])

        attempt = lab.attempt(own, lab.prepare(own))

        uploads = [len(content) - 1 for content in fake.received if len(content) > 1000]
        assert uploads == [250_000, 150_000]
        assert attempt.platform_post_id and len(fake.uploads) == 1


def test_a_video_in_pieces_goes_on_where_the_platform_says() -> None:
    with facebook() as (fake, lab):
        own = lab.own(KINDS["video"])
        prepared = step(lab, own)
        (upload,) = fake.uploads.values()
        upload.arrived = 100_000  # a worker was killed, and what it knew is old
        stale = {"uploads": [prepared["uploads"][0] | {"begin": 0, "end": 100_000, "ready": False}]}

        attempt = lab.attempt(own, lab.prepare(own, stale))

        assert attempt.platform_post_id and len(fake.uploads) == 1


def test_trouble_in_the_middle_of_a_video_keeps_what_has_arrived() -> None:
    with facebook() as (fake, lab):
        own = lab.own(KINDS["video"])
        fake.fail_at_piece = 2

        lab.attempt(own, lab.prepare(own))

        assert len(fake.published()) == 1 and len(fake.uploads) == 1


def test_a_video_that_is_still_taken_up_is_asked_about_and_not_sent_again() -> None:
    with facebook() as (fake, lab):
        fake.asks_until_taken_up = 3
        own = lab.own(KINDS["reel"])

        attempt = lab.attempt(own, lab.prepare(own))

        assert attempt.platform_post_id
        assert sum("video-upload" in line for line in requests(fake)) == 1


def test_a_video_that_is_refused_is_the_contents_fault() -> None:
    with facebook() as (fake, lab):
        own = lab.own(KINDS["reel"])
        fake.asks_until_taken_up = 9
        prepared = step(lab, own)
        next(iter(fake.uploads.values())).refused = "Resolution too low."

        with pytest.raises(ContentRejected, match="Resolution too low"):
            step(lab, own, prepared)


def test_photos_that_are_a_day_old_are_uploaded_anew() -> None:
    with facebook() as (fake, lab):
        own = lab.own(KINDS["photos"])
        prepared = lab.prepare(own)
        for upload in prepared["uploads"]:
            upload["made_at"] = (datetime.now(UTC) - timedelta(hours=21)).isoformat()

        again = lab.prepare(own, prepared)

        assert len(fake.uploads) == 6
        assert lab.attempt(own, again).platform_post_id


def test_trouble_with_the_second_photo_keeps_the_first() -> None:
    with facebook() as (fake, lab):
        fake.fail_at_photo = 2

        prepared = lab.prepare(lab.own(KINDS["photos"]))

        assert [upload["id"] for upload in prepared["uploads"]] == list(fake.uploads)
        assert len(fake.uploads) == 3


def test_a_video_of_unknown_size_is_told() -> None:
    with facebook() as (_fake, lab), pytest.raises(ContentRejected, match="size of the video is not known"):
        lab.prepare(lab.own(post(replace(FILM, size=None))))
