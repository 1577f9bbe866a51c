"""Failed sign-ins to the pages, in the audit and the log, bounded in number."""

import hashlib
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from jobs_app.accounts import audit
from jobs_app.core import clock
from jobs_app.web.audit_notes import AuditNote, AuditNotes
from jobs_app.web.repeat_count import RepeatCount

log = logging.getLogger(__name__)

#: The name of these events in the audit, and their actor: who it was is not known.
ACTION, ACTOR = "sign_in_failed", "jobs-app"


class Reason(StrEnum):
    """Why a sign-in failed."""

    WRONG = "wrong_name_or_password"
    TOO_MANY = "too_many"


@dataclass(frozen=True, slots=True)
class FailedSignIn:
    """A failed sign-in. What was typed as the name may be a password: it is kept as a hash.

    `account` is the name of an account that exists. Whether there is one changes nothing in
    how many events there are, and so nothing in the time of an answer.
    """

    typed: str
    account: str | None
    address: str | None
    reason: Reason

    @classmethod
    def of(
        cls, name: str, account: str | None, address: str | None, reason: Reason
    ) -> "FailedSignIn":
        """Return the failure of somebody who typed *name*."""
        typed = hashlib.sha256(name.lower().encode("utf-8", "replace")).hexdigest()
        return cls(typed, account, address, reason)


class SignInAudit:
    """Writes failed sign-ins: each kind at once, and its repetitions as a number."""

    def __init__(self, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._count = RepeatCount[FailedSignIn](monotonic=monotonic)
        self._notes = AuditNotes()

    def note(self, failure: FailedSignIn) -> None:
        """Write *failure*, or count it if the audit has it, or has many."""
        self.report()
        if self._count.is_new(failure):
            log.warning(
                "sign_in_failed address=%s reason=%s account=%r",
                failure.address,
                failure.reason,
                failure.account,
            )
            self._notes.write([_note(failure, 0)])

    def report(self) -> None:
        """Write how often failures came again in the last window; call it at each request."""
        repeated, others = self._count.ended()
        if others:
            repeated[FailedSignIn("", None, None, Reason.TOO_MANY)] = others
        if repeated:
            log.warning("sign_in_failed_again count=%s", sum(repeated.values()))
        self._notes.write([_note(failure, count) for failure, count in repeated.items()])


def _note(failure: FailedSignIn, count: int) -> AuditNote:
    origin = audit.Origin(None, failure.address, via="page")
    detail: dict[str, Any] = {"person": failure.account, "reason": failure.reason}
    if count:
        detail["again"] = count
    return AuditNote(origin, ACTION, ACTOR, clock.now(), detail)
