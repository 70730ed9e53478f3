"""`autoposter demo`: the real command, with temporary files where a test can see whether any are left."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from leftovers import kill_all_of, processes_of
from processes import wait_until

from autoposter.local import temporary_folder

#: Settings of the user, which must not have a part in it.
FOREIGN = {
    "AUTOPOSTER_DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none",
    "AUTOPOSTER_REDIS_URL": "redis://127.0.0.1:1/0",
    "AUTOPOSTER_MAX_ATTEMPTS": "nonsense",
}


@pytest.fixture
def folder() -> Iterator[Path]:
    """Where the demo makes its own folder."""
    with temporary_folder() as made:
        yield made.resolve()
        kill_all_of(made.resolve())


def demo(folder: Path, *options: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [Path(sys.executable).with_name("autoposter"), "demo", *options],
        env=os.environ | FOREIGN | {"TMPDIR": str(folder)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def wait_until_it_publishes(folder: Path) -> None:
    wait_until(lambda: [file for file in folder.glob("*/journal.jsonl") if file.stat().st_size], 90, "a post went out")


def test_all_of_its_posts_go_out_once_and_its_json_says_how_late(folder: Path) -> None:
    running = demo(folder, "--json")
    output, errors = running.communicate(timeout=120)

    told = json.loads(output)
    assert running.returncode == 0, errors
    assert [post["status"] for post in told["posts"]] == ["Posted"] * 12
    assert set(told["posts"][0]) == {"post_id", "status", "scheduled_for", "posted_at", "late_ms"}
    assert sorted(Counter(post["scheduled_for"] for post in told["posts"]).values())[-2:] == [1, 3]
    assert 0 <= told["p50_ms"] <= told["max_ms"]
    assert (processes_of(folder), list(folder.iterdir())) == ([], [])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_stopped_in_the_middle_it_leaves_nothing(number: signal.Signals, folder: Path) -> None:
    running = demo(folder)
    wait_until_it_publishes(folder)

    running.send_signal(number)
    output, errors = running.communicate(timeout=30)

    assert running.returncode == 130, output + errors
    assert "Traceback" not in errors
    assert (processes_of(folder), list(folder.iterdir())) == ([], [])


def test_killed_it_leaves_no_process(folder: Path) -> None:
    running = demo(folder)
    wait_until_it_publishes(folder)

    running.kill()
    running.communicate()

    wait_until(lambda: not processes_of(folder), 30, lambda: f"all have ended: {processes_of(folder)}")


def test_it_fails_with_its_log_when_what_it_started_ends_early(folder: Path) -> None:
    running = demo(folder)
    wait_until_it_publishes(folder)

    for process in processes_of(folder, "autoposter up"):
        process.terminate()
    output, errors = running.communicate(timeout=90)

    assert running.returncode in {1, 3}, output + errors
    assert "up        | stopping" in errors
    assert "Traceback" not in errors
    assert (processes_of(folder), list(folder.iterdir())) == ([], [])
