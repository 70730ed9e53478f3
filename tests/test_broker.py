"""Whatever stands on the broker, the worker lives and other posts are on time: a message is a hint, and no more."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import dramatiq
import pytest
import redis
from dramatiq.common import current_millis, dq_name
from factories import Factories
from processes import Processes, wait_until

from autoposter import consumer as consumer_module
from autoposter.broker import NAMESPACE, SteadyBroker, build_broker
from autoposter.clock import Clock
from autoposter.consumer import BEHIND, MANY_DONE, QUEUE

SECOND = timedelta(seconds=1)


class Forger:
    """Writes on the broker what Dramatiq would, and what it would never."""

    def __init__(self, url: str) -> None:
        self._redis = redis.Redis.from_url(url)

    def raw(self, payload: bytes | None, queue: str = QUEUE) -> None:
        """Any bytes as a message; None: an id without a message."""
        name = str(uuid.uuid4())
        if payload is not None:
            self._redis.hset(f"{NAMESPACE}:{queue}.msgs", name, payload)
        self._redis.rpush(f"{NAMESPACE}:{queue}", name)

    def message(self, queue: str = QUEUE, **changes: Any) -> None:
        """A message like Dramatiq's, but for `changes`."""
        name = str(uuid.uuid4())
        fields = {
            "queue_name": queue,
            "actor_name": "publish",
            "args": [1],
            "kwargs": {},
            "options": {"redis_message_id": name},
            "message_id": name,
            "message_timestamp": int(time.time() * 1000),
        } | changes
        self._redis.hset(f"{NAMESPACE}:{queue}.msgs", name, json.dumps(fields))
        self._redis.rpush(f"{NAMESPACE}:{queue}", name)

    def waiting(self) -> int:
        return int(self._redis.llen(f"{NAMESPACE}:{QUEUE}"))


@pytest.fixture
def forger(redis_url: str) -> Forger:
    return Forger(redis_url)


#: What Redis calls the commands that put messages on the broker.
WRITES = ("cmdstat_hset", "cmdstat_rpush")

#: An actor that does nothing.
Publish = dramatiq.Actor[[int], None]


@pytest.fixture
def broker(redis_url: str) -> SteadyBroker:
    return build_broker(redis_url, [], Clock())


@pytest.fixture
def publish(broker: SteadyBroker) -> Publish:
    return dramatiq.actor(lambda post_id: None, broker=broker, actor_name="publish")


GARBAGE: list[bytes | None] = [
    None,
    b"",
    b"\x80\x04\x95",
    b"\xff\xfe",
    b"null",
    b"7",
    b"[]",
    b"{}",
    b'"publish"',
    b'{"actor_name": "publish"}',
    b"[" * 100_000,
    b'{"args": ' + b"9" * 5000 + b"}",
]

