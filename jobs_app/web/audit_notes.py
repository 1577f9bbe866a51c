"""Events of the audit that an answer does not wait for, such as refusals.

The answer says the same whether the event is written or not. So a database file that somebody
holds locked must not keep the request, and a thread of the server, for as long. An event that
must be on record before the answer does not belong here: the throttle of sign-ins counts an
attempt first, and without that no password is looked at.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from jobs_app.accounts import audit
from jobs_app.db.engine import is_locked
from jobs_app.db.errors import error_name
from jobs_app.web import session

log = logging.getLogger(__name__)

#: So many events are kept while the database is locked; those that come later are dropped.
MAX_KEPT = 200

#: While it is locked, one request tries again so often, seconds.
RETRY_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class AuditNote:
    """An event of the audit, as it is to be written."""

    origin: audit.Origin
    action: str
    by: str
    at: datetime
    detail: Mapping[str, Any]


class AuditNotes:
    """Writes events at once; while the database is locked it keeps some, and writes them later.

    They are gone if the process ends before. The log counts those that are kept, and names
    those that are dropped.
    """

    def __init__(self, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._kept: list[AuditNote] = []
        self._retry_at = 0.0

    def write(self, notes: Iterable[AuditNote] = ()) -> None:
        """Write *notes*, and those that are kept; call it without any at each request."""
        with self._lock:
            batch = [*self._kept, *notes]
            if not batch or self._monotonic() < self._retry_at:
                self._keep(batch)
                return
            self._kept = []
        try:
            _write(batch)
        except SQLAlchemyError as error:
            if not (isinstance(error, DBAPIError) and is_locked(error)):
                # A full disk, for example, must not turn a refusal into another error.
                _log("audit_notes_dropped", batch, error_name(error))
                return
            with self._lock:
                self._retry_at = self._monotonic() + RETRY_SECONDS
                # Other requests may have kept some meanwhile: those are newer.
                self._keep([*batch, *self._kept])

    def _keep(self, notes: list[AuditNote]) -> None:
        """Let *notes* be those that are kept; the caller has the lock."""
        if len(notes) > MAX_KEPT:
            _log("audit_notes_dropped", notes[MAX_KEPT:], "locked")
        elif len(notes) > len(self._kept):
            log.warning("audit_notes_kept count=%s error=locked", len(notes))
        self._kept = notes[:MAX_KEPT]


def _write(notes: list[AuditNote]) -> None:
    # Nothing may be held while another session writes.
    session.database.session.remove()
    with session.writing(wait_seconds=session.NOTE_SECONDS) as writer:
        for note in notes:
            audit.set_origin(writer, note.origin)
            audit.note(writer, note.action, by=note.by, at=note.at, **note.detail)
        writer.commit()


def _log(event: str, notes: list[AuditNote], error: str) -> None:
    for note in notes:
        log.warning("%s action=%s by=%r error=%s", event, note.action, note.by, error)
