"""The main job as its users run it: rows by plain SQL, and the two bare commands."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from factories import Factories
from processes import Processes

SECOND = timedelta(seconds=1)


@pytest.fixture
def journal(tmp_path: Path) -> Callable[[], list[dict[str, Any]]]:
    """What the stub published so far."""

    def read() -> list[dict[str, Any]]:
        file = tmp_path / "journal.jsonl"
        lines = file.read_text().splitlines(keepends=True) if file.exists() else []
        return [json.loads(line) for line in lines if line.endswith("\n")]  # the last may still be written

    return read


def statuses(fresh: Factories) -> dict[str, int]:
    return dict(fresh.query("select status, count(*) from post_instance group by status"))  # type: ignore[arg-type]


def test_due_posts_are_published_and_all_others_are_left_alone(
    fresh: Factories, run_processes: Processes, wait_until: Any, journal: Any
) -> None:
    due = [fresh.post(-SECOND) for _ in range(20)]
    slot = fresh.post(-SECOND, content_item_id=None)
    switched_off = fresh.post(-SECOND, autopost_enabled=False)
    later = fresh.post(timedelta(hours=1))
    nobodys = fresh.post(-SECOND, channel_account_id=fresh.account(platform="myspace"))

    run_processes.worker()
    run_processes.scheduler()
    wait_until(lambda: statuses(fresh) == {"Posted": 20, "Failed": 1, "Scheduled": 3}, 30, lambda: statuses(fresh))

    assert sorted(line["post_id"] for line in journal()) == due
    assert fresh.query("select status, count(*) from publish_job group by status order by 1") == [
        ("completed", 20),
        ("failed", 1),
    ]
    assert {fresh.row("post_instance", post)["status"] for post in (slot, switched_off, later)} == {"Scheduled"}
    failed = fresh.row("post_instance", nobodys)
    assert "myspace" in failed["last_error"] and "stub" in failed["last_error"]
    posted = fresh.row("post_instance", due[0])
    assert posted["posted_at"] >= posted["scheduled_for"] and posted["platform_post_id"] and posted["permalink"]


def test_the_log_tells_start_up_due_posts_successes_and_failures(
    fresh: Factories, run_processes: Processes, wait_until: Any
) -> None:
    posted = fresh.post(-SECOND)
    failed = fresh.post(-SECOND, channel_account_id=fresh.account(platform="myspace"))

    worker = run_processes.worker()
    wait_until(lambda: statuses(fresh) == {"Posted": 1, "Failed": 1}, 30, lambda: statuses(fresh))

    wait_until(lambda: f"post {failed} on myspace" in worker.output, 5)
    assert "starts with 4 threads; platforms: stub" in worker.output
    # By one scan or two: on a slow start one of them is overdue by then.
    found = re.findall(r"\d posts are due or about to be: (.*)", worker.output)
    assert set(", ".join(found).split(", ")) == {str(posted), str(failed)}
    assert re.search(rf"post {posted} is Posted on stub \(.*\) as stub-\S+, \d+ ms late", worker.output)
    assert re.search(rf"post {failed} on myspace \(.*\) is Failed \(no_publisher\)", worker.output)
    assert "Traceback" in worker.output


def test_posts_go_out_at_their_moment_and_never_early(
    fresh: Factories, run_processes: Processes, wait_until: Any, journal: Any
) -> None:
    run_processes.worker()
    wait_until(lambda: fresh.query("select 1 from worker"), 20)
    for tenth in range(20):
        fresh.post(timedelta(seconds=4 + tenth / 10))

    wait_until(lambda: len(journal()) == 20, 15, journal)

    late = [
        (datetime.fromisoformat(line["published_at"]) - datetime.fromisoformat(line["scheduled_for"])).total_seconds()
        for line in journal()
    ]
    assert min(late) >= 0
    assert max(late) < 1


def test_what_the_owner_changes_by_plain_sql_half_a_second_before_takes_effect(
    fresh: Factories, run_processes: Processes, wait_until: Any, journal: Any
) -> None:
    run_processes.worker()
    wait_until(lambda: fresh.query("select 1 from worker"), 20)
    cancelled, moved, switched_off, edited = (fresh.post(4 * SECOND) for _ in range(4))
    fresh.query(
        "update content_item set caption = 'Edited' from post_instance p where p.content_item_id = content_item.id"
        " and p.id = %s",
        (edited,),
    )
    due = fresh.row("post_instance", cancelled)["scheduled_for"]
    wait_until(lambda: datetime.now(UTC) >= due - SECOND / 2, 10)

    fresh.query("update post_instance set status = 'Cancelled' where id = %s", (cancelled,))
    fresh.query("update post_instance set scheduled_for = scheduled_for + interval '2 s' where id = %s", (moved,))
    fresh.query("update post_instance set autopost_enabled = false where id = %s", (switched_off,))
    wait_until(lambda: len(journal()) == 2, 15, journal)

    lines = {line["post_id"]: line for line in journal()}
    assert lines[edited]["caption"] == "Edited"
    assert (
        lines[moved]["published_at"] >= fresh.row("post_instance", moved)["scheduled_for"].astimezone(UTC).isoformat()
    )
    assert fresh.row("post_instance", cancelled)["status"] == "Cancelled"
    assert fresh.row("post_instance", switched_off)["status"] == "Scheduled"


def lateness(journal: Callable[[], list[dict[str, Any]]], post_id: int) -> float:
    """Seconds from the due time to the publishing of a post."""
    line = next(line for line in journal() if line["post_id"] == post_id)
    due, published = (datetime.fromisoformat(line[name]) for name in ("scheduled_for", "published_at"))
    return (published - due).total_seconds()


@pytest.mark.parametrize("scheduler", [True, False], ids=["periodiq runs", "periodiq is dead"])
def test_a_row_inserted_four_seconds_ahead_is_on_time(
    fresh: Factories, run_processes: Processes, wait_until: Any, journal: Any, scheduler: bool
) -> None:
    run_processes.worker()
    if scheduler:
        run_processes.scheduler()
    wait_until(lambda: fresh.query("select 1 from worker"), 20)

    post = fresh.post(4 * SECOND)
    wait_until(journal, 10)

    assert 0 <= lateness(journal, post) < 1


def test_periodiq_alone_finds_what_is_due_each_minute(
    fresh: Factories, run_processes: Processes, wait_until: Any, journal: Any
) -> None:
    folder = Path(__file__).parent
    run_processes.start("dramatiq", "scanless", "--processes", "1", "--threads", "2", "--path", str(folder))
    wait_until(lambda: fresh.query("select 1 from worker"), 20)
    post = fresh.post(-SECOND)

    scheduler = run_processes.scheduler()
    wait_until(journal, 75, scheduler.output)

    assert [line["post_id"] for line in journal()] == [post]


def test_a_thousand_posts_due_at_once_go_out_once_each_from_two_workers_and_two_schedulers(
    fresh: Factories, run_processes: Processes, wait_until: Any, journal: Any
) -> None:
    account, content = fresh.account(), fresh.content()
    for _ in range(2):
        run_processes.worker(threads=8)
        run_processes.scheduler()
    wait_until(lambda: len(fresh.query("select 1 from worker")) == 2, 30)

    fresh.query(
        "insert into post_instance (channel_account_id, content_item_id, scheduled_for)"
        " select %s, %s, now() + interval '3 s' from generate_series(1, 1000)",
        (account, content),
    )
    wait_until(lambda: statuses(fresh) == {"Posted": 1000}, 60, lambda: statuses(fresh))

    assert len(journal()) == 1000
    assert len({line["post_id"] for line in journal()}) == 1000
    assert fresh.query("select count(*) from publish_job where status = 'completed'") == [(1000,)]
    assert all(line["published_at"] >= line["scheduled_for"] for line in journal())


def test_a_row_that_makes_no_sense_ends_alone(
    fresh: Factories, run_processes: Processes, wait_until: Any, journal: Any
) -> None:
    huge = fresh.post(-SECOND, content_item_id=fresh.content(caption="x" * 1_000_000))
    wrong_options = fresh.post(-SECOND, content_item_id=fresh.content(options={"stub": {"colour": "red"}}))
    not_an_object = fresh.post(-SECOND, content_item_id=fresh.content(options={"stub": 7}))
    wrong_settings = fresh.post(-SECOND, channel_account_id=fresh.account(settings={"page": 1}))
    no_token = fresh.post(-SECOND, channel_account_id=fresh.account(credentials="nonsense"))
    healthy = fresh.post(-SECOND)

    run_processes.worker(AUTOPOSTER_MAX_ATTEMPTS="1")
    wait_until(
        lambda: not fresh.query("select 1 from post_instance where status = 'Scheduled' and retry_at is null"), 30
    )

    said = {post: fresh.row("post_instance", post) for post in (wrong_options, not_an_object, wrong_settings, no_token)}
    # What does not open is our own configuration: it waits to be mended.
    assert said[no_token]["status"] == "Scheduled"
    assert {row["status"] for post, row in said.items() if post != no_token} == {"Failed"}
    assert "colour" in said[wrong_options]["last_error"] and "page" in said[wrong_settings]["last_error"]
    assert all(row["last_error"] for row in said.values())
    assert sorted(line["post_id"] for line in journal()) == [huge, healthy]
