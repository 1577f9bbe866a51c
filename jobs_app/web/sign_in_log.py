"""The log of failed sign-ins: from where, with which known token, and how often."""

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from jobs_app.accounts.tokens import Refusal

log = logging.getLogger(__name__)

#: Equal failures get one line at once, and one with their number after this time, seconds.
WINDOW_SECONDS = 60.0

#: Most different failures that are named in that time. So nobody fills the disk with them.
MAX_NAMED = 10


@dataclass(frozen=True, slots=True)
class FailedSignIn:
    """A failed sign-in; `token_id` and `token_name` are None for an unknown token."""

    refusal: Refusal
    address: str | None
    token_id: int | None = None
    token_name: str | None = None

    def __str__(self) -> str:
        token = "" if self.token_id is None else f" token={self.token_id} name={self.token_name!r}"
        return f"address={self.address} reason={self.refusal}{token}"


class SignInLog:
    """Logs failed sign-ins: at most 2 * MAX_NAMED + 1 lines in WINDOW_SECONDS."""

    def __init__(self, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._ends_at = 0.0
        #: Failures of this window that have a line, with the number of those that have none.
        self._repeated: Counter[FailedSignIn] = Counter()
        self._others = 0

    def note(self, failure: FailedSignIn) -> None:
        """Log *failure*, or count it if the log has such a line, or too many lines."""
        self.report()
        with self._lock:
            if not self._ends_at:
                self._ends_at = self._monotonic() + WINDOW_SECONDS
            if failure in self._repeated:
                self._repeated[failure] += 1
                return
            if len(self._repeated) == MAX_NAMED:
                self._others += 1
                return
            self._repeated[failure] = 0
        log.warning("sign_in_failed %s", failure)

    def report(self) -> None:
        """Log how often failures came again in the last window; call it at each request."""
        if not self._ends_at or self._monotonic() < self._ends_at:
            return
        with self._lock:
            repeated, others = self._repeated, self._others
            self._repeated, self._others, self._ends_at = Counter(), 0, 0.0
        for failure, count in repeated.items():
            if count:
                log.warning("sign_in_failed_again count=%s %s", count, failure)
        if others:
            log.warning("sign_in_failed_otherwise count=%s", others)
