"""Calls to Redis from a web process, which never waits long for one."""

import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

from jobs_app.core.errors import BrokerUnavailable

log = logging.getLogger(__name__)

#: How long a request waits for Redis before it leaves the rest to the janitor, seconds.
WAIT_SECONDS = 0.25

#: While Redis stays down, the log repeats it after this time, seconds.
REPEAT_SECONDS = 300.0


class RedisOutageLog:
    """Says in the log when Redis fails and when it answers again, not at each request."""

    def __init__(self, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._down_since: float | None = None
        self._repeat_at = 0.0

    def note_failure(self, line: str) -> None:
        """Log *line*, if Redis answered until now or the last line is old."""
        with self._lock:
            now = self._monotonic()
            if self._down_since is not None and now < self._repeat_at:
                return
            if self._down_since is None:
                self._down_since = now
            self._repeat_at = now + REPEAT_SECONDS
            down_seconds = now - self._down_since
        log.warning("%s down_seconds=%.0f", line, down_seconds)

    def note_answer(self) -> None:
        """Log that Redis answers again, if it did not."""
        with self._lock:
            if self._down_since is None:
                return
            down_seconds = self._monotonic() - self._down_since
            self._down_since = None
        log.warning("redis_available down_seconds=%.0f", down_seconds)


class RedisNotifier:
    """Runs commands to Redis for a web process that must never wait for it.

    Each command may take 0.25 s. One that hangs occupies the only thread, and
    further commands are dropped at once until it ends. Nothing is lost: the rows
    are on record, and the janitor sends what is missing.
    """

    def __init__(
        self, *, seconds: float = WAIT_SECONDS, outage_log: RedisOutageLog | None = None
    ) -> None:
        self._seconds = seconds
        self._outage_log = outage_log or RedisOutageLog()
        self._lock = threading.Lock()
        self._last: Future[None] | None = None
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="redis-notifier")

    def beside(self) -> "RedisNotifier":
        """Return one with a thread of its own, and with the same log of outages."""
        return RedisNotifier(seconds=self._seconds, outage_log=self._outage_log)

    def run(self, command: Callable[[], None]) -> bool:
        """Run *command*; return whether it was done in time."""
        with self._lock:
            if self._last is not None and not self._last.done():
                return False
            future = self._last = self._thread.submit(command)
        try:
            future.result(timeout=self._seconds)
        except TimeoutError:
            self._outage_log.note_failure(f"redis_slow waited_seconds={self._seconds}")
            return False
        except BrokerUnavailable as error:
            self._outage_log.note_failure(f"redis_unavailable error={error}")
            return False
        self._outage_log.note_answer()
        return True
