"""What is written of what happens to jobs: once, with it, and only if somebody wants to hear it."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import event, select

from jobs_app.core.run_error import RunError
from jobs_app.core.states import CatchupPolicy, Event, RunState
from jobs_app.db.engine import Database
from jobs_app.db.models.jobs import Job
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
    """Collect what is sent to the database meanwhile."""
    sent: list[str] = []

    def note(_c: Any, _cursor: Any, statement: str, *_: Any) -> None:
        sent.append(statement)

    event.listen(database.engine, "before_cursor_execute", note)
    yield sent
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
def test_the_ends_of_runs_are_told(
    database: Database, worker: UUID, outcomes: list[RunState], expected: list[str]
) -> None:
    make_channel(database)
    job = make_job(database)

    for index, state in enumerate(outcomes):
        finish_run(database, job, worker, state, at=NOON + index * MINUTE)

    assert [event for _, event in notified_events(database)] == expected


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


def test_a_pause_between_the_failures_does_not_make_them_forgotten(
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


def test_an_attempt_that_is_followed_by_another_is_not_told(
    database: Database, worker: UUID
) -> None:
    make_channel(database)
    run_id = make_run(database, make_job(database))
    claim(database, run_id, worker)

    finish(database, run_id, FAILED, retry=RetryPolicy(max_attempts=2))

    assert notified_events(database) == []


def test_the_third_failure_in_a_row_is_the_first_that_is_told(
    database: Database, worker: UUID
) -> None:
    make_channel(database, is_default=False)
    job = make_job(database, notify=(Rule("ops", after_failures=3),))

    for state in (FAILED, FAILED, SUCCEEDED, FAILED, FAILED, FAILED, SUCCEEDED):
        finish_run(database, job, worker, state)

    assert [event for _, event in notified_events(database)] == ["succeeded", "failed", "recovered"]


def test_each_channel_is_told_what_it_wants(database: Database, worker: UUID) -> None:
    make_channel(database, "ops", events=(Event.FAILED,))
    make_channel(database, "log", events=(Event.SUCCEEDED,))
    make_channel(database, "none", is_default=False)
    job = make_job(database)

    finish_run(database, job, worker, FAILED)
    finish_run(database, job, worker, SUCCEEDED)

    assert notified_events(database) == [("ops", "failed"), ("log", "succeeded")]


def test_nobody_is_told_of_a_deleted_job_nor_of_a_run_without_one(
    database: Database, worker: UUID
) -> None:
    make_channel(database)
    job = make_job(database)
    run_id, alone = make_run(database, job), make_run(database)
    for each in (run_id, alone):
        claim(database, each, worker)
    with database.session() as session:
        service.remove(session, job, version=None, by="ann", at=NOON)

    finish(database, run_id, FAILED)
    finish(database, alone, FAILED)

    assert notified_events(database) == []


def test_a_success_that_nobody_wants_to_hear_of_costs_no_statement_more(
    database: Database, worker: UUID
) -> None:
    make_channel(database, events=(Event.FAILED, Event.RECOVERED))
    run_id = make_run(database, make_job(database))
    claim(database, run_id, worker)

    with statements(database) as sent:
        finish(database, run_id)

    changes = [each.split()[:2] for each in sent if not each.startswith(("BEGIN", "SELECT"))]
    assert changes == [["UPDATE", "runs"], ["UPDATE", "jobs"]]


def test_a_notification_stands_or_falls_with_what_it_tells(
    database: Database, worker: UUID
) -> None:
    make_channel(database)
    job = make_job(database)
    run_id = make_run(database, job)
    claim(database, run_id, worker)

    def die(_session: object) -> None:
        raise OSError("the process is gone")

    with database.session() as session:
        event.listen(session, "before_commit", die)
        with pytest.raises(OSError, match="gone"):
            runs_finish.finish(
                session, run_id, 1, Outcome(FAILED), retry=RetryPolicy(), job_id=job.id, at=NOON
            )
    assert notified_events(database) == []

    finish(database, run_id, FAILED)
    assert notified_events(database) == [("ops", "failed")]


def test_of_two_that_end_the_same_attempt_one_tells(database: Database, worker: UUID) -> None:
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


def test_a_channel_that_is_deleted_meanwhile_does_not_keep_a_run_from_ending(
    database: Database, worker: UUID
) -> None:
    make_channel(database)
    job = make_job(database)
    with database.session() as session:
        # The job still believes that somebody listens.
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


def test_a_job_that_has_had_its_fill_of_failures_says_so(database: Database, worker: UUID) -> None:
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
def test_an_outage_is_told_once_a_job(
    database: Database, policy: CatchupPolicy, fires: int | None
) -> None:
    make_channel(database)
    made = [make_job(database, catchup_policy=policy) for _ in range(3)]

    record(database, *made, at=NOON + 5 * HOUR + 10 * MINUTE)
    record(database, *made, at=NOON + 5 * HOUR + 11 * MINUTE)

    found = rows(database)
    assert {row.job_id for row in found} == ({job.id for job in made} if fires else set())
    assert [(row.event, row.count) for row in found] == [(Event.MISSED, fires)] * (
        3 if fires else 0
    )
    if fires:
        first, last = NOON, NOON + (fires - 1) * HOUR
        assert {row.detail["first"] for row in found} == {first.isoformat()}
        assert {row.detail["last"] for row in found} == {last.isoformat()}
        assert {row.run_id for row in found} == {runs_of(database, job)[0].id for job in made}


def test_fires_that_a_change_finds_missed_are_told_too(database: Database) -> None:
    make_channel(database)
    job = make_job(database)

    with database.session() as session:
        service.pause(session, job, reason=None, by="ann", at=NOON + 10 * MINUTE)

    assert [event for _, event in notified_events(database)] == ["missed", "paused"]


def test_a_tick_without_missed_fires_asks_nothing_of_notifications(database: Database) -> None:
    make_channel(database)
    job = make_job(database)

    with statements(database) as sent:
        record(database, job, at=NOON)

    assert not [each for each in sent if "notif" in each]


def test_whoever_wants_no_missed_fires_is_not_told(database: Database) -> None:
    make_channel(database, events=(Event.FAILED,))
    job = make_job(database, catchup_policy=CatchupPolicy.NONE)

    record(database, job, at=NOON + 3 * HOUR)

    assert notified_events(database) == []


# ---- late ----


def look_for_late(database: Database, *, at: Any) -> int:
    """Do what a sender does."""
    with database.session() as session:
        late = notifications_record.find_late(session, at=at)
        count = notifications_record.notify_late(session, late, at=at)
        session.commit()
        return count


def test_a_run_that_does_not_start_is_late_once(database: Database) -> None:
    make_channel(database)
    run_id = make_run(database, make_job(database), at=NOON)

    counts = [look_for_late(database, at=NOON + n * SECOND) for n in (299, 300, 305, 900)]

    assert counts == [0, 1, 0, 0]
    (row,) = rows(database)
    assert (row.event, row.run_id) == (Event.LATE, run_id)


def test_two_senders_that_see_a_late_run_at_once_tell_it_once(database: Database) -> None:
    make_channel(database)
    make_run(database, make_job(database), at=NOON)
    at = NOON + 10 * MINUTE
    with database.reading() as session:
        late = notifications_record.find_late(session, at=at)

    for _ in range(2):
        with database.session() as session:
            notifications_record.notify_late(session, late, at=at)
            session.commit()

    assert len(rows(database)) == 1


@pytest.mark.parametrize(
    "state, is_late",
    [(RunState.QUEUED, True), (RunState.WAITING, True), (RunState.MISSED, False)],
)
def test_only_what_is_still_to_start_can_be_late(
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


def test_who_wants_to_wait_longer_has_a_row_that_is_due_later(database: Database) -> None:
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


def test_with_nobody_to_tell_no_queue_is_read(database: Database) -> None:
    make_channel(database, events=(Event.FAILED,))
    make_run(database, make_job(database), at=NOON)

    with statements(database) as sent:
        look_for_late(database, at=NOON + HOUR)

    assert not [each for each in sent if "FROM runs" in each]


# ---- what is the same, what is kept ----


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
    keys = [notifications_record.error_key(FAILED, RunError("E", each)) for each in (one, other)]

    assert (keys[0] == keys[1]) is is_same


def test_exit_codes_and_kinds_of_errors_are_told_apart() -> None:
    error = RunError("CommandFailed", "The command ended with code 1.")

    assert notifications_record.error_key(FAILED, error, 1) != notifications_record.error_key(
        FAILED, error, 2
    )
    assert notifications_record.error_key(FAILED, error) != notifications_record.error_key(
        LOST, error
    )


def test_rules_that_no_longer_fit_their_channels_are_mended(database: Database) -> None:
    make_channel(database, events=(Event.LATE,))
    job = make_job(database)
    with database.session() as session:
        session.get_one(Job, job.id).subscribed_events = 0
        session.commit()

    with database.session() as session:
        mended = (
            refresh_subscriptions(session),
            refresh_subscriptions(session),
        )
        session.commit()

    assert mended == (1, 0)
    with database.reading() as session:
        found = session.execute(select(Job.subscribed_events, Job.late_after_seconds)).one()
    assert tuple(found) == (Event.LATE.bit, 300)
