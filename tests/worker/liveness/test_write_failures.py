"""A process leaves if its writes fail and the worker's do not, and in no other case."""

import os
import sqlite3

import pytest
from sqlalchemy.exc import OperationalError

from jobs_app.worker.liveness import write_failures
from jobs_app.worker.liveness.lease import Lease, now
from jobs_app.worker.liveness.write_failures import WriteFailures


class Left(Exception):
    """The process has left."""


@pytest.fixture(autouse=True)
def _no_exit(monkeypatch: pytest.MonkeyPatch) -> None:
    def leave(_: int) -> None:
        raise Left

    monkeypatch.setattr(os, "_exit", leave)
    monkeypatch.setattr(write_failures, "LEAVE_SECONDS", 0.0)
    monkeypatch.setattr(write_failures, "DAMAGED_SECONDS", 0.0)


def _lease(age_seconds: float) -> Lease:
    lease = Lease(20.0)
    lease.renew(now() - age_seconds)
    return lease


def _failed(lease: Lease, error: Exception, *, damage: str = "", own: bool = False) -> bool:
    failures = WriteFailures(lease)
    try:
        for _ in range(3):
            failures.note(error, damage=damage, has_own_heartbeat=own)
            # The heartbeat goes on meanwhile.
            if lease.seconds_left() > 10:
                lease.renew(now())
    except Left:
        return True
    return False


def _sqlite_error(code: int) -> OperationalError:
    cause = sqlite3.OperationalError("no")
    cause.sqlite_errorcode = code
    return OperationalError("INSERT", None, cause)


def test_a_process_leaves_if_only_it_cannot_write() -> None:
    error = _sqlite_error(sqlite3.SQLITE_CANTOPEN)

    assert _failed(_lease(0), error)
    assert not _failed(_lease(15), error)


@pytest.mark.parametrize("code", [sqlite3.SQLITE_BUSY, sqlite3.SQLITE_FULL, 517])
def test_an_answer_of_the_database_is_no_fault_of_the_process(code: int) -> None:
    assert not _failed(_lease(0), _sqlite_error(code), damage="user_id")


def test_a_worker_whose_heartbeat_fails_too_leaves_only_if_it_is_damaged() -> None:
    error = _sqlite_error(sqlite3.SQLITE_CANTOPEN)

    assert not _failed(_lease(0), error, own=True)
    assert _failed(_lease(15), error, damage="user_id", own=True)


def test_one_failure_alone_is_no_reason_to_leave() -> None:
    lease = _lease(0)
    failures = WriteFailures(lease)
    error = _sqlite_error(sqlite3.SQLITE_CANTOPEN)

    failures.note(error, damage="user_id", has_own_heartbeat=False)

    lease.renew(now())
    with pytest.raises(Left):
        failures.note(error, damage="user_id", has_own_heartbeat=False)