FORGED: dict[str, dict[str, Any]] = {
    "unknown actor": {"actor_name": "drop_tables"},
    "actor of a strange kind": {"actor_name": ["publish"]},
    "no actor": {"actor_name": None},
    "another queue": {"queue_name": "elsewhere"},
    "a queue of a strange kind": {"queue_name": {}},
    "arguments as a text": {"args": "17"},
    "arguments as a dict": {"args": {"a": 1}},
    "no argument": {"args": []},
    "too many arguments": {"args": [1, 2, 3]},
    "a text": {"args": ["abc"]},
    "NUL": {"args": ["\x00"]},
    "a number in words": {"args": ["007"]},
    "a list": {"args": [[1, 2]]},
    "a dict": {"args": [{"id": 1}]},
    "true": {"args": [True]},
    "null": {"args": [None]},
    "a fraction": {"args": [1.5]},
    "NaN": {"args": [float("nan")]},
    "a number too large": {"args": [10**30]},
    "a negative number": {"args": [-1]},
    "SQL": {"args": ["1; drop table post_instance"]},
    "keyword arguments": {"args": [], "kwargs": {"post": 1}},
    "keyword arguments as a list": {"kwargs": [1]},
    "options as a list": {"options": []},
    "options as null": {"options": None},
    "no options": {"options": {}},
    "options as a text": {"options": "eta"},
    "an id that is none": {"message_id": ["x"]},
    "an eta in words": {"options": {"eta": "tomorrow"}},
    "an eta of nothing": {"options": {"eta": None}},
    "an eta that is no number": {"options": {"eta": float("nan")}},
    "an eta long ago": {"options": {"eta": -(10**20)}},
    "what it throws": {"args": ["abc"], "options": {"throws": "Exception"}},
    "what it throws, of a strange kind": {"args": [], "options": {"throws": [1]}},
    "a pipe": {"options": {"pipe_target": {"actor_name": "publish"}, "pipe_ignore": 7}},
    "callbacks": {"options": {"on_success": "publish", "on_failure": ["x"], "retries": -1, "max_retries": "many"}},
    "ancient": {"message_timestamp": 0},
    "from the future": {"message_timestamp": 10**18},
    "no time": {"message_timestamp": "now"},
    "a scan of a strange time": {"actor_name": "scan", "args": [], "options": {"scheduled_at": "last week"}},
    "an ancient scan": {"actor_name": "scan", "args": [], "options": {"scheduled_at": "2001-01-01T00:00:00Z"}},
    "a look at a text": {"actor_name": "look", "args": ["01"]},
    "a look at nothing": {"actor_name": "look", "args": [2**62]},
    "a look at too large a number": {"actor_name": "look", "args": [10**30]},
    "a preparation of a text": {"actor_name": "prepare", "args": ["abc"]},
    "a validation of nothing": {"actor_name": "validate", "args": [None]},
    "an event of nothing": {"actor_name": "notify", "args": ["autoposter_post_published", None]},
    "an event that is none": {"actor_name": "notify", "args": ["__class__", 1]},
    "a field too many": {"colour": "red"},
}


def forge_everything(forger: Forger, queue: str = QUEUE) -> None:
    for payload in GARBAGE:
        forger.raw(payload, queue)
    for changes in FORGED.values():
        name = str(uuid.uuid4())
        options = changes.get("options", {})
        if isinstance(options, dict) and options:
            changes = changes | {"options": {"redis_message_id": name} | options}
        forger.message(queue, **changes)


def posts_are_on_time(fresh: Factories, wait_until: Any, tmp_path: Path, number: int = 10) -> None:
    due = [fresh.post(2.5 * SECOND) for _ in range(number)]
    wait_until(
        lambda: all(fresh.row("post_instance", post)["status"] == "Posted" for post in due),
        15,
        lambda: fresh.query("select id, status, dispatched_at, last_error from post_instance"),
    )
    lateness = [
        fresh.row("post_instance", post)["posted_at"] - fresh.row("post_instance", post)["scheduled_for"]
        for post in due
    ]
    assert max(lateness) < 1.5 * SECOND
    journal = [json.loads(line) for line in (tmp_path / "journal.jsonl").read_text().splitlines()]
    assert sorted(line["post_id"] for line in journal) == due


def test_no_message_kills_a_worker_or_makes_other_posts_late(
    fresh: Factories, run_processes: Processes, forger: Forger, wait_until: Callable[..., Any], tmp_path: Path
) -> None:
    worker = run_processes.worker(threads=4)
    wait_until(lambda: fresh.query("select 1 from worker"), 20)
    process = fresh.query("select id, pid from worker")
    for _ in range(3):
        forge_everything(forger)
        forge_everything(forger, queue=f"{QUEUE}.DQ")
    wait_until(lambda: forger.waiting() == 0, 20)

    posts_are_on_time(fresh, wait_until, tmp_path)

    assert fresh.query("select id, pid from worker") == process
    assert "no longer fit" not in worker.output
    assert worker.popen.poll() is None


def test_messages_for_a_far_day_do_not_fill_a_worker(
    fresh: Factories, run_processes: Processes, forger: Forger, wait_until: Callable[..., Any], tmp_path: Path
) -> None:
    """A consumer holds what is not due yet, and fetches no more than it may hold: 1,000 messages per thread."""
    run_processes.worker(threads=1)
    wait_until(lambda: fresh.query("select 1 from worker"), 20)
    for queue in (QUEUE, f"{QUEUE}.DQ"):
        for eta in (int(time.time() * 1000) + 10**9, 10**20, float("inf")):
            for _ in range(400 if queue == f"{QUEUE}.DQ" else 10):
                name = str(uuid.uuid4())
                forger.message(queue, options={"redis_message_id": name, "eta": eta})

    posts_are_on_time(fresh, wait_until, tmp_path)


