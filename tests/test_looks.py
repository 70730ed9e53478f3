"""Looks at unknown outcomes on the real database."""

from __future__ import annotations

from typing import Any

import pytest
from factories import Factories
from moves import (
    SECOND,
    forge_job,
    looked_at,
    unknown,
)

from autoposter.store import looks

pytestmark = pytest.mark.usefixtures("database")


# --- looks -----------------------------------------------------------------------------------------------------------


def test_a_look_is_made_with_the_attempts_own_snapshot(make_post: Any, factories: Factories) -> None:
    post = make_post(-SECOND)
    attempt = unknown(post)
    factories.query("update content_item set caption = 'edited since'")
    factories.query("update post_instance set caption = 'edited since', content_item_id = null")

    look = looks.claim_look(attempt.job_id, worker="w2")

    assert look is not None
    assert look.attempt.content == attempt.content and look.attempt.idempotency_key == attempt.idempotency_key
    assert look.attempt.worker == "w2" and look.looks == 1
    assert look.called_at == look.intent_at == look.attempt.attempted_at


def test_one_look_is_made_at_a_time_and_none_before_its_time(make_post: Any, factories: Factories) -> None:
    look = looked_at(make_post(-SECOND), "w2")
    later = unknown(make_post(-SECOND))
    factories.query("update publish_job set look_at = now() + interval '1 min' where id = %s", (later.job_id,))

    assert looks.claim_look(look.attempt.job_id, worker="w3") is None
    assert looks.claim_look(later.job_id, worker="w3") is None
    assert looks.claim_look(2**62, worker="w3") is None


def test_a_look_by_a_number_in_other_words_has_the_jobs_own_number(make_post: Any) -> None:
    """It is what leases are renewed by: a text among them would stop the renewal of all."""
    attempt = unknown(make_post(-SECOND))

    look = looks.claim_look(f"00{attempt.job_id}", worker="w2")  # type: ignore[arg-type]

    assert look is not None and look.attempt.job_id == attempt.job_id


def test_sending_again_forgets_the_end_of_the_first_call_and_counts_from_now(
    make_post: Any, factories: Factories
) -> None:
    look = looked_at(make_post(-SECOND))
    assert look.ended_at is not None

    at = looks.send_again(look)

    factories.query("update publish_job set lease_until = now() - interval '1 s'")
    following = looks.claim_look(look.attempt.job_id, worker="w3")
    assert following is not None and at is not None
    assert following.ended_at is None and following.called_at == at > following.intent_at


NOT_AGAIN = {
    "lease over": "update publish_job set lease_until = now() - interval '1 ms'",
    "job of another worker": "update publish_job set worker = 'w3'",
    "a later look": "update publish_job set looks = looks + 1",
    "job settled": "update publish_job set status = 'completed', finished_at = now()",
    "post switched off": "update post_instance set autopost_enabled = false",
    "account paused": "update channel_account set paused_until = now() + interval '1 min'",
    "account disabled": "update channel_account set status = 'disabled'",
    "account disconnected": "update channel_account set status = 'disconnected'",
}


@pytest.mark.parametrize("change", NOT_AGAIN.values(), ids=NOT_AGAIN.keys())
def test_nothing_is_sent_again_where_something_forbids_it(
    make_post: Any, factories: Factories, job_row: Any, change: str
) -> None:
    look = looked_at(make_post(-SECOND))
    factories.query(change)

    assert looks.send_again(look) is None
    assert job_row(look.attempt.job_id)["ended_at"] is not None


def test_an_id_of_another_post_of_the_account_is_recognised(make_post: Any, factories: Factories) -> None:
    mine = make_post(-SECOND)
    account = factories.row("post_instance", mine)["channel_account_id"]
    make_post(-SECOND, channel_account_id=account, platform_post_id="theirs")
    forge_job(factories, make_post(-SECOND, channel_account_id=account), platform_post_id="late")
    forge_job(factories, mine, platform_post_id="mine, late")
    make_post(-SECOND, platform_post_id="elsewhere")
    factories.query("update post_instance set platform_post_id = 'mine' where id = %s", (mine,))

    asked = ("theirs", "late", "elsewhere", "mine", "mine, late", "new")
    assert [name for name in asked if looks.belongs_to_another(mine, account, name)] == ["theirs", "late"]
