"""Publishes run ids to Celery; a message is a hint, the run's row is the truth."""

import logging
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from celery import Celery
from kombu import exceptions as kombu_exceptions
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

from jobs_app.celery_app import RUN_TASK
from jobs_app.errors import BrokerUnavailable

log = logging.getLogger(__name__)

#: How long a request waits for Redis before it leaves the rest to the janitor, seconds.
COURIER_SECONDS = 0.25

#: What Redis and the transport raise when they cannot be reached.
BROKER_ERRORS: tuple[type[Exception], ...] = (
    RedisError,
    OperationalError,
    kombu_exceptions.BatchPublishError,  # type: ignore[attr-defined]  # the stubs lack it
    OSError,
)


@dataclass(frozen=True, slots=True)
class Message:
    """What a worker is told: which run, which attempt; and Celery what it may take.

    `task` is only shown to Celery's own tools. The limits, in seconds, are what
    Celery's pool enforces; None where something else does, or nothing.
    """

    run_id: UUID
    attempt: int
    task: str
    queue: str
    priority: int = 5
    soft_time_limit_seconds: int | None = None
    time_limit_seconds: int | None = None


def publish(app: Celery, messages: Iterable[Message]) -> None:
    """Send *messages* through one pipeline.

    Raises BrokerUnavailable; some of them may then have arrived all the same.
    """
    try:
        with app.producer_pool.acquire(block=True, timeout=5) as producer:
            _publish_all(app, producer, messages)
    except BROKER_ERRORS as error:
        raise BrokerUnavailable(f"The broker did not take the messages: {error}") from error


def _publish_all(app: Celery, producer: Any, messages: Iterable[Message]) -> None:
    # Typed Any: kombu's stubs know nothing of `batch`, new in its 5.7.
    with producer.batch():
        for message in messages:
            _publish_one(app, producer, message)


def _publish_one(app: Celery, producer: Any, message: Message) -> None:
    run_id = str(message.run_id)
    headers, properties, body, _ = app.amqp.as_task_v2(
        run_id,
        RUN_TASK,
        args=(run_id, message.attempt),
        shadow=message.task,
        soft_time_limit=message.soft_time_limit_seconds,
        time_limit=message.time_limit_seconds,
        ignore_result=True,
    )
    producer.publish(
        body,
        exchange="",
        routing_key=message.queue,
        serializer="json",
        headers=headers,
        delivery_mode=2,
        priority=message.priority,
        declare=[],
        retry=False,
        **properties,
    )


class Courier:
    """Does errands to Redis for a web process that must never wait for it.

    An errand gets a quarter of a second. One that hangs keeps the thread, and
    while it does, further errands are dropped at once: the rows are on record,
    and the janitor sends what is missing.
    """

    def __init__(self, *, seconds: float = COURIER_SECONDS) -> None:
        self._seconds = seconds
        self._lock = threading.Lock()
        self._last: Future[None] | None = None
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="courier")

    def run(self, errand: Callable[[], None]) -> bool:
        """Run *errand*; return whether it was done in time."""
        with self._lock:
            if self._last is not None and not self._last.done():
                return False
            future = self._last = self._thread.submit(errand)
        try:
            future.result(timeout=self._seconds)
        except TimeoutError:
            log.warning("redis_slow waited_seconds=%s", self._seconds)
            return False
        except BrokerUnavailable as error:
            log.warning("redis_unavailable error=%s", error)
            return False
        return True
