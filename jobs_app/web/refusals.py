"""The audit of refusals: who wanted what without the right, bounded in number."""

import threading
from dataclasses import dataclass
from typing import Any

from flask import Flask, Response, g, request

from jobs_app.accounts import audit
from jobs_app.accounts.principal import Principal
from jobs_app.core import clock
from jobs_app.core.errors import Forbidden, NotFound
from jobs_app.web.api import problems
from jobs_app.web.audit_notes import AuditNote, AuditNotes
from jobs_app.web.repeat_count import RepeatCount

#: The name of these events in the audit.
REFUSED = "refused"

#: At most so many accounts are counted: beyond them the window of the oldest ends early.
MAX_ACCOUNTS = 1_000

#: A longer address of a request is cut, characters.
MAX_PATH_CHARS = 200


#: The name and the number of an account.
Account = tuple[str, int | None]


@dataclass(frozen=True, slots=True)
class Refusal:
    """A refused request: who sent it, what it wanted, and its method and path."""

    origin: audit.Origin
    actor: str
    action: str
    path: str


class RefusalAudit:
    """Writes refusals into the audit: each kind at once, and its repetitions as a number.

    Each account has its own bound: with many refusals it cannot hide those of another.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._notes = AuditNotes()
        #: The windows of the accounts, by their names and numbers, in the order in which they end.
        self._counts: dict[Account, RepeatCount[Refusal]] = {}

    def note(self, principal: Principal, action: str) -> None:
        """Write a refusal of this request, or count it if the audit has it, or has many."""
        self.report()
        path = f"{request.method} {request.path[:MAX_PATH_CHARS]}"
        refusal = Refusal(_repeatable(g.audit_origin), principal.name, action, path)
        account = (principal.account, principal.person_id)
        with self._lock:
            is_new = self._counts.setdefault(account, RepeatCount()).is_new(refusal)
        if is_new:
            self._notes.write([_note(refusal, 0, g.audit_origin)])

    def report(self) -> None:
        """Write how often refusals came again in the last window; call it at each request."""
        notes: list[AuditNote] = []
        for (account, person_id), count in self._ended().items():
            repeated, others = count.totals()
            if others:
                origin = audit.Origin(None, None, person_id)
                repeated[Refusal(origin, account, "several actions", "")] = others
            notes += [_note(refusal, times) for refusal, times in repeated.items()]
        self._notes.write(notes)

    @property
    def account_count(self) -> int:
        """How many accounts have a window."""
        return len(self._counts)

    def _ended(self) -> dict[Account, RepeatCount[Refusal]]:
        """Remove the windows that have ended, and return them."""
        ended: dict[Account, RepeatCount[Refusal]] = {}
        with self._lock:
            for account, count in self._counts.items():
                # The others began later.
                if not count.has_ended() and len(self._counts) - len(ended) <= MAX_ACCOUNTS:
                    break
                ended[account] = count
            for account in ended:
                del self._counts[account]
        return ended


def register(app: Flask, refusals: RefusalAudit) -> None:
    """Note the refusals of *app*.

    A limited caller that asks for a job or a run that does not exist may have guessed its
    name: this is noted too. Whether it exists is not looked up.
    """

    @app.errorhandler(Forbidden)
    def on_forbidden(error: Forbidden) -> Response:
        refusals.note(g.principal, error.action)
        return problems.on_jobs_error(error)

    @app.errorhandler(NotFound)
    def on_not_found(error: NotFound) -> Response:
        principal: Principal | None = g.get("principal")
        if principal is not None and principal.tags is not None:
            refusals.note(principal, f"see what is not there for it: {error.code}")
        return problems.on_jobs_error(error)


def _repeatable(origin: audit.Origin) -> audit.Origin:
    """Return *origin* without the id of its request, in which equal requests differ."""
    return audit.Origin(origin.token_id, origin.remote_address, origin.person_id, via=origin.via)


def _note(refusal: Refusal, count: int, origin: audit.Origin | None = None) -> AuditNote:
    detail: dict[str, Any] = {"wanted": refusal.action, "request": refusal.path}
    if count:
        detail["again"] = count
    return AuditNote(origin or refusal.origin, REFUSED, refusal.actor, clock.now(), detail)
