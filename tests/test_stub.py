"""The platform `stub`, and its journal."""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import httpx2
import pytest

from autoposter.publishers import Account, Delivery, Post, Transient
from autoposter.publishers.base import Nothing
from autoposter.publishers.stub import JOURNAL, Stub

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)


def post(number: int = 1, *, caption: str = "We are open.", scheduled_for: datetime = NOON) -> Post:
    return Post(
        id=number,
        caption=caption,
        link=None,
        media=(),
        options=Nothing(),
        scheduled_for=scheduled_for,
        attempted_at=None,
        idempotency_key=f"key-{number}",
    )


@pytest.fixture
def journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "journal.jsonl"
    monkeypatch.setenv(JOURNAL, str(path))
    return path


@pytest.fixture
def stub() -> Iterator[Stub]:
    with httpx2.Client() as http:
        yield made(http)


def made(http: httpx2.Client) -> Stub:
    account = Account(id=1, name="Shop", external_id="s1", settings=Nothing(), credentials=Nothing())
    return Stub(account, http)


def records(journal: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in journal.read_text().split("\n")[:-1]]


def test_a_published_post_stands_in_the_journal_with_exactly_these_keys(stub: Stub, journal: Path) -> None:
    before = datetime.now(UTC)
    stub.publish(post(7, scheduled_for=NOON.astimezone(timezone(timedelta(hours=2)))), {})

    [record] = records(journal)
    assert list(record) == ["post_id", "idempotency_key", "scheduled_for", "published_at", "caption"]
    assert (record["post_id"], record["idempotency_key"], record["caption"]) == (7, "key-7", "We are open.")
    assert record["scheduled_for"] == "2026-05-01T12:00:00+00:00"
    assert before <= datetime.fromisoformat(record["published_at"]) <= datetime.now(UTC)
    assert record["published_at"].endswith("+00:00")


def test_a_post_that_was_published_is_found_with_the_same_receipt(stub: Stub, journal: Path) -> None:
    receipts = [stub.publish(post(number), {}) for number in (1, 2)]

    assert [stub.find(post(number), {}) for number in (1, 2, 3)] == [*receipts, None]
    assert receipts[0].platform_post_id == "stub-key-1"
    assert receipts[0].permalink == "https://stub.invalid/stub-key-1"


