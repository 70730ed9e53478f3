"""Dramatiq's Redis broker, made to survive what a hint may suffer: outages, refusals, garbage, clocks that differ.

Dramatiq tells by each machine's own clock when a delayed message is due.  On the broker that moment stands in the
database's time, which all machines know: what a sender is ahead would else be missing at the receiver, a claim would
refuse the message as too early, and the post would be late by the seconds until it is dispatched again.
"""

from __future__ import annotations

import logging
from collections import defaultdict, deque
from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import Any
from uuid import uuid4

import dramatiq
import redis
from dramatiq.brokers.redis import RedisBroker
from dramatiq.common import current_millis, dq_name
from redis.backoff import NoBackoff
from redis.exceptions import NoScriptError
from redis.retry import Retry

from autoposter.clock import Clock
from autoposter.consumer import BEHIND, SteadyConsumer

log = logging.getLogger(__name__)

#: All keys on Redis begin with this.
NAMESPACE = "autoposter"

#: Longer than this Redis is away.
SOCKET_TIMEOUT_SECONDS = 3


class SteadyRedis(redis.Redis):
    """Reports timeouts and refusals (OOM, READONLY) as lost connections.

    Dramatiq's consumers survive only `redis.ConnectionError`; of anything else a consumer thread may end for good.
    """

    def execute_command(self, *args: Any, **options: Any) -> Any:
        """Run one command."""
        try:
            return super().execute_command(*args, **options)
        except NoScriptError:
            raise
        except (redis.TimeoutError, redis.ResponseError) as error:
            raise redis.ConnectionError(f"{type(error).__name__}: {error}") from error


#: As Dramatiq's own script does with one message: off what this worker has fetched, and its text away.
STRIKE_OFF = """
for _, id in ipairs(ARGV) do
    if redis.call("srem", KEYS[1], id) > 0 then
        redis.call("hdel", KEYS[2], id)
    end
end"""


class SteadyBroker(RedisBroker):
    """The broker of autoposter."""

    def __init__(self, clock: Clock, **options: Any) -> None:
        super().__init__(**options)
        self._clock = clock
        self._consumers: dict[str, SteadyConsumer] = {}
        self._posts_are_near = True
        self._hurries = False
        self._strike_off = self.client.register_script(STRIKE_OFF)
        #: By queue, what is to be struck off: whatever becomes of its consumer.
        self.done: dict[str, deque[str]] = defaultdict(deque)
        #: Whether a consumer had to begin anew, and has dropped what it held until its time.
        self.hints_were_lost = False

    @property
    def posts_are_near(self) -> bool:
        """Whether posts fall due within seconds, as the last scan saw: then the consumers ask often."""
        return self._posts_are_near or self._hurries

    @posts_are_near.setter
    def posts_are_near(self, are_near: bool) -> None:
        come_near = are_near and not self._posts_are_near
        self._posts_are_near = are_near
        if come_near:
            self._look_up()

    @property
    def ahead_ms(self) -> int:
        """How far the database's clock is ahead of this machine's, in milliseconds."""
        return self._clock.offset_from_wall // timedelta(milliseconds=1)

    def enqueue(self, message: dramatiq.Message[Any], *, delay: int | None = None) -> dramatiq.Message[Any]:
        """Put a message on the broker, to be delivered after so many milliseconds."""
        sent: dramatiq.Message[Any] = super().enqueue(message, delay=None if delay is None else delay + self.ahead_ms)
        self._look_up()
        return sent

    def enqueue_all(self, messages: Iterable[tuple[dramatiq.Message[Any], int]]) -> None:
        """Put messages on the broker, each to be delivered after so many milliseconds: all of them, or none.

        In one go: one by one, each takes 0.2 ms.  What is written is what Dramatiq's own script writes for one; the
        middleware is not told, for none of ours listens.  Raises redis.RedisError; where the answer was late or lost
        they are there all the same, and come twice when they are sent again, which changes nothing.
        """
        by_queue: dict[str, dict[Any, bytes]] = defaultdict(dict)
        for message, delay in messages:
            options: dict[str, Any] = {"redis_message_id": str(uuid4())}
            queue = message.queue_name
            if delay:
                queue = dq_name(queue)
                options["eta"] = current_millis() + delay + self.ahead_ms
            text = message.copy(queue_name=queue, options=options).encode()
            by_queue[queue][options["redis_message_id"]] = text
        with self.client.pipeline() as pipeline:
            for queue, texts in by_queue.items():
                pipeline.hset(f"{NAMESPACE}:{queue}.msgs", mapping=texts)
                pipeline.rpush(f"{NAMESPACE}:{queue}", *texts)
            pipeline.execute()
        self._look_up()

    def hurry(self) -> None:
        """Have the consumers notice soon whatever happens from now on: that they are to end."""
        self._hurries = True
        self._look_up()

    def _look_up(self) -> None:
        for consumer in list(self._consumers.values()):
            consumer.look_up()

    def consume(self, queue_name: str, prefetch: int = 1, timeout: int = 0) -> SteadyConsumer:
        """What reads one queue.  It waits as it knows best, whatever `timeout` says."""
        self.hints_were_lost |= queue_name in self._consumers
        consumer = SteadyConsumer(self, queue_name, prefetch, 0)
        self._consumers[queue_name] = consumer
        return consumer

    def strike_off(self, queue_name: str, done: Sequence[str]) -> None:
        """Strike messages off that this worker has fetched.  Raises redis.ConnectionError."""
        fetched = f"{NAMESPACE}:__acks__.{self.broker_id}.{queue_name}"
        self._strike_off(keys=[fetched, f"{NAMESPACE}:{queue_name}.msgs"], args=done)

    def waiting(self) -> int:
        """How many messages that others may overtake wait to be fetched by a worker.  Raises redis.ConnectionError."""
        return int(self.client.llen(f"{NAMESPACE}:{BEHIND}"))


def build_broker(url: str, middleware: list[dramatiq.Middleware], clock: Clock) -> SteadyBroker:
    """A broker on this Redis.  Connects to nothing yet."""
    return SteadyBroker(clock, client=connect(url), namespace=NAMESPACE, middleware=middleware)


def connect(url: str) -> redis.Redis:
    """A client of this Redis, which gives up after seconds.  Connects to nothing yet."""
    return SteadyRedis.from_url(
        url,
        socket_timeout=SOCKET_TIMEOUT_SECONDS,
        socket_connect_timeout=SOCKET_TIMEOUT_SECONDS,
        retry=Retry(NoBackoff(), 0),
    )