def test_repeated_messages_publish_a_post_once_and_on_time(
    fresh: Factories, run_processes: Processes, forger: Forger, wait_until: Callable[..., Any], tmp_path: Path
) -> None:
    run_processes.worker(threads=4)
    wait_until(lambda: fresh.query("select 1 from worker"), 20)
    post = fresh.post(2 * SECOND)
    until = time.monotonic() + 3

    while time.monotonic() < until:
        for said in (post, f"00{post}"):
            forger.message(args=[said])
        time.sleep(0.005)
    after_that = fresh.post(-SECOND)
    wait_until(lambda: fresh.row("post_instance", after_that)["status"] == "Posted", 15)

    found = fresh.row("post_instance", post)
    assert found["status"] == "Posted"
    assert found["posted_at"] - found["scheduled_for"] < 1.5 * SECOND
    assert len((tmp_path / "journal.jsonl").read_text().splitlines()) == 2


def test_machines_whose_clocks_differ_deliver_each_others_messages_in_time(
    fresh: Factories, run_processes: Processes, wait_until: Callable[..., Any]
) -> None:
    """A message that came too early for its claim would be dispatched once more, two seconds after the due time."""
    options = ("shifted", "--processes", "1", "--threads", "4", "--path", str(Path(__file__).parent))
    behind, ahead = (run_processes.start("dramatiq", *options, SHIFT=seconds) for seconds in ("-20", "20"))
    wait_until(lambda: len(fresh.query("select 1 from worker")) == 2, 20)

    posts = [fresh.post((3 + number / 10) * SECOND) for number in range(30)]
    wait_until(lambda: not fresh.query("select 1 from post_instance where status <> 'Posted'"), 30)

    rows = [fresh.row("post_instance", post) for post in posts]
    assert [row["id"] for row in rows if row["dispatched_at"] > row["scheduled_for"]] == []
    assert behind.output.count("clock is 20.0 s behind the database's") == 1
    assert ahead.output.count("clock is 20.0 s ahead of the database's") == 1


def test_what_a_process_puts_on_the_broker_it_fetches_at_once_although_it_asks_seldom(
    broker: SteadyBroker, publish: Publish, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consumer_module, "POLL_IDLE", 60.0)
    consumer = broker.consume(QUEUE, prefetch=4)
    broker.posts_are_near = False

    with ThreadPoolExecutor(1) as waits:
        fetched = waits.submit(lambda: next(filter(None, consumer)))
        wait_until(lambda: consumer.misses > 0)  # it has asked, and waits
        publish.send(7)

        assert fetched.result(timeout=10).args == (7,)


def test_a_consumer_whose_hands_are_full_fetches_more_as_soon_as_something_is_done(
    broker: SteadyBroker, publish: Publish, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consumer_module, "POLL_NEAR", 60.0)
    consumer = broker.consume(QUEUE, prefetch=2)
    for number in range(3):
        publish.send(number)
    in_hand = [next(consumer) for _ in range(2)]

    with ThreadPoolExecutor(1) as waits:
        third = waits.submit(lambda: next(filter(None, consumer)))
        consumer.ack(in_hand[0])

        assert third.result(timeout=10).args == (2,)


class HandsFull:
    """A consumer that has as many messages in hand as it fetches at most, and two more on the broker."""

    def __init__(self, broker: SteadyBroker, publish: Publish, prefetch: int) -> None:
        self.consumer = broker.consume(QUEUE, prefetch=prefetch)
        for number in range(prefetch + 2):
            publish.send(number)
        self.in_hand = [next(self.consumer) for _ in range(prefetch)]
        self._redis = broker.client

    def on_the_broker(self) -> tuple[int, int]:
        """How many messages are there, and how many of them are fetched and not yet struck off."""
        [fetched] = self._redis.keys(f"{NAMESPACE}:__acks__.*")
        return self._redis.hlen(f"{NAMESPACE}:{QUEUE}.msgs"), self._redis.scard(fetched)


