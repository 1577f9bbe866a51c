"""Divides the errors of the database: an outage passes, an error of the data stays."""

import logging
import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import TypeVar

from sqlalchemy.exc import DatabaseError as AnyDatabaseError
from sqlalchemy.exc import (
    DBAPIError,
    DisconnectionError,
    InterfaceError,
    InternalError,
    OperationalError,
    ResourceClosedError,
)
from sqlalchemy.exc import TimeoutError as PoolTimeout

from jobs_app.db.engine import is_full, is_refused, sqlstate

log = logging.getLogger(__name__)

T = TypeVar("T")

#: An item whose data failed is skipped for this long, seconds.
PUT_ASIDE_SECONDS = 60.0

#: SQLSTATEs of an OperationalError or InternalError that the data cause: a program limit is
#: exceeded, a stored row is corrupted. https://www.postgresql.org/docs/current/errcodes-appendix.html
DATA_CLASSES = ("54", "XX")

#: SQLSTATEs that say that tables or columns are missing: the database is being migrated.
MISSING_SCHEMA = ("42P01", "42703", "3F000")

#: SQLSTATE that says that the user of the database lacks a right, until somebody grants it.
NO_RIGHT = "42501"

#: SQLite has one code (SQLITE_ERROR) for a missing table and for a function's bad argument.
SQLITE_ERROR = 1


def is_outage(error: BaseException) -> bool:
    """Tell whether *error* passes: the database is unreachable, locked, full or not migrated.

    So does a right that the user of the database lacks, and a lack of memory or files. Every
    other error comes again with the same data. Then a retry is useless, and the caller must
    put the item aside.
    """
    if isinstance(error, MemoryError | OSError):
        return True
    if isinstance(error, PoolTimeout | DisconnectionError | ResourceClosedError):
        return True
    if not isinstance(error, DBAPIError):
        return False
    if error.connection_invalidated or isinstance(error, InterfaceError):
        return True
    state = sqlstate(error) or ""
    if state in MISSING_SCHEMA or state == NO_RIGHT:
        return True
    if isinstance(error, OperationalError | InternalError):
        return not (state.startswith(DATA_CLASSES) or _is_bad_argument(error.orig))
    return is_damaged(error)


def is_damaged(error: BaseException) -> bool:
    """Tell whether *error* says that the file of SQLite is damaged, or no database."""
    # SQLite raises the base class for it.
    return type(error) is AnyDatabaseError


def with_sqlstate(text: str, error: BaseException) -> str:
    """Return *text*, which a log line has of *error*, with the SQLSTATE if there is one."""
    state = sqlstate(error)
    return f"{text} sqlstate={state}" if state else text


def error_name(error: BaseException) -> str:
    """Return the type of *error* for a log line, with the SQLSTATE if there is one."""
    return with_sqlstate(type(error).__name__, error)


@dataclass(frozen=True, slots=True)
class Outage:
    """An outage in words: its title, a cause without a full stop, and what ends it."""

    title: str
    cause: str
    remedy: str


UNREACHABLE = Outage(
    "The database cannot be reached",
    "The database does not answer just now",
    "Try again shortly.",
)
FULL = Outage(
    "The database cannot be written",
    "The database cannot be written: its disk is full, or fails",
    "Make room there, and try again.",
)
REFUSED = Outage(
    "The database refuses its user",
    "The database is read-only, or the user of JOBS_DATABASE_URL lacks a right in it",
    "Grant that user all rights on the tables and sequences.",
)
DAMAGED = Outage(
    "The database is damaged",
    "The database file is damaged, or is no SQLite database",
    "Stop jobs-app and restore a backup: jobs-app restore FILE --replace.",
)


def describe_outage(error: BaseException) -> Outage:
    """Return *error*, which is an outage, in words."""
    if isinstance(error, DBAPIError) and is_full(error):
        return FULL
    if isinstance(error, DBAPIError) and is_refused(error):
        return REFUSED
    if is_damaged(error):
        return DAMAGED
    return UNREACHABLE


def _is_bad_argument(error: BaseException | None) -> bool:
    code = getattr(error, "sqlite_errorcode", None)
    return code == SQLITE_ERROR and "no such" not in str(error)


class PutAside:
    """Runs an action for each item of a batch; an item whose data fail does not stop the others.

    A failing item is named in the log as *event*, and skipped for PUT_ASIDE_SECONDS.
    """

    def __init__(self, event: str, *, now: Callable[[], float] = time.monotonic) -> None:
        self._event = event
        self._now = now
        self._until: dict[Hashable, float] = {}

    def run(self, item: Hashable, action: Callable[[], T]) -> T | None:
        """Return the result of *action*; None if *item* is put aside.

        Raises the errors of an outage: they are not the item's.
        """
        now = self._now()
        if now < self._until.get(item, now):
            return None
        try:
            result = action()
        except Exception as error:
            if is_outage(error):
                raise
            # Also forget the items that are due again: the table stays small.
            self._until = {key: until for key, until in self._until.items() if until > now}
            self._until[item] = now + PUT_ASIDE_SECONDS
            log.exception("%s item=%s", self._event, item)
            return None
        self._until.pop(item, None)
        return result

    def holds(self, item: Hashable) -> bool:
        """Tell whether *item* is put aside now."""
        now = self._now()
        return now < self._until.get(item, now)
