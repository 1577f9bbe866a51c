"""A run that starts late is notified of once, and only to subscribers."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import event

from jobs_app.core.states import CatchupPolicy, Event, RunState
from jobs_app.db.engine import Database
from jobs_app.jobs import service
from jobs_app.notifications import lateness
from jobs_app.notifications import record as notifications_record
from jobs_app.notifications.rules import Rule
from tests.factories import (
    HOUR,
    MINUTE,
    NOON,
    SECOND,
    claim,
    make_job,
    make_run,
    make_worker,
    record,
    runs_of,
)
from tests.notification_checks import make_channel, rows

FAILED, SUCCEEDED, LOST = RunState.FAILED, RunState.SUCCEEDED, RunState.LOST


@pytest.fixture
def worker(database: Database) -> UUID:
    return make_worker(database)


@contextmanager
def statements(database: Database) -> Iterator[list[str]]:
    """Collect the SQL statements that run meanwhile."""
    executed: list[str] = []

    def note(_c: Any, _cursor: Any, statement: str, *_: Any) -> None:
        executed.append(statement)

    event.listen(database.engine, "before_cursor_execute", note)
    yield executed
    event.remove(database.engine, "before_cursor_execute", note)


def look_for_late(database: Database, *, at: Any) -> int:
    """Record late runs as a sender does."""
    with database.session() as session:
        late = lateness.find_late(session, at=at)
        count = lateness.notify_late(session, late, at=at)
        session.commit()
        return count


def test_a_run_that_does_not_start_is_late_once(database: Database) -> None:
    make_channel(database)
    run_id = make_run(database, make_job(database), at=NOON)

    counts = [look_for_late(database, at=NOON + n * SECOND) for n in (59, 60, 65, 900)]

    assert counts == [0, 1, 0, 0]
    (row,) = rows(database)
    assert (row.event, row.run_id) == (Event.LATE, run_id)


def test_a_run_is_late_after_the_deadline_of_its_job(database: Database) -> None:
    make_channel(database)
    make_run(database, make_job(database, starting_deadline_seconds=600), at=NOON)

    assert [look_for_late(database, at=NOON + n * MINUTE) for n in (9, 10)] == [0, 1]


@pytest.mark.parametrize("policy, late", [(CatchupPolicy.LAST, 1), (CatchupPolicy.ALL, 6)])
def test_a_fire_that_is_caught_up_with_is_late(
    database: Database, policy: CatchupPolicy, late: int
) -> None:
    make_channel(database, events=(Event.LATE,))
    make_channel(database, "deaf", events=(Event.FAILED,))
    job = make_job(database, catchup_policy=policy)

    record(database, job, at=NOON + 5 * HOUR + 10 * MINUTE)
    look_for_late(database, at=NOON + 9 * HOUR)

    notifications = rows(database)
    assert [(row.channel, row.event) for row in notifications] == [("ops", Event.LATE)] * late
    assert len({row.group_key for row in notifications}) == 1
    assert notifications[-1].detail == {"late_seconds": 600.0}


def test_a_fire_of_a_pause_is_not_late(database: Database) -> None:
    make_channel(database, events=(Event.LATE,))
    job = make_job(database)
    with database.session() as session:
        service.pause(session, job, reason=None, by="ann", at=NOON - SECOND)

    with database.session() as session:
        service.resume(session, job, on_missed="last", by="ann", at=NOON + 3 * HOUR)

    assert [run.trigger for run in runs_of(database, job)] == ["catchup"]
    assert rows(database) == []


def test_two_senders_that_see_a_late_run_at_once_notify_once(database: Database) -> None:
    make_channel(database)
    make_run(database, make_job(database), at=NOON)
    at = NOON + 10 * MINUTE
    with database.reading() as session:
        late = lateness.find_late(session, at=at)

    for _ in range(2):
        with database.session() as session:
            lateness.notify_late(session, late, at=at)
            session.commit()

    assert len(rows(database)) == 1


@pytest.mark.parametrize(
    "state, is_late",
    [(RunState.QUEUED, True), (RunState.WAITING, True), (RunState.MISSED, False)],
)
def test_only_a_run_that_has_not_started_can_be_late(
    database: Database, state: RunState, is_late: bool
) -> None:
    make_channel(database)
    make_run(database, make_job(database), state=state, at=NOON)

    assert look_for_late(database, at=NOON + HOUR) == is_late


def test_a_run_that_has_started_is_not_late(database: Database, worker: UUID) -> None:
    make_channel(database)
    run_id = make_run(database, make_job(database), at=NOON)
    claim(database, run_id, worker)

    assert look_for_late(database, at=NOON + HOUR) == 0


def test_a_longer_late_after_seconds_has_a_row_that_is_due_later(database: Database) -> None:
    make_channel(database, "soon", is_default=False)
    make_channel(database, "later", is_default=False)
    rules = (
        Rule("soon", (Event.LATE,), late_after_seconds=60),
        Rule("later", (Event.LATE,), late_after_seconds=600),
    )
    make_run(database, make_job(database, notify=rules), at=NOON)

    look_for_late(database, at=NOON + MINUTE)

    window = timedelta(seconds=notifications_record.GROUPING_SECONDS)
    due = {row.channel: row.due_at for row in rows(database)}
    assert due == {"soon": NOON + MINUTE + window, "later": NOON + 10 * MINUTE + window}


def test_without_a_subscription_no_late_run_is_looked_for(database: Database) -> None:
    make_channel(database, events=(Event.FAILED,))
    make_run(database, make_job(database), at=NOON)

    with statements(database) as executed:
        look_for_late(database, at=NOON + HOUR)

    # Whether a job can be late is asked before any run is read.
    assert executed
    assert not [sql for sql in executed if sql.startswith("SELECT runs")]
