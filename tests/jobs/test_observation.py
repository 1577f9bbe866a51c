"""What a job that only watches has observed in its last week."""

from datetime import datetime

from jobs_app.core.states import CatchupPolicy
from jobs_app.db.engine import Database
from jobs_app.db.models.jobs import Job
from jobs_app.jobs import observation, service
from jobs_app.jobs.explain_when import TICK
from jobs_app.jobs.observation import WEEK, Observation
from tests.factories import DAY, HOUR, MINUTE, NOON, SECOND, TASKS, definition, make_job, record
from tests.factories import job as stored_job


def observed(database: Database, job: Job, *, at: datetime) -> Observation | None:
    with database.reading() as session:
        return observation.of_job(session, stored_job(database, job.name), at=at)


def counts(found: Observation | None) -> tuple[int, int, int]:
    assert found is not None
    return found.expected, found.observed, found.missed


def test_a_job_that_runs_observes_nothing(database: Database) -> None:
    job = make_job(database)
    record(database, job, at=NOON)

    assert observed(database, job, at=NOON + MINUTE) is None


def test_the_fires_since_it_watches_are_expected_and_those_on_record_counted(
    database: Database,
) -> None:
    job = make_job(database, cron="0 * * * *", observe=True, catchup_policy=CatchupPolicy.NONE)
    record(database, job, at=NOON)
    record(database, job, at=NOON + HOUR)
    record(database, job, at=NOON + 2 * HOUR + 30 * MINUTE)

    found = observed(database, job, at=NOON + 3 * HOUR - SECOND)

    assert counts(found) == (3, 2, 1)
    assert found is not None
    assert (found.since, found.begin) == (NOON - MINUTE, NOON - MINUTE)


def test_a_fire_that_is_just_due_is_not_expected_yet(database: Database) -> None:
    job = make_job(database, cron="0 * * * *", observe=True)
    record(database, job, at=NOON)

    soon = observed(database, job, at=NOON + HOUR + 30 * SECOND)
    long_due = observed(database, job, at=NOON + HOUR + 2 * MINUTE)

    assert counts(soon) == (1, 1, 0)
    assert soon is not None
    assert soon.until == NOON + HOUR - TICK
    assert counts(long_due) == (2, 1, 0)


def test_a_week_is_looked_back_with_the_schedules_of_then_and_without_pauses(
    database: Database,
) -> None:
    job = make_job(database, cron="0 0 * * *", observe=True, at=NOON - 20 * DAY)
    with database.session() as session:
        edited = definition(name=job.name, cron="0 */12 * * *", observe=True)
        at = NOON - 4 * DAY - HOUR
        service.change(session, job, edited, version=None, app=TASKS, by="ann", at=at)
    with database.session() as session:
        paused = stored_job(database, job.name)
        service.pause(session, paused, reason=None, by="ann", at=NOON - 2 * DAY - HOUR)
    with database.session() as session:
        paused = stored_job(database, job.name)
        service.resume(session, paused, by="ann", at=NOON - DAY - HOUR)

    found = observed(database, job, at=NOON + HOUR)

    assert found is not None
    assert found.begin == NOON + HOUR - WEEK
    # Three midnights, four fires up to the pause, three after it.
    assert found.expected == 3 + 4 + 3