def test_without_a_journal_nothing_is_written_and_nothing_found(stub: Stub, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")

    receipt = stub.publish(post(), {})

    assert receipt.platform_post_id == "stub-key-1"
    assert stub.find(post(), {}) is None
    assert caplog.messages == ["The stub publishes post 1 for Shop: 'We are open.'"]


def test_a_journal_that_does_not_exist_yet_holds_nothing(stub: Stub, journal: Path) -> None:
    assert stub.find(post(), {}) is None
    assert not journal.exists()


@pytest.mark.parametrize("caption", ["two\nlines", "\u2028 \u0085", "Grüße 🎉", '"}\\', "", "x" * 3_000_000])
def test_any_caption_is_one_line(stub: Stub, journal: Path, caption: str) -> None:
    stub.publish(post(1, caption=caption), {})
    stub.publish(post(2), {})

    assert [record["caption"] for record in records(journal)] == [caption, "We are open."]
    assert stub.find(post(1), {})


@pytest.mark.parametrize("torn", [b'{"post_id": 1, "idempotency_key": "key-1", "capt', b"\xff\xfe key-1", b"x"])
def test_a_torn_line_is_no_post_and_takes_the_next_one_not_with_it(stub: Stub, journal: Path, torn: bytes) -> None:
    journal.write_bytes(torn)
    assert stub.find(post(1), {}) is None

    stub.publish(post(2), {})

    assert journal.read_bytes().startswith(torn + b"\n")
    assert stub.find(post(1), {}) is None
    assert stub.find(post(2), {})


def test_a_line_that_lacks_only_its_end_is_a_post_before_and_after_the_next_one(stub: Stub, journal: Path) -> None:
    stub.publish(post(1), {})
    journal.write_bytes(journal.read_bytes().removesuffix(b"\n"))

    assert stub.find(post(1), {})
    stub.publish(post(2), {})
    assert stub.find(post(1), {})
    assert len(records(journal)) == 2


def test_a_key_in_another_posts_caption_is_no_find(stub: Stub, journal: Path) -> None:
    stub.publish(post(2, caption='"key-1"'), {})
    journal.write_text(journal.read_text() + '["key-1"]\n"key-1"\n')

    assert stub.find(post(1), {}) is None


def publish_many(first: int) -> None:
    with httpx2.Client() as http:
        for number in range(first, first + 50):
            made(http).publish(post(number, caption=str(number) * 20_000), {})


def test_lines_of_many_processes_do_not_mix(journal: Path) -> None:
    commands = [[sys.executable, __file__, str(first)] for first in range(0, 200, 50)]
    writers = [subprocess.Popen(command) for command in commands]
    for writer in writers:
        assert writer.wait(timeout=60) == 0

    assert sorted(record["post_id"] for record in records(journal)) == list(range(200))


def test_a_frozen_writer_that_holds_the_lock_stops_nobody(stub: Stub, journal: Path) -> None:
    with journal.open("a") as frozen:
        fcntl.flock(frozen, fcntl.LOCK_EX)
        stub.publish(post(), {})

    assert stub.find(post(), {})


def test_a_call_whose_time_was_over_writes_nothing(stub: Stub, journal: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Stub, "publish_timeout", timedelta(milliseconds=100))  # shorter than the wait for the lock
    with journal.open("a") as holder:
        fcntl.flock(holder, fcntl.LOCK_EX)
        with pytest.raises(Transient, match=r"longer than 0.1 s and wrote nothing"):
            stub.publish(post(), {})

    assert journal.read_bytes() == b""


def make_folder(path: Path) -> None:
    path.mkdir()


def make_pipe(path: Path) -> None:
    os.mkfifo(path)


@pytest.mark.parametrize(
    ("make", "why"), [(make_folder, "Is a directory|no regular file"), (make_pipe, "no regular file")]
)
def test_a_journal_that_is_no_file_is_named_and_nothing_is_published(
    stub: Stub, journal: Path, make: Any, why: str
) -> None:
    make(journal)

    for call in (stub.publish, stub.find):
        with pytest.raises(Transient, match=rf"journal {journal} cannot be (written|read): .*({why})"):
            call(post(), {})


def test_a_journal_in_a_folder_that_does_not_exist_is_a_refusal(
    stub: Stub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(JOURNAL, str(tmp_path / "nowhere" / "journal"))

    with pytest.raises(Transient, match="nowhere/journal cannot be written: No such file or directory"):
        stub.publish(post(), {})
    assert stub.find(post(), {}) is None


def test_a_full_disk_is_a_refusal_and_its_torn_line_no_post(stub: Stub, journal: Path) -> None:
    """Python ignores SIGXFSZ, so that a limit on the size of files behaves as a full disk does."""
    import resource

    stub.publish(post(1), {})
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (journal.stat().st_size + 20, hard))
    try:
        with pytest.raises(Transient, match="only a part of the line"):
            stub.publish(post(2), {})
        with pytest.raises(Transient, match="File too large"):
            stub.publish(post(2), {})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    assert stub.find(post(2), {}) is None
    assert stub.publish(post(2), {}) == stub.find(post(2), {})


def test_threads_of_one_process_do_not_mix_either(stub: Stub, journal: Path) -> None:
    threads = [threading.Thread(target=stub.publish, args=(post(number), {})) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=10)

    assert len(records(journal)) == 20


def test_the_stub_is_findable_and_its_accounts_work(stub: Stub) -> None:
    assert Stub.delivery is Delivery.FINDABLE
    assert stub.check().ok
    assert stub.check().external_id == "s1"


if __name__ == "__main__":
    publish_many(int(sys.argv[1]))
