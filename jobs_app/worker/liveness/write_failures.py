"""Decides whether failed writes are the fault of this process, which must leave then.

A run may damage its process: closed descriptors, dropped rights, lowered limits. If the
worker's heartbeat reaches the database and this process does not, waiting is useless.
"""

import logging
import os
import sqlite3
import time

from sqlalchemy.exc import DBAPIError

from jobs_app.db.errors import error_name
from jobs_app.worker.liveness.lease import Lease

log = logging.getLogger(__name__)

#: The exit code of a process that can no longer write the finish of its run (EX_IOERR).
CANNOT_WRITE = 74

#: A process that its run has damaged tries for this long, seconds.
DAMAGED_SECONDS = 2.0

#: Another process tries for this long while heartbeats arrive, seconds.
LEAVE_SECONDS = 8.0

#: One failure may be a connection from before an outage.
MIN_FAILURES = 2

#: SQLite refuses for the moment: somebody else writes, or the disk is full.
SQLITE_BUSY_CODES = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_FULL})


class WriteFailures:
    """The failed writes of one finish or claim, one after the other."""

    def __init__(self, lease: Lease) -> None:
        self._lease = lease
        # From before the first try: SQLite itself may try for ten seconds.
        self._began = time.monotonic()
        self._count = 0

    def note(self, error: BaseException, *, damage: str, has_own_heartbeat: bool) -> None:
        """Note a failed write; exit the process if it is the only one that fails.

        *damage* names the state of the process that could not be restored, if any. A process
        with its own heartbeat exits only then: the heartbeat fails with everything else.
        """
        now = time.monotonic()
        if _is_answer(error):
            # The database itself refuses: that is the same for every process.
            self._began, self._count = now, 0
            return
        self._count += 1
        seconds = now - self._began
        if self._count < MIN_FAILURES or seconds < (DAMAGED_SECONDS if damage else LEAVE_SECONDS):
            return
        if damage if has_own_heartbeat else self._lease.was_renewed_within(seconds):
            reason = damage or "cannot_write"
            log.error("process_left reason=%s error=%s", reason, error_name(error))
            os._exit(CANNOT_WRITE)


def _is_answer(error: BaseException) -> bool:
    """Tell whether *error* came from a database that was reached."""
    cause = error.orig if isinstance(error, DBAPIError) else error
    if isinstance(cause, sqlite3.Error):
        code = getattr(cause, "sqlite_errorcode", None)
        # The low byte: the rest says more about it.
        return code is not None and code & 0xFF in SQLITE_BUSY_CODES
    return getattr(cause, "sqlstate", None) is not None


# IMPORT
