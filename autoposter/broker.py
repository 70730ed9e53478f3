"""Dramatiq's Redis broker, made to survive what a hint may suffer: outages, refusals, garbage."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any

import dramatiq
import redis
from dramatiq.brokers.redis import RedisBroker, _RedisConsumer
from dramatiq.errors import ConnectionClosed
from redis.backoff import NoBackoff
from redis.exceptions import NoScriptError
from redis.retry import Retry

log = logging.getLogger(__name__)

#: All keys on Redis begin with this.
NAMESPACE = "autoposter"

#: One queue for all actors: each queue costs 20 polls a second and process.
QUEUE = "default"

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


class SteadyConsumer(_RedisConsumer):
    """Drops messages that cannot be read, and gives up a requeue that cannot be had.

    Both lose a hint at most; Dramatiq would lose the consumer thread, or everything it had fetched.
    """

    def __next__(self) -> Any:
        """The next message; None when there is none."""
        try:
            return super().__next__()
        except (ConnectionClosed, redis.ConnectionError):
            raise
        except Exception as error:
            log.warning("a message on the broker cannot be read and is dropped: %s", error)
            return None

    def requeue(self, messages: Iterable[Any]) -> None:
        """Give messages back to the queue."""
        try:
            super().requeue(messages)
        except redis.RedisError as error:
            raise ConnectionClosed(error) from None


class SteadyBroker(RedisBroker):
    """The broker of autoposter."""

    @property
    def consumer_class(self) -> type[SteadyConsumer]:
        """What reads the messages."""
        return SteadyConsumer

    def waiting(self) -> int:
        """How many messages wait to be fetched by a worker.  Raises redis.ConnectionError."""
        return int(self.client.llen(f"{NAMESPACE}:{QUEUE}"))


def build_broker(url: str, middleware: list[dramatiq.Middleware]) -> SteadyBroker:
    """A broker on this Redis.  Connects to nothing yet."""
    client = SteadyRedis.from_url(
        url,
        socket_timeout=SOCKET_TIMEOUT_SECONDS,
        socket_connect_timeout=SOCKET_TIMEOUT_SECONDS,
        retry=Retry(NoBackoff(), 0),
    )
    return SteadyBroker(client=client, namespace=NAMESPACE, middleware=middleware)
