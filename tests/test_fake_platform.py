"""The fake platform does what its script says, and remembers every effect."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from email.utils import parsedate_to_datetime
from pathlib import Path

import httpx2
import pytest

from autoposter.testing import publishers, rules
from autoposter.testing.platform import FakePlatform, read_record
from autoposter.testing.rules import Reply, Rule, Script


@pytest.fixture(scope="module")
def record(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fake") / "record.jsonl"


@pytest.fixture(scope="module")
def running(record: Path) -> Iterator[FakePlatform]:
    with FakePlatform.started(record) as platform:
        yield platform


@pytest.fixture
def platform(running: FakePlatform, record: Path) -> FakePlatform:
    running.reset()
    record.write_text("")
    return running


@pytest.fixture
def client(platform: FakePlatform) -> Iterator[httpx2.Client]:
    headers = {"Authorization": "Bearer shop"}
    with httpx2.Client(base_url=platform.url, headers=headers, timeout=10, trust_env=False) as client:
        yield client


def publish(client: httpx2.Client, text: str = "post 1", key: str | None = None, **options: float) -> httpx2.Response:
    return client.post("/posts", json={"text": text} | ({"key": key} if key else {}), **options)


def test_a_post_is_recorded_with_when_and_whose_it_was(
    client: httpx2.Client, platform: FakePlatform, record: Path
) -> None:
    before = time.time()
    answer = publish(client, "post 7", key="k")
    after = time.time()

    (post,) = platform.posts()
    assert answer.status_code == 201
    assert answer.json() == {"ok": True, "id": post.id, "url": f"http://fake.example/{post.id}"}
    assert (post.text, post.key, post.token) == ("post 7", "k", "shop")
    assert before <= post.arrived_at <= post.accepted_at <= after
    assert read_record(record) == [post]


def test_the_arrival_is_that_of_the_first_byte(client: httpx2.Client, platform: FakePlatform) -> None:
    def slowly() -> Iterator[bytes]:
        yield b'{"text": '
        time.sleep(0.3)
        yield b'"late"}'

    before = time.time()
    client.post("/posts", content=slowly(), headers={"Content-Length": "16"})

    (post,) = platform.posts()
    assert post.arrived_at - before < 0.2
    assert post.accepted_at - post.arrived_at > 0.2


def test_the_listing_shows_only_the_accounts_own_posts_since_then(client: httpx2.Client) -> None:
    publish(client, "old")
    between = time.time()
    publish(client, "new")
    client.post("/posts", json={"text": "foreign"}, headers={"Authorization": "Bearer other"})

    shown = client.get("/posts", params={"since": between}).json()["posts"]

    assert [post["text"] for post in shown] == ["new"]


def test_a_lagging_listing_shows_a_post_later(client: httpx2.Client, platform: FakePlatform) -> None:
    platform.configure(listing_lag_ms=300)
    publish(client)

    at_once = client.get("/posts").json()["posts"]
    time.sleep(0.4)
    later = client.get("/posts").json()["posts"]

    assert (len(at_once), len(later)) == (0, 1)


def test_a_token_is_known_or_not(client: httpx2.Client, platform: FakePlatform) -> None:
    known = client.get("/me")
    platform.configure(refused_tokens=["shop"])
    refused = [client.get("/me"), publish(client)]

    assert known.json()["id"] == "shop"
    assert [answer.status_code for answer in refused] == [401, 401]
    assert platform.posts() == []


def test_a_repeated_key_is_answered_with_the_first_post(client: httpx2.Client, platform: FakePlatform) -> None:
    answers = [publish(client, key="k").json() for _ in range(3)]
    publish(client, key="another")

    assert answers[0] == answers[1] == answers[2]
    assert len(platform.posts()) == 2


def test_a_key_holds_while_its_first_request_still_runs(client: httpx2.Client, platform: FakePlatform) -> None:
    platform.follow(rules.slow_to_publish(300, nth=(1,)))

    with ThreadPoolExecutor() as threads:
        first, second = threads.map(lambda _: publish(client, key="k").json(), range(2))

    assert first == second
    assert len(platform.posts()) == 1


def test_a_key_is_forgotten_after_its_time(client: httpx2.Client, platform: FakePlatform) -> None:
    platform.configure(keeps_keys_seconds=0.2)
    publish(client, key="k")
    publish(client, key="k")
    time.sleep(0.3)
    publish(client, key="k")

    assert len(platform.posts()) == 2


def test_a_key_with_another_text_is_refused(client: httpx2.Client, platform: FakePlatform) -> None:
    publish(client, "one", key="k")
    answer = publish(client, "two", key="k")

    assert answer.status_code == 409
    assert len(platform.posts()) == 1


@pytest.mark.parametrize(
    ("rule", "status", "published"),
    [
        (rules.refuse(418), 418, 0),
        (rules.refuse_for_now(), 503, 0),
        (rules.refuse_content(), 422, 0),
        (rules.reject_token(), 401, 0),
        (rules.outage(), 502, 0),
        (rules.not_ok(), 200, 0),
        (rules.rate_limit(), 429, 0),
        (rules.accept_then_answer(500), 500, 1),
        (rules.accept_then_answer(400), 400, 1),
        (rules.slow(1), 201, 1),
    ],
)
def test_an_answer_and_an_effect_are_scripted_apart(
    client: httpx2.Client, platform: FakePlatform, rule: Rule, status: int, published: int
) -> None:
    platform.follow(rule)

    assert publish(client).status_code == status
    assert len(platform.posts()) == published


def test_a_200_may_say_no(client: httpx2.Client, platform: FakePlatform) -> None:
    platform.follow(rules.not_ok("content"))

    assert publish(client).json() == {"ok": False, "error": "content"}


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        (Reply.RESET, httpx2.ReadError),
        (Reply.CLOSE, httpx2.RemoteProtocolError),
        (Reply.TRUNCATE, httpx2.RemoteProtocolError),
        (Reply.SILENCE, httpx2.ReadTimeout),
    ],
)
def test_an_answer_can_be_lost_after_the_effect(
    client: httpx2.Client, platform: FakePlatform, reply: Reply, error: type[Exception]
) -> None:
    platform.follow(rules.accept_then(reply))

    with pytest.raises(error):
        publish(client, timeout=0.5)
    assert len(platform.posts()) == 1


def test_a_connection_can_be_dropped_before_anything_happens(client: httpx2.Client, platform: FakePlatform) -> None:
    platform.follow(rules.drop_unread(times=1))

    with pytest.raises((httpx2.ReadError, httpx2.WriteError, httpx2.RemoteProtocolError)):
        publish(client)
    assert platform.posts() == []
    assert publish(client).status_code == 201


def test_a_slow_platform_publishes_though_the_caller_has_left(client: httpx2.Client, platform: FakePlatform) -> None:
    platform.follow(rules.slow_to_publish(400))
    with pytest.raises(httpx2.ReadTimeout):
        publish(client, timeout=0.1)

    soon = len(platform.posts())
    time.sleep(0.5)

    assert (soon, len(platform.posts())) == (0, 1)


def test_a_pause_is_asked_for_in_both_forms(client: httpx2.Client, platform: FakePlatform) -> None:
    platform.follow(rules.rate_limit("7", times=1), rules.rate_limit("date+7"))

    seconds, date = (publish(client).headers["Retry-After"] for _ in range(2))

    assert seconds == "7"
    assert 4 < parsedate_to_datetime(date).timestamp() - time.time() <= 7


def test_a_rule_is_for_a_text_or_an_account_or_a_number(client: httpx2.Client, platform: FakePlatform) -> None:
    platform.follow(rules.refuse(400, text="bad"), rules.refuse(401, token="other"), rules.refuse(402, nth=(2,)))

    texts = ["good", "very bad", "good", "good"]
    own = [publish(client, text).status_code for text in texts]
    foreign = client.post("/posts", json={"text": "good"}, headers={"Authorization": "Bearer other"}).status_code

    assert own == [201, 400, 402, 201]
    assert foreign == 401


def test_find_and_check_have_rules_of_their_own(client: httpx2.Client, platform: FakePlatform) -> None:
    platform.follow(rules.refuse(500, on="find"), rules.refuse(501, on="check"))

    assert client.get("/posts").status_code == 500
    assert client.get("/me").status_code == 501
    assert publish(client).status_code == 201


def test_equal_seeds_give_equal_storms() -> None:
    def drawn(seed: int) -> list[bool]:
        script = Script([rules.outage(probability=0.5)], seed)
        return [script.rule_for("publish") is not None for _ in range(100)]

    assert drawn(1) == drawn(1) != drawn(2)
    assert 25 < sum(drawn(1)) < 75


def test_requests_are_remembered_with_what_was_replied(client: httpx2.Client, platform: FakePlatform) -> None:
    platform.follow(rules.outage(times=1))
    publish(client, "post 3")
    publish(client, "post 3")

    assert [(request["text"], request["status"]) for request in platform.requests()] == [
        ("post 3", 502),
        ("post 3", 201),
    ]


def test_five_hundred_callers_at_once_are_served(platform: FakePlatform, record: Path) -> None:
    platform.follow(rules.slow(1000))
    headers = {"Authorization": "Bearer shop"}

    with (
        httpx2.Client(timeout=60, headers=headers, trust_env=False, limits=httpx2.Limits(max_connections=500)) as many,
        ThreadPoolExecutor(500) as threads,
    ):
        calls = [
            threads.submit(many.post, f"{platform.url}/posts", json={"text": f"post {number}"}) for number in range(500)
        ]
        statuses = {call.result().status_code for call in calls}

    assert statuses == {201}
    assert len({post.id for post in platform.posts()}) == 500
    assert len(read_record(record)) == 500


def test_it_ends_with_whoever_started_it(tmp_path: Path) -> None:
    script = (
        "import os, signal\n"
        "from autoposter.testing.platform import FakePlatform\n"
        "with FakePlatform.started() as platform:\n"
        "    print(platform.pid, flush=True)\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    started = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)

    deadline = time.monotonic() + 10
    while is_alive(int(started.stdout)):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def is_alive(pid: int) -> bool:
    status = Path(f"/proc/{pid}/stat")
    return status.exists() and status.read_text().rpartition(")")[2].split()[0] != "Z"


def test_its_publishers_are_found_by_a_process_with_their_folder_on_its_path(tmp_path: Path) -> None:
    script = (
        "import json; from importlib.metadata import entry_points\n"
        "points = [point for point in entry_points(group='autoposter') if point.name == 'fakes']\n"
        "classes = points[0].load().autoposter_publishers()\n"
        "print(json.dumps([(one.platform, one.delivery.value) for one in classes]))\n"
    )
    found = subprocess.run(
        [sys.executable, "-c", script],
        env=os.environ | {"PYTHONPATH": str(publishers.install(tmp_path))},
        capture_output=True,
        text=True,
        check=True,
    )

    assert json.loads(found.stdout) == [
        ["fake_keyed", "keyed"],
        ["fake_findable", "findable"],
        ["fake_blind", "blind"],
    ]
