"""Safeguards that the core's own tests miss: which is taken away, and the test that must fail without it."""

from __future__ import annotations

#: Safeguards in statements: the text, and what stands there without it.
STATEMENTS = {
    "a look reads the rows as they are now": (
        "j.attempt, j.content, j.idempotency_key,",
        "j.attempt, (select j.content || jsonb_build_object('caption', c.caption)"
        " from content_item c where c.id = p.content_item_id) as content, j.idempotency_key,",
    ),
    "a scan waits for whoever holds a row": ("for update of p skip locked ) update", "for update of p ) update"),
}

#: What is done to the code, as a function of `sabotage` or one of the statements, and the test that notices.
NOTICED_BY = {
    "a_connection_is_closed_gently": (
        "test_http.py::test_a_server_that_reads_after_the_deadline_never_gets_the_whole_request"
    ),
    "the_kernel_knows_no_deadline": (
        "test_http.py::test_the_kernel_gives_up_too_at_the_deadline_of_a_process_that_was_killed"
    ),
    "a_redirect_is_followed": "test_http.py::test_a_redirect_of_the_irreversible_call_is_not_followed",
    "an_id_may_be_anothers": "test_recovery.py::test_an_id_that_another_post_of_the_account_has_is_no_find",
    "leases_are_taken_over_at_once": (
        "test_leases.py::test_expired_leases_are_taken_over_after_ten_seconds_of_unbroken_beats"
    ),
    "a_hung_publisher_keeps_its_lease": (
        "test_leases.py::test_a_publisher_that_hangs_loses_its_job_like_a_dead_workers"
    ),
    "the_wall_clock_is_believed": "test_clock.py::test_a_wall_clock_that_jumps_sends_nothing_early",
    "only_the_monotonic_clock_counts": "test_clock.py::test_of_two_clocks_the_longer_time_counts",
    "a_key_lasts_for_ever": "test_lifecycle.py::test_a_keyed_attempt_is_sent_again_only_while_its_key_lasts",
    "a_blind_publisher_is_asked": "test_publishing.py::test_a_blind_publisher_is_never_asked_to_find",
    "an_outcome_is_written_once": "test_settling.py::test_an_outcome_is_tried_until_the_database_is_back",
    "a_refusal_of_redis_is_no_outage": "test_broker.py::test_a_redis_that_refuses_or_is_late_counts_as_away",
    "marks_are_not_taken_back": "test_scanning.py::test_the_marks_of_what_the_broker_refused_are_taken_back",
    "an_unconfirmed_intent_counts": "test_publishing.py::test_an_intent_that_was_not_confirmed_sends_nothing",
    "a look reads the rows as they are now": "test_looks.py::test_a_look_is_made_with_the_attempts_own_snapshot",
    "a scan waits for whoever holds a row": "test_scanning.py::test_a_scan_waits_for_no_one_who_holds_a_row",
}
