"""The log of failed sign-ins: from where, with which known token, and how often."""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

from jobs_app.accounts.tokens import Refusal
from jobs_app.web.repeat_count import RepeatCount

log = logging.getLogger(__name__)


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
    """Logs failed sign-ins: each kind at once, and its repetitions with their number."""

    def __init__(self, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._count = RepeatCount[FailedSignIn](monotonic=monotonic)

    def note(self, failure: FailedSignIn) -> None:
        """Log *failure*, or count it if the log has such a line, or too many lines."""
        self.report()
        if self._count.is_new(failure):
            log.warning("sign_in_failed %s", failure)

    def report(self) -> None:
        """Log how often failures came again in the last window; call it at each request."""
        repeated, others = self._count.ended()
        for failure, count in repeated.items():
            log.warning("sign_in_failed_again count=%s %s", count, failure)
        if others:
            log.warning("sign_in_failed_otherwise count=%s", others)
