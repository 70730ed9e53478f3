"""Dramatiq's Redis broker, made to survive what a hint may suffer: outages, refusals, garbage, clocks that differ.

Dramatiq tells by each machine's own clock when a delayed message is due.  On the broker that moment stands in the
database's time, which all machines know: what a sender is ahead would else be missing at the receiver, a claim would
refuse the message as too early, and the post would be late by the seconds until it is dispatched again.
"""

from __future__ import annotations

import logging
import threading
from collections import defaultdict, deque
from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import Any

import dramatiq
import redis
from dramatiq.broker import MessageProxy
from dramatiq.brokers.redis import RedisBroker, _RedisConsumer
from dramatiq.common import current_millis
from dramatiq.errors import ConnectionClosed
from redis.backoff import NoBackoff
from redis.exceptions import NoScriptError
from redis.retry import Retry

from autoposter.clock import Clock

log = logging.getLogger(__name__)

#: All keys on Redis begin with this.
NAMESPACE = "autoposter"

#: The queue of all actors but one.
QUEUE = "default"

#: The queue of posts that others' may overtake: a backlog, and an account's crowd.  A queue of its own because a worker
#: fetches a queue's messages in their order, however it sorts those that it has.
BEHIND = "behind"

#: A consumer asks for messages this often, in seconds, while posts are near or it has messages in hand.  At Dramatiq's
#: default of 1 s posts were 480 ms late (p50).  What this process itself puts on the broker it fetches at once.
POLL_NEAR = 0.05

#: And this often when nothing is near, which the scan tells within a second.  With 0.05 s (and threads that woke up as
#: often), two idle processes made 315 Redis commands a second and took 7 % of a core.
POLL_IDLE = 2.0

#: And so often where only posts lie, of which the scan tells: behind, and held until their time.
POLL_TOLD = 10.0

#: A broker that is away is asked again this often, in seconds.
ASK_AGAIN = 0.25

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


#: What our messages may say beside their actor and its arguments; all else is taken off them.
OPTIONS = {"redis_message_id", "eta", "scheduled_at"}

#: Hints are sent a few seconds ahead.  A consumer that held others for later would soon fetch no more.
LONGEST_DELAY_MS = 60_000


#: As Dramatiq's own script does with one message: off what this worker has fetched, and its text away.
STRIKE_OFF = """
for _, id in ipairs(ARGV) do
    if redis.call("srem", KEYS[1], id) > 0 then
        redis.call("hdel", KEYS[2], id)
    end
end"""


class SteadyConsumer(_RedisConsumer):
    """Waits for a broker that is away, drops messages that cannot be read or are none of ours, and gives up a requeue.

    It loses a hint at most; Dramatiq would lose the consumer thread, a worker thread, or everything it had fetched.
    Where there is nothing to fetch it waits until something is said to be there, instead of sleeping.
    """

    def __init__(self, *how: Any) -> None:
        super().__init__(*how)
        self._news = threading.Event()
        self._is_away = False
        self._done = self.broker.done[self.queue_name]

    def look_up(self) -> None:
        """There may be something to fetch, or room for it."""
        self._news.set()

    def __next__(self) -> Any:
        """The next message; None when there is none for a while."""
        self._news.clear()  # before the question: what comes after it is heard
        try:
            if not self.message_cache:
                self._strike_off()
            message = super().__next__()
            self._is_away = False
            if message is None:
                self._news.wait(self._pause)
                return None
            if self._is_a_hint(message):
                return message
            log.warning("a message on the broker is none of ours and is dropped: %.200r", message)
        except (ConnectionClosed, redis.ConnectionError) as error:
            self._wait_for_the_broker(error)
            return None
        except Exception as error:
            log.warning("a message on the broker cannot be read and is dropped: %s", error)
            return None
        self._drop(message)
        return None

    @property
    def _pause(self) -> float:
        """How long to wait for news, in seconds."""
        if self.broker.posts_are_near or self.queued_message_ids:
            return POLL_NEAR
        return POLL_IDLE if self.queue_name == QUEUE else POLL_TOLD

    def _wait_for_the_broker(self, error: Exception) -> None:
        """Ask again soon, and keep what is held until its time: Dramatiq would have dropped it."""
        if not self._is_away:
            log.warning("the consumer of %s waits for the broker: %s", self.queue_name, error)
        self._is_away = True
        self._news.wait(ASK_AGAIN)

    def _is_a_hint(self, message: MessageProxy) -> bool:
        """Whether Dramatiq can carry it.  Whether its arguments make sense, its actor tells."""
        options = message.options
        if not (isinstance(options, dict) and _is_an_id(options.get("redis_message_id"))):
            return False
        for name in options.keys() - OPTIONS:
            del options[name]
        if not self.queue_name.endswith(".DQ"):
            options.pop("eta", None)
        if isinstance(options.get("eta"), int | float):
            options["eta"] -= self.broker.ahead_ms
        return (
            message.queue_name == self.queue_name
            and isinstance(message.actor_name, str)
            and message.actor_name in self.broker.actors
            and isinstance(message.kwargs, dict)
            and _is_soon(options.get("eta"))
        )

    def _drop(self, message: MessageProxy) -> None:
        """Take a message off the queue; one without an id stays where nobody fetches it."""
        options = message.options if isinstance(message.options, dict) else {}
        if _is_an_id(options.get("redis_message_id")):
            self.ack(message)
        else:
            self.queued_message_ids.discard(message.message_id)

    def ack(self, message: Any) -> None:
        """Have a message struck off with the next question, and with whatever else is done by then.

        By the consumer's thread, for Redis costs a worker's thread as much as its part of a move costs the database.
        Dramatiq would also have it wait for a broker that is away, 5 s at a time: posts went out that much later, and
        SIGTERM did not end the process.  A message that is not struck off may come again, which changes nothing.
        """
        self._done.append(message.options["redis_message_id"])
        self.queued_message_ids.discard(message.message_id)
        self.look_up()

    def _strike_off(self) -> None:
        """Strike off what is done.  Raises redis.ConnectionError, and is repeated with the next question."""
        if done := list(self._done):
            self.broker.strike_off(self.queue_name, done)
            for _ in done:
                self._done.popleft()

    def close(self) -> None:
        """Strike off what is done."""
        try:
            self._strike_off()
        except redis.ConnectionError as error:
            log.debug("messages cannot be struck off and may come again: %s", error)

    def nack(self, message: Any) -> None:
        """Strike a message off that an actor failed at; as `ack`."""
        try:
            super().nack(message)
        except ConnectionClosed as error:
            log.debug("a message cannot be struck off and may come again: %s", error)

    def requeue(self, messages: Iterable[Any]) -> None:
        """Give messages back to the queue."""
        try:
            super().requeue(messages)
        except redis.RedisError as error:
            raise ConnectionClosed(error) from None


def _is_an_id(name: object) -> bool:
    """Whether Redis can be asked for it: one that nothing can encode would be asked for again for ever."""
    return isinstance(name, str) and name.isascii()


def _is_soon(eta: object) -> bool:
    if eta is None:
        return True
    return isinstance(eta, int | float) and eta - current_millis() <= LONGEST_DELAY_MS


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
