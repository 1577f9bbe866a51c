"""Notifications are recorded once, in the transaction of the event, and only for subscribers."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import event, select

from jobs_app.core.run_error import RunError
from jobs_app.core.states import CatchupPolicy, Event, RunState
from jobs_app.db.engine import Database
from jobs_app.db.models.jobs import Job
from jobs_app.db.models.runs import Run
from jobs_app.jobs import service
from jobs_app.notifications import record as notifications_record
from jobs_app.notifications.rules import Rule
from jobs_app.notifications.subscriptions import refresh_subscriptions
from jobs_app.runs import finish as runs_finish
from jobs_app.runs.outcome import Outcome
from jobs_app.runs.retry import RetryPolicy
from tests.factories import (
    HOUR,
    MINUTE,
    NOON,
    SECOND,
    claim,
    finish,
    make_job,
    make_run,
    make_worker,
    record,
    runs_of,
)
from tests.notification_checks import finish_run, make_channel, notified_events, rows

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


@pytest.mark.parametrize(
    "outcomes, expected",
    [
        ([FAILED], ["failed"]),
        ([RunState.TIMED_OUT], ["failed"]),
        ([LOST], ["lost"]),
        ([RunState.CANCELLED], []),
        ([SUCCEEDED], ["succeeded"]),
        ([FAILED, SUCCEEDED, SUCCEEDED], ["failed", "recovered", "succeeded"]),
        ([FAILED, RunState.CANCELLED, SUCCEEDED], ["failed", "recovered"]),
        ([FAILED, FAILED, LOST, SUCCEEDED], ["failed", "failed", "lost", "recovered"]),
    ],
)
def test_finished_runs_notify_of_these_events(
    database: Database, worker: UUID, outcomes: list[RunState], expected: list[str]
) -> None:
    make_channel(database)
    job = make_job(database)

    for index, state in enumerate(outcomes):
        finish_run(database, job, worker, state, at=NOON + index * MINUTE)

    assert [event for _, event in notified_events(database)] == expected


@pytest.mark.parametrize("state", [SUCCEEDED, FAILED, LOST])
@pytest.mark.parametrize("log_bytes, expected", [(None, []), (0, []), (7, ["output"])])
def test_a_run_that_printed_something_notifies_who_wants_its_output(
    database: Database, worker: UUID, state: RunState, log_bytes: int | None, expected: list[str]
) -> None:
    make_channel(database, events=(Event.OUTPUT,))

    finish_run(database, make_job(database), worker, state, log_bytes=log_bytes)

    assert [event for _, event in notified_events(database)] == expected


def test_the_output_of_a_run_whose_worker_is_gone_is_known_from_its_row(
    database: Database, worker: UUID
) -> None:
    make_channel(database, events=(Event.OUTPUT,))
    run_id = make_run(database, make_job(database))
    claim(database, run_id, worker)
    with database.session() as session:
        session.get_one(Run, run_id).log_bytes = 7
        session.commit()

    finish(database, run_id, LOST)

    assert notified_events(database) == [("ops", "output")]


def test_a_failure_with_output_is_one_message_that_shows_it(
    database: Database, worker: UUID
) -> None:
    make_channel(database, events=(Event.FAILED, Event.OUTPUT))
    make_channel(database, "brief", events=(Event.FAILED,))

    finish_run(database, make_job(database), worker, FAILED, log_bytes=7)

    assert notified_events(database) == [("brief", "failed"), ("ops", "failed")]
    assert [row.detail.get("with_output") for row in rows(database)] == [None, True]


def test_a_recovery_knows_how_often_and_since_when_it_had_failed(
    database: Database, worker: UUID
) -> None:
    make_channel(database)
    job = make_job(database)
    for minutes in (0, 5):
        finish_run(database, job, worker, FAILED, at=NOON + minutes * MINUTE)

    finish_run(database, job, worker, SUCCEEDED, at=NOON + 9 * MINUTE)
    finish_run(database, job, worker, FAILED, at=NOON + 20 * MINUTE)

    recovered, again = rows(database)[-2:]
    assert recovered.detail == {"failures": 2, "failing_since": NOON.isoformat()}
    assert again.detail == {
        "failures": 1,
        "failing_since": (NOON + 20 * MINUTE).isoformat(),
    }


def test_a_pause_does_not_reset_the_failures_of_a_recovery(
    database: Database, worker: UUID
) -> None:
    make_channel(database, events=(Event.FAILED, Event.RECOVERED))
    job = make_job(database, pause_after_failures=2)
    for seconds in (3, 2):
        finish_run(database, job, worker, FAILED, at=NOON - seconds * SECOND)
    with database.session() as session:
        service.resume(session, job, by="ann", at=NOON - SECOND)

    finish_run(database, job, worker, FAILED, at=NOON - SECOND)
    finish_run(database, job, worker, SUCCEEDED, at=NOON)
    finish_run(database, job, worker, SUCCEEDED, at=NOON)

    assert [event for _, event in notified_events(database)] == ["failed"] * 3 + ["recovered"]
    first = (NOON - 3 * SECOND).isoformat()
    assert [row.detail for row in rows(database)[-2:]] == [
        {"failures": 3, "failing_since": first}
    ] * 2


def test_an_attempt_that_is_retried_does_not_notify(database: Database, worker: UUID) -> None:
    make_channel(database)
    run_id = make_run(database, make_job(database))
    claim(database, run_id, worker)

    finish(database, run_id, FAILED, retry=RetryPolicy(max_attempts=2))

    assert notified_events(database) == []


def test_after_failures_3_notifies_from_the_third_failure_in_a_row(
    database: Database, worker: UUID
) -> None:
    make_channel(database, is_default=False)
    job = make_job(database, notify=(Rule("ops", after_failures=3),))

    for state in (FAILED, FAILED, SUCCEEDED, FAILED, FAILED, FAILED, SUCCEEDED):
        finish_run(database, job, worker, state)

    assert [event for _, event in notified_events(database)] == ["succeeded", "failed", "recovered"]


def test_each_channel_gets_its_own_events(database: Database, worker: UUID) -> None:
    make_channel(database, "ops", events=(Event.FAILED,))
    make_channel(database, "log", events=(Event.SUCCEEDED,))
    make_channel(database, "none", is_default=False)
    job = make_job(database)

    finish_run(database, job, worker, FAILED)
    finish_run(database, job, worker, SUCCEEDED)

    assert notified_events(database) == [("ops", "failed"), ("log", "succeeded")]


def test_a_deleted_job_or_a_run_without_a_job_does_not_notify(
    database: Database, worker: UUID
) -> None:
    make_channel(database)
    job = make_job(database)
    run_id, run_without_job = make_run(database, job), make_run(database)
    for claimed_id in (run_id, run_without_job):
        claim(database, claimed_id, worker)
    with database.session() as session:
        service.remove(session, job, version=None, by="ann", at=NOON)

    finish(database, run_id, FAILED)
    finish(database, run_without_job, FAILED)

    assert notified_events(database) == []


def test_a_success_without_a_subscription_costs_no_extra_statement(
    database: Database, worker: UUID
) -> None:
    make_channel(database, events=(Event.FAILED, Event.RECOVERED))
    run_id = make_run(database, make_job(database))
    claim(database, run_id, worker)

    with statements(database) as executed:
        finish(database, run_id)

    changes = [sql.split()[:2] for sql in executed if not sql.startswith(("BEGIN", "SELECT"))]
    assert changes == [["UPDATE", "runs"], ["UPDATE", "jobs"]]


def test_a_notification_is_rolled_back_with_the_outcome_of_its_run(
    database: Database, worker: UUID
) -> None:
    make_channel(database)
    job = make_job(database)
    run_id = make_run(database, job)
    claim(database, run_id, worker)

    def die(_session: object) -> None:
        raise OSError("the process died")

    with database.session() as session:
        event.listen(session, "before_commit", die)
        with pytest.raises(OSError, match="died"):
            runs_finish.finish(
                session, run_id, 1, Outcome(FAILED), retry=RetryPolicy(), job_id=job.id, at=NOON
            )
    assert notified_events(database) == []

    finish(database, run_id, FAILED)
    assert notified_events(database) == [("ops", "failed")]


def test_two_that_finish_the_same_attempt_notify_once(database: Database, worker: UUID) -> None:
    make_channel(database)
    job = make_job(database)
    for _ in range(10):
        run_id = make_run(database, job)
        claim(database, run_id, worker)
        together = threading.Barrier(4)

        def end(run_id: UUID = run_id, together: threading.Barrier = together) -> None:
            together.wait()
            with database.session() as session:
                # As janitors conclude it: none of them keeps a note.
                runs_finish.finish(
                    session,
                    run_id,
                    1,
                    Outcome(FAILED),
                    retry=RetryPolicy(),
                    job_id=job.id,
                    at=NOON,
                    is_from_worker=False,
                )

        ending = [threading.Thread(target=end) for _ in range(4)]
        for thread in ending:
            thread.start()
        for thread in ending:
            thread.join()

    assert notified_events(database) == [("ops", "failed")] * 10


def test_a_channel_that_is_deleted_meanwhile_does_not_keep_a_run_from_finishing(
    database: Database, worker: UUID
) -> None:
    make_channel(database)
    job = make_job(database)
    with database.session() as session:
        # The row of the job still has the event of the deleted channel.
        session.connection().exec_driver_sql("DELETE FROM notification_channels")
        session.commit()

    finish_run(database, job, worker, FAILED)

    assert notified_events(database) == []


@pytest.mark.parametrize("by", ["ann", "bob"])
def test_a_pause_says_who_and_why(database: Database, by: str) -> None:
    make_channel(database)
    job = make_job(database)

    for _ in range(2):
        with database.session() as session:
            service.pause(session, job, reason="too loud", by=by, at=NOON)

    (row,) = rows(database)
    assert (row.event, row.detail) == (Event.PAUSED, {"by": by, "reason": "too loud"})


def test_pause_after_failures_notifies_of_the_pause(database: Database, worker: UUID) -> None:
    make_channel(database)
    job = make_job(database, pause_after_failures=2)

    for _ in range(2):
        finish_run(database, job, worker, FAILED, at=NOON - SECOND)

    assert [event for _, event in notified_events(database)] == ["failed", "failed", "paused"]
    assert rows(database)[-1].detail["by"] == "jobs-app"


# ---- missed ----


@pytest.mark.parametrize(
    "policy, fires", [(CatchupPolicy.NONE, 6), (CatchupPolicy.LAST, 5), (CatchupPolicy.ALL, None)]
)
def test_an_outage_notifies_once_per_job(
    database: Database, policy: CatchupPolicy, fires: int | None
) -> None:
    make_channel(database, events=(Event.MISSED,))
    jobs = [make_job(database, catchup_policy=policy) for _ in range(3)]

    record(database, *jobs, at=NOON + 5 * HOUR + 10 * MINUTE)
    record(database, *jobs, at=NOON + 5 * HOUR + 11 * MINUTE)

    notifications = rows(database)
    assert {row.job_id for row in notifications} == ({job.id for job in jobs} if fires else set())
    assert [(row.event, row.count) for row in notifications] == [(Event.MISSED, fires)] * (
        3 if fires else 0
    )
    if fires:
        first, last = NOON, NOON + (fires - 1) * HOUR
        assert {row.detail["first"] for row in notifications} == {first.isoformat()}
        assert {row.detail["last"] for row in notifications} == {last.isoformat()}
        assert {row.run_id for row in notifications} == {
            runs_of(database, job)[0].id for job in jobs
        }


def test_fires_that_a_change_finds_missed_notify_too(database: Database) -> None:
    make_channel(database)
    job = make_job(database)

    with database.session() as session:
        service.pause(session, job, reason=None, by="ann", at=NOON + 10 * MINUTE)

    assert [event for _, event in notified_events(database)] == ["missed", "paused"]


def test_missed_fires_of_a_job_that_only_watches_notify_nobody(database: Database) -> None:
    make_channel(database)
    job = make_job(database, catchup_policy=CatchupPolicy.NONE, observe=True)

    record(database, job, at=NOON + SECOND)
    record(database, job, at=NOON + 3 * HOUR)

    assert {str(row.state) for row in runs_of(database, job)} == {"observed", "missed"}
    assert rows(database) == []


def test_a_tick_without_missed_fires_reads_no_notifications(database: Database) -> None:
    make_channel(database)
    job = make_job(database)

    with statements(database) as executed:
        record(database, job, at=NOON)

    assert not [sql for sql in executed if "notif" in sql]


def test_a_channel_without_the_event_missed_gets_no_missed_fires(database: Database) -> None:
    make_channel(database, events=(Event.FAILED,))
    job = make_job(database, catchup_policy=CatchupPolicy.NONE)

    record(database, job, at=NOON + 3 * HOUR)

    assert notified_events(database) == []


# ---- equal errors, subscriptions ----


@pytest.mark.parametrize(
    "one, other, is_same",
    [
        ("timeout after 3.21 s", "timeout after 10 s", True),
        ("no route to 10.0.0.1", "no route to 10.0.0.25", True),
        ("run 0190a1b2c3d4 broke", "run 5f6e7d8c9b0a broke", True),
        ("disk full", "disk gone", False),
    ],
)
def test_errors_are_the_same_whatever_numbers_they_hold(
    one: str, other: str, is_same: bool
) -> None:
    keys = [notifications_record.error_key(FAILED, RunError("E", text)) for text in (one, other)]

    assert (keys[0] == keys[1]) is is_same


def test_error_keys_differ_by_exit_code_or_state() -> None:
    error = RunError("CommandFailed", "The command ended with code 1.")

    assert notifications_record.error_key(FAILED, error, 1) != notifications_record.error_key(
        FAILED, error, 2
    )
    assert notifications_record.error_key(FAILED, error) != notifications_record.error_key(
        LOST, error
    )


def test_refresh_repairs_subscriptions_that_no_longer_fit_their_channels(
    database: Database,
) -> None:
    make_channel(database, events=(Event.LATE,))
    job = make_job(database)
    with database.session() as session:
        session.get_one(Job, job.id).subscribed_events = 0
        session.commit()

    with database.session() as session:
        counts = (
            refresh_subscriptions(session),
            refresh_subscriptions(session),
        )
        session.commit()

    assert counts == (1, 0)
    with database.reading() as session:
        columns = session.execute(select(Job.subscribed_events, Job.late_after_seconds)).one()
    assert tuple(columns) == (Event.LATE.bit, 60)
