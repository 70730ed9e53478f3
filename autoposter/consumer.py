"""Dramatiq's Redis consumer, made to survive an outage and whatever stands on the broker, and to wait for news."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterable
from typing import Any

import redis
from dramatiq.broker import MessageProxy
from dramatiq.brokers.redis import _RedisConsumer
from dramatiq.common import current_millis
from dramatiq.errors import ConnectionClosed

log = logging.getLogger(__name__)

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
POLL_IDLE = 5.0

#: And so often where only posts lie, of which the scan tells: behind, and held until their time.
POLL_TOLD = 10.0

#: A consumer with messages in hand waits so long before it asks for more, in seconds: for all threads that become free
#: meanwhile it asks once.  Of 500 posts at one instant the last arrived at 1.17 x the least possible with it, 1.24 x
#: without (2 x 32 threads).
GATHER = 0.004

#: A broker that is away is asked again this often, in seconds.
ASK_AGAIN = 0.25

#: What our messages may say beside their actor and its arguments; all else is taken off them.
OPTIONS = {"redis_message_id", "eta", "scheduled_at"}

#: Hints are sent a few seconds ahead.  A consumer that held others for later would soon fetch no more.
LONGEST_DELAY_MS = 60_000

#: So many messages that are done are struck off in any case; fewer, when there is nothing else to do.
MANY_DONE = 16


class SteadyConsumer(_RedisConsumer):
    """Waits for a broker that is away, drops messages that cannot be read or are none of ours, and gives up a requeue.

    It loses a hint at most; Dramatiq would lose the consumer thread, a worker thread, or everything it had fetched.
    Where there is nothing to fetch it waits until something is said to be there, instead of sleeping.
    """

    def __init__(self, *how: Any) -> None:
        super().__init__(*how)
        self._news = threading.Event()
        self._is_away = False
        self._is_quiet = False
        self._done = self.broker.done[self.queue_name]

    def look_up(self) -> None:
        """There may be something to fetch, or room for it."""
        self._news.set()

    def __next__(self) -> Any:
        """The next message; None when there is none for a while."""
        self._news.clear()  # before the question: what comes after it is heard
        try:
            if not self.message_cache and (self._is_quiet or len(self._done) >= MANY_DONE):
                self._strike_off()
                self._is_quiet = False
            if not self.message_cache and self.queued_message_ids:
                time.sleep(GATHER)
            message = super().__next__()
            self._is_away = False
            if message is None:
                self._is_quiet = not self._news.wait(self._pause)
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
        """Have a message struck off when many are done, or nothing else is to be done.

        By the consumer's thread, for Redis costs a worker's thread as much as its part of a move costs the database.
        Dramatiq would also have it wait for a broker that is away, 5 s at a time: posts went out that much later, and
        SIGTERM did not end the process.  A message that is not struck off may come again, which changes nothing.
        """
        self._done.append(message.options["redis_message_id"])
        self.queued_message_ids.discard(message.message_id)
        self.look_up()

    def _strike_off(self) -> None:
        """Strike off what is done.  Raises redis.ConnectionError, and is repeated with a later question."""
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