def test_what_is_done_is_struck_off_when_nothing_else_is_to_be_done(
    broker: SteadyBroker, publish: Publish, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consumer_module, "POLL_NEAR", 0.0)
    hands = HandsFull(broker, publish, prefetch=3)
    for message in hands.in_hand[:2]:
        hands.consumer.ack(message)

    assert [next(hands.consumer).args for _ in range(2)] == [(3,), (4,)]  # first of all it fetches
    assert hands.on_the_broker() == (5, 5)
    assert [next(hands.consumer) for _ in range(3)] == [None, None, None]

    assert hands.on_the_broker() == (3, 3)


def test_what_is_done_is_struck_off_when_it_is_much_although_there_is_more_to_do(
    broker: SteadyBroker, publish: Publish
) -> None:
    hands = HandsFull(broker, publish, prefetch=MANY_DONE)
    for message in hands.in_hand:
        hands.consumer.ack(message)

    assert next(hands.consumer) is not None

    assert hands.on_the_broker() == (2, 2)


def test_what_is_done_is_struck_off_when_the_consumer_is_closed(broker: SteadyBroker, publish: Publish) -> None:
    hands = HandsFull(broker, publish, prefetch=3)
    hands.consumer.ack(hands.in_hand[0])

    hands.consumer.close()

    assert hands.on_the_broker() == (4, 2)


def test_many_messages_are_put_on_the_broker_in_one_go_and_delivered_in_their_order(
    broker: SteadyBroker, publish: Publish, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consumer_module, "POLL_NEAR", 0.0)
    before = broker.client.info("commandstats")

    broker.enqueue_all((publish.message(number), 0) for number in range(50))

    calls = broker.client.info("commandstats")
    assert [calls[name]["calls"] - before.get(name, {"calls": 0})["calls"] for name in WRITES] == [1, 1]
    consumer = broker.consume(QUEUE, prefetch=50)
    assert [next(consumer).args for _ in range(50)] == [(number,) for number in range(50)]


def test_of_many_messages_each_is_delivered_at_its_own_time(
    broker: SteadyBroker, publish: Publish, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consumer_module, "POLL_NEAR", 0.0)

    broker.enqueue_all([(publish.message(1), 5000), (publish.message(2), 0), (publish.message(3), 2000)])

    assert next(broker.consume(QUEUE, prefetch=9)).args == (2,)
    later = broker.consume(dq_name(QUEUE), prefetch=9)
    delayed = [next(later) for _ in range(2)]
    assert [message.args for message in delayed] == [(1,), (3,)]
    assert [message.options["eta"] - current_millis() for message in delayed] == pytest.approx([5000, 2000], abs=1000)


@pytest.mark.parametrize("trouble", [("maxmemory", 1), ("min-replicas-to-write", 1)])
def test_of_many_messages_a_broker_that_refuses_takes_none(
    broker: SteadyBroker, publish: Publish, redis_url: str, trouble: tuple[str, int]
) -> None:
    setting, value = trouble
    with redis.Redis.from_url(redis_url) as other:
        other.config_set(setting, value)
        try:
            with pytest.raises(redis.RedisError):
                broker.enqueue_all((publish.message(number), 1000 * (number % 2)) for number in range(50))
        finally:
            other.config_set(setting, 0)

    assert broker.client.dbsize() == 0


def test_of_no_messages_nothing_is_put_on_the_broker(broker: SteadyBroker) -> None:
    broker.enqueue_all([])

    assert broker.client.dbsize() == 0


def test_a_message_whose_id_cannot_be_encoded_stops_nothing(
    broker: SteadyBroker, publish: Publish, monkeypatch: pytest.MonkeyPatch, forger: Forger
) -> None:
    monkeypatch.setattr(consumer_module, "POLL_NEAR", 0.0)
    consumer = broker.consume(QUEUE, prefetch=1)
    forger.message(options={"redis_message_id": "\ud800"})
    publish.send(7)

    fetched = [next(consumer) for _ in range(6)]

    assert [message.args for message in fetched if message] == [(7,)]
    consumer.close()


