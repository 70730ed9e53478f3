"""Many posts whose platform works on their media for long: no thread waits for it, and all go out on their second."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from faults.figures import Figures
from faults.machines import Machines, lateness
from faults.odd_publishers import Preparing
from processes import wait_until

pytestmark = pytest.mark.measured


def test_posts_whose_media_are_not_ready_for_long(
    machines: Machines, figures: Figures, long: bool, tmp_path: Path
) -> None:
    count, working = (200, 120) if long else (60, 10)
    uploads = tmp_path / "uploads.jsonl"
    settings = {"ODD_UPLOADS": str(uploads), "ODD_PREPARING_SECONDS": str(working)}
    due = time.time() + working + 20
    posts = machines.schedule([due + number / 20 for number in range(count)], platforms=[Preparing.platform])

    machines.workers(1, **settings)
    wait_until(lambda: len(made(uploads)) == count, 15, machines.state)
    with machines.load(per_second=5):
        edited = posts[-1]
        machines.rows.query(
            "update content_item c set caption = c.caption || ' edited' from post_instance p"
            " where p.content_item_id = c.id and p.id = %s",
            (edited,),
        )
        machines.workers(1, **settings)  # whose first chores find it at once, not those of the next minute
        wait_until(lambda: len(made(uploads)) == count + 1, 15, machines.state)
        open_posts = "select count(*) from post_instance where id = any(%s) and status <> 'Posted'"
        wait_until(lambda: machines.rows.query(open_posts, (posts,))[0][0] == 0, working + 60, machines.state)
    machines.settle()

    report = machines.judge(figures)
    calls = machines.rows.query("select count(*) from publish_job where post_instance_id = any(%s)", (posts,))[0][0]
    figures.numbers("2 x 8 threads", posts=count, working_s=working, uploads=len(made(uploads)), attempts=calls)
    late = lateness(report, lambda post: post.platform == Preparing.platform)
    figures.spread("lateness of those that were prepared", late, at_most=1)
    others = lateness(report, lambda post: post.platform != Preparing.platform)
    figures.spread("lateness of the others meanwhile", others, at_most=1)
    assert sorted(post for post, _ in made(uploads)) == sorted([*posts, edited])
    assert [text.endswith(" edited") for post, text in made(uploads) if post == edited] == [False, True]
    assert {post.status for post in report.posts} == {"Posted"}
    assert not figures.broken()


def made(uploads: Path) -> list[tuple[int, str]]:
    """The uploads so far: the post, and the text that it was made for."""
    lines = uploads.read_text().splitlines(keepends=True) if uploads.exists() else []
    return [tuple(json.loads(line)) for line in lines if line.endswith("\n")]
