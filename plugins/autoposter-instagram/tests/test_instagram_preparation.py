"""Getting a container ready: it goes on where it stopped, and never replaces what may have been published."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from autoposter.publishers import ContentRejected, Transient
from autoposter.testing import Answer, Lab, Reply, accept_then, make_media
from fake_graph import error
from instagram_examples import FILE, KINDS, instagram, post, requests, step

DAY = timedelta(hours=25)


def attempted(lab: Lab, kind: str = "photo"):
    """A post whose call was promised before."""
    return replace(lab.own(KINDS[kind]), attempted_at=datetime.now(UTC))


def test_what_is_in_progress_is_asked_again_and_not_made_again() -> None:
    with instagram() as (fake, lab):
        fake.asks_until_finished = 5

        lab.prepare(lab.own(KINDS["reel"]))

        assert len(fake.containers) == 1


def test_a_container_that_expired_is_made_anew() -> None:
    with instagram() as (fake, lab):
        own = attempted(lab)
        prepared = lab.prepare(own)
        fake.ahead = DAY

        again = lab.prepare(own, prepared)

        assert again["creation"]["id"] != prepared["creation"]["id"]
        assert lab.attempt(own, again).platform_post_id


def test_a_published_container_is_looked_for_and_not_sent() -> None:
    with instagram() as (fake, lab):
        own = attempted(lab)
        prepared = lab.prepare(own)
        lab.follow(accept_then(Reply.RESET))
        lab.attempt(own, prepared)
        sent = len(requests(fake))

        attempt = lab.attempt(own, lab.prepare(own, prepared))

        assert attempt.platform_post_id == fake.published()[0].id
        assert not any(line.startswith("POST") for line in requests(fake)[sent:])


def test_a_container_that_may_be_published_and_cannot_be_read_is_never_replaced() -> None:
    with instagram() as (fake, lab):
        own = attempted(lab)
        prepared = lab.prepare(own)
        fake.hidden = True

        with pytest.raises(Transient, match="may have been published"), lab.at_work() as (publisher, _wire):
            publisher.prepare(own, prepared)

        assert len(fake.containers) == 1


def test_a_fresh_container_that_cannot_be_read_yet_is_asked_again() -> None:
    with instagram() as (fake, lab):
        own = lab.own(KINDS["photo"])
        fake.hidden = True
        prepared = step(lab, own)
        fake.hidden = False

        assert lab.prepare(own, prepared)["creation"]["id"] == prepared["creation"]["id"]
        assert len(fake.containers) == 1


@pytest.mark.parametrize(
    ("code", "made"), [("2207076", 2), ("2207077", 3), ("2207085", 2), ("2207053", 3), ("2209999", 3)]
)
def test_a_container_that_fails_is_made_again_before_the_content_is_at_fault(code: str, made: int) -> None:
    with instagram() as (fake, lab):
        own, prepared = lab.own(KINDS["reel"]), {}

        with pytest.raises(ContentRejected, match=f"{code[:3]}"):
            for _ in range(20):
                prepared = step(lab, own, prepared)
                for container in fake.containers.values():
                    container.failed = code

        assert len(fake.containers) == made


def test_a_container_that_fails_for_its_content_is_not_made_again() -> None:
    with instagram() as (fake, lab):
        own = lab.own(KINDS["reel"])
        prepared = step(lab, own)
        fake.containers[prepared["creation"]["id"]].failed = "2207026"

        with pytest.raises(ContentRejected, match=r"format.*2207026"):
            step(lab, own, prepared)


def test_a_child_that_fails_is_made_again_alone() -> None:
    with instagram() as (fake, lab):
        own = lab.own(KINDS["carousel"])
        prepared = step(lab, own)
        fake.containers[prepared["children"][1]["id"]].failed = "2207001"

        lab.prepare(own, prepared)

        assert [container.kind for container in fake.containers.values()] == [
            *("IMAGE", "VIDEO", "IMAGE"),
            *("VIDEO", "CAROUSEL"),
        ]


def test_media_that_could_not_be_fetched_once_are_asked_for_again() -> None:
    with instagram() as (fake, lab):
        fake.instead["create"] = [error(9004, 2207052)]

        assert lab.attempt(lab.own(KINDS["photo"])).platform_post_id


def test_media_that_can_never_be_fetched_are_the_contents_fault() -> None:
    with instagram() as (fake, lab):
        fake.instead["create"] = [error(9004, 2207052)] * 4

        with pytest.raises(ContentRejected, match=r"could not fetch.*Tried 4 times"):
            lab.prepare(lab.own(KINDS["photo"]))


def test_trouble_in_the_middle_of_a_carousel_keeps_the_children() -> None:
    with instagram() as (fake, lab):
        own = lab.own(KINDS["carousel"])
        prepared = step(lab, own)
        fake.instead["create"] = [error(2, status=500)]

        lab.attempt(own, lab.prepare(own, prepared))

        assert len(fake.containers) == 4


# --- bytes -----------------------------------------------------------------------------------------------------------


def test_an_upload_that_breaks_off_goes_on_where_it_stopped() -> None:
    film = replace(make_media("video", b"0123456789" * 1000, alt_text=""), _public_url=FILE._public_url)
    with instagram() as (fake, lab):
        fake.break_uploads_at = [3000]
        own = lab.own(post(film))

        attempt = lab.attempt(own, lab.prepare(own))

        uploads = [content for content in fake.received if b"0123456789" in content]
        assert [len(content) - 1 for content in uploads] == [10_000, 7_000]
        assert attempt.platform_post_id and len(fake.containers) == 1


def test_an_upload_that_is_refused_gets_a_new_container() -> None:
    refused = {"debug_info": {"retriable": False, "type": "ProcessingFailedError", "message": "failed"}}
    with instagram() as (fake, lab):
        fake.instead["upload"] = [Answer.json(400, refused)]
        own = lab.own(KINDS["reel from a file"])

        assert lab.attempt(own, lab.prepare(own)).platform_post_id
        assert len(fake.containers) == 2


def test_an_upload_is_given_up_when_it_is_refused_each_time() -> None:
    refused = {"debug_info": {"retriable": False, "type": "ProcessingFailedError", "message": "failed"}}
    with instagram() as (fake, lab):
        fake.instead["upload"] = [Answer.json(400, refused)] * 10

        with pytest.raises(ContentRejected, match="ProcessingFailedError: failed"):
            lab.prepare(lab.own(KINDS["reel from a file"]))
