"""Calls JOBS_HEARTBEAT_URL while the scheduler ticks: a dead man's switch hears when it stops.

The heartbeat of workers is another one: see `heartbeat_monitor`.
"""

import logging
import threading

import jobs_app
from jobs_app.core.httpx_library import httpx
from jobs_app.notifications.webhook import NotSent, call
from jobs_app.tasks.context import HttpFailed
from jobs_app.tasks.http_request import Request, checked_url
from jobs_app.tasks.network_policy import NetworkPolicy

log = logging.getLogger(__name__)

#: Time for one call, seconds: another one may be due after 5.
CALL_SECONDS = 4.0


class HeartbeatUrl:
    """Calls the URL in a thread of its own, at most once in so many *seconds*.

    It is the same kind of request as a webhook: it follows the network rules of notifications,
    and no redirect. The URL is a secret and never logged.
    """

    def __init__(self, url: str, policy: NetworkPolicy, *, seconds: float) -> None:
        self._url = url
        self._policy = policy
        self._seconds = seconds
        self._next_at: float | None = None
        self._is_due = threading.Event()
        self._is_stopped = False
        self._is_failing = False
        self._thread = threading.Thread(target=self._run, name="heartbeat-url", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Call no more; a call under way may end after that."""
        self._is_stopped = True
        self._is_due.set()

    def beat(self, monotonic: float) -> None:
        """Have the URL called if it is time for it; returns at once."""
        if self._next_at is None or monotonic >= self._next_at:
            self._next_at = monotonic + self._seconds
            self._is_due.set()

    def _run(self) -> None:
        while True:
            self._is_due.wait()
            self._is_due.clear()
            if self._is_stopped:
                return
            self.call()

    def call(self) -> bool:
        """Call the URL now; return whether it answered 2xx. Log a failure, and its end, once."""
        failure = self._call()
        if failure is not None and not self._is_failing:
            log.warning("heartbeat_url_failed reason=%s", failure)
        elif failure is None and self._is_failing:
            log.warning("heartbeat_url_answers_again")
        self._is_failing = failure is not None
        return not self._is_failing

    def _call(self) -> str | None:
        """Return why the call failed, None if it did not; no part of it is secret."""
        try:
            call(self._request, self._policy, seconds=CALL_SECONDS)
        except NotSent as error:
            # What was not called at all: it names the host and the setting that allows it.
            # Other errors may quote the URL.
            return error.quotation if type(error.__cause__) is HttpFailed else str(error)
        except (OSError, ValueError, RuntimeError, MemoryError) as error:
            return type(error).__name__
        return None

    def _request(self) -> Request:
        headers = {"User-Agent": f"jobs-app/{jobs_app.__version__}", "Accept-Encoding": "identity"}
        return Request("GET", checked_url(self._url), httpx.Headers(headers), None)
