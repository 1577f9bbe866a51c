"""The fires and rules that a job had in the past."""

from datetime import UTC, datetime

from jobs_app.db.engine import Database
from jobs_app.jobs import service
from jobs_app.jobs.explain_history import history_of, next_fire
from jobs_app.jobs.explain_when import When
from jobs_app.schedules.schedule import Schedule
from tests.factories import DAY, HOUR, NOON, SECOND, TASKS, definition, make_job


def test_the_first_fires_of_a_span_follow_each_schedule_in_turn(database: Database) -> None:
    job = make_job(database, cron="0 23 * * *", at=NOON - 5 * DAY)
    with database.session() as session:
        edited = definition(name=job.name, cron="0 18 * * *")
        service.change(session, job, edited, version=None, app=TASKS, by="ann", at=NOON)
        history = history_of(session, job.name, When(NOON))

        fires = history.first_fires(NOON - DAY, NOON + DAY, 3)

    assert fires == [NOON - 13 * HOUR, NOON + 6 * HOUR]


def test_a_span_includes_its_first_instant_and_excludes_its_end(database: Database) -> None:
    job = make_job(database, cron="0 * * * *", at=NOON - DAY)
    with database.session() as session:
        history = history_of(session, job.name, When(NOON))

    assert history.first_fires(NOON, NOON + 2 * HOUR, 9) == [NOON, NOON + HOUR]
    assert history.first_fires(NOON, NOON + 9 * HOUR, 2) == [NOON, NOON + HOUR]


def test_no_fire_comes_before_the_creation(database: Database) -> None:
    job = make_job(database, cron="0 * * * *", at=NOON)
    with database.session() as session:
        history = history_of(session, job.name, When(NOON))

    assert history.first_fires(NOON - DAY, NOON, 9) == []
    assert history.first_fires(NOON - DAY, NOON + HOUR + SECOND, 9) == [NOON + HOUR]


def test_a_job_without_a_schedule_has_no_next_fire() -> None:
    assert next_fire(None, NOON) is None
    fire = next_fire(Schedule(cron="0 18 * * *"), NOON)
    assert fire is not None
    assert fire.at == datetime(2026, 6, 15, 18, tzinfo=UTC)
