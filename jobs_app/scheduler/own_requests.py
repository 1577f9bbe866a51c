"""Requests that the scheduler sends on its own behalf, to addresses of its settings."""

import logging
from collections.abc import Callable

from jobs_app.notifications.webhook import NotSent, call
from jobs_app.tasks.context import HttpFailed
from jobs_app.tasks.http_request import Request
from jobs_app.tasks.network_policy import NetworkPolicy

log = logging.getLogger(__name__)


class OwnRequests:
    """Sends requests as webhooks are sent: by the network rules, and without redirects.

    A failure is logged once, and so is its end, as events of *name*. The URL may be secret, and
    no line has it.
    """

    def __init__(self, name: str, policy: NetworkPolicy, *, seconds: float) -> None:
        self._name = name
        self._policy = policy
        self._seconds = seconds
        self._is_failing = False

    def send(self, make_request: Callable[[], Request]) -> bool:
        """Send a request; return whether the answer was 2xx in time."""
        failure = self._failure(make_request)
        if failure is not None:
            self.note(failure)
        elif self._is_failing:
            log.warning("%s_answers_again", self._name)
            self._is_failing = False
        return failure is None

    def note(self, failure: str) -> None:
        """Log a failure, unless the last one was followed by no success."""
        if not self._is_failing:
            log.warning("%s_failed reason=%s", self._name, failure)
        self._is_failing = True

    def _failure(self, make_request: Callable[[], Request]) -> str | None:
        try:
            call(make_request, self._policy, seconds=self._seconds)
        except NotSent as error:
            # What was not called at all: it names the host and the setting that allows it.
            # Other errors may quote the URL.
            return error.quotation if type(error.__cause__) is HttpFailed else str(error)
        except (OSError, ValueError, RuntimeError, MemoryError) as error:
            return type(error).__name__
        return None