def test_what_was_fetched_is_handed_out_while_the_broker_is_away(
    broker: SteadyBroker, publish: Publish, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consumer_module, "MANY_DONE", 1)
    consumer = broker.consume(QUEUE, prefetch=3)
    for number in range(3):
        publish.send(number)
    consumer.ack(next(consumer))

    with redis.Redis.from_url(redis_url) as other:
        other.config_set("min-replicas-to-write", 1)
        try:
            assert [next(consumer).args for _ in range(2)] == [(1,), (2,)]
        finally:
            other.config_set("min-replicas-to-write", 0)


def test_what_is_done_is_struck_off_by_the_consumer_that_follows(broker: SteadyBroker, publish: Publish) -> None:
    first = broker.consume(QUEUE, prefetch=1)
    publish.send(7)
    in_hand = next(first)

    second = broker.consume(QUEUE, prefetch=1)
    first.ack(in_hand)
    second.close()

    assert broker.client.keys(f"{NAMESPACE}:*") == [f"{NAMESPACE}:__heartbeats__".encode()]


def test_what_was_done_while_the_broker_was_away_is_struck_off_afterwards(
    broker: SteadyBroker, publish: Publish, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consumer_module, "POLL_NEAR", 0.0)
    monkeypatch.setattr(consumer_module, "ASK_AGAIN", 0.0)
    consumer = broker.consume(QUEUE, prefetch=1)
    publish.send(7)
    in_hand = next(consumer)

    with redis.Redis.from_url(redis_url) as other:
        other.config_set("min-replicas-to-write", 1)
        try:
            consumer.ack(in_hand)
            assert [next(consumer) for _ in range(3)] == [None] * 3
            assert broker.client.hlen(f"{NAMESPACE}:{QUEUE}.msgs") == 1
        finally:
            other.config_set("min-replicas-to-write", 0)
    assert [next(consumer) for _ in range(2)] == [None] * 2

    assert broker.client.keys(f"{NAMESPACE}:*") == [f"{NAMESPACE}:__heartbeats__".encode()]


@pytest.mark.parametrize("queue", [QUEUE, BEHIND])
def test_a_consumer_waits_for_a_broker_that_is_away_and_goes_on(
    redis_url: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, queue: str
) -> None:
    """It raises nothing: Dramatiq would drop what it holds until its time, and pause for 3 s."""
    monkeypatch.setattr(consumer_module, "POLL_NEAR", 0.0)
    monkeypatch.setattr(consumer_module, "ASK_AGAIN", 0.0)
    broker = build_broker(redis_url, [], Clock())
    publish = dramatiq.actor(lambda post_id: None, broker=broker, actor_name="publish", queue_name=queue)
    consumer = broker.consume(queue, prefetch=4)
    publish.send(7)

    with redis.Redis.from_url(redis_url) as other:
        other.config_set("maxmemory", 1)
        try:
            assert [next(consumer) for _ in range(3)] == [None] * 3
        finally:
            other.config_set("maxmemory", 0)

    assert next(consumer).args == (7,)
    assert caplog.text.count("waits for the broker") == 1


def test_what_others_may_overtake_is_counted_as_it_waits_on_the_broker(redis_url: str, forger: Forger) -> None:
    broker = build_broker(redis_url, [], Clock())
    assert broker.waiting() == 0

    forger.message()
    forger.message(BEHIND)
    forger.raw(b"garbage", BEHIND)

    assert broker.waiting() == 2


@pytest.mark.parametrize("error", [redis.ResponseError("OOM command not allowed"), redis.TimeoutError("late")])
def test_a_redis_that_refuses_or_is_late_counts_as_away(redis_url: str, error: Exception) -> None:
    """Dramatiq's consumers survive a lost connection, and nothing else."""
    client = build_broker(redis_url, [], Clock()).client
    if isinstance(error, redis.ResponseError):
        with pytest.raises(redis.ConnectionError, match="ResponseError"):
            client.execute_command("LPUSH", "only a key")
        return
    assert client.connection_pool.connection_kwargs["socket_timeout"] == 3
    with pytest.raises(redis.ConnectionError, match="TimeoutError"):
        client.blpop([f"{NAMESPACE}:nothing"], timeout=0)
