"""Calls to Redis from a web process, which never waits long for one."""

import logging
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

from jobs_app.core.errors import BrokerUnavailable

log = logging.getLogger(__name__)

#: How long a request waits for Redis before it leaves the rest to the janitor, seconds.
WAIT_SECONDS = 0.25


class RedisNotifier:
    """Runs commands to Redis for a web process that must never wait for it.

    Each command may take 0.25 s. One that hangs occupies the only thread, and
    further commands are dropped at once until it ends. Nothing is lost: the rows
    are on record, and the janitor sends what is missing.
    """

    def __init__(self, *, seconds: float = WAIT_SECONDS) -> None:
        self._seconds = seconds
        self._lock = threading.Lock()
        self._last: Future[None] | None = None
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="redis-notifier")

    def run(self, command: Callable[[], None]) -> bool:
        """Run *command*; return whether it was done in time."""
        with self._lock:
            if self._last is not None and not self._last.done():
                return False
            future = self._last = self._thread.submit(command)
        try:
            future.result(timeout=self._seconds)
        except TimeoutError:
            log.warning("redis_slow waited_seconds=%s", self._seconds)
            return False
        except BrokerUnavailable as error:
            log.warning("redis_unavailable error=%s", error)
            return False
        return True
