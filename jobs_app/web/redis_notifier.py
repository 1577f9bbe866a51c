"""Calls to Redis from a web process, which never waits long for one."""

import logging
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

from jobs_app.core.errors import BrokerUnavailable

log = logging.getLogger(__name__)


#: How long a request waits for Redis before it leaves the rest to the janitor, seconds.
COURIER_SECONDS = 0.25


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
