"""Calls JOBS_HEARTBEAT_URL while the scheduler ticks: a dead man's switch hears when it stops.

The heartbeat of workers is another one: see `heartbeat_monitor`.
"""

import threading

import jobs_app
from jobs_app.core.httpx_library import httpx
from jobs_app.scheduler.own_requests import OwnRequests
from jobs_app.tasks.http_request import Request, checked_url
from jobs_app.tasks.network_policy import NetworkPolicy

#: Time for one call, seconds: another one may be due after 5.
CALL_SECONDS = 4.0


class HeartbeatUrl:
    """Calls the URL in a thread of its own, at most once in so many *seconds*."""

    def __init__(self, url: str, policy: NetworkPolicy, *, seconds: float) -> None:
        self._url = url
        self._requests = OwnRequests("heartbeat_url", policy, seconds=CALL_SECONDS)
        self._seconds = seconds
        self._next_at: float | None = None
        self._is_due = threading.Event()
        self._is_stopped = False
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
        """Call the URL now; return whether it answered 2xx."""
        return self._requests.send(self._request)

    def _request(self) -> Request:
        headers = {"User-Agent": f"jobs-app/{jobs_app.__version__}", "Accept-Encoding": "identity"}
        return Request("GET", checked_url(self._url), httpx.Headers(headers), None)
