"""Runs that people start: what the row says at that instant counts, not what was read before."""

import pytest
from celery import Celery

from jobs_app.core.errors import InvalidInput, NotFound
from jobs_app.db.engine import Database
from jobs_app.jobs import service, start
from tests.factories import NOON, SECOND, TASKS, definition, job, make_job, runs_of

#: Before the first fire of a job made by the factory.
EARLIER = NOON - SECOND


def test_a_job_that_was_deleted_meanwhile_is_not_started(database: Database) -> None:
    read_before = make_job(database)
    with database.session() as session:
        service.remove(
            session, job(database, read_before.name), version=None, by="other", at=EARLIER
        )

    with database.session() as session, pytest.raises(NotFound):
        start.start_job(session, read_before, app=TASKS, by="tester", at=NOON)

    assert runs_of(database, read_before) == []


def test_a_job_is_started_as_it_is_and_not_as_it_was_read(database: Database) -> None:
    read_before = make_job(database, kwargs={"duration": 1})
    with database.session() as session:
        now = definition(name=read_before.name, kwargs={"duration": 2})
        found = job(database, read_before.name)
        service.change(session, found, now, version=None, app=TASKS, by="other", at=EARLIER)

    with database.session() as session:
        start.start_job(session, read_before, app=TASKS, by="tester", at=NOON)

    assert runs_of(database, read_before)[-1].kwargs == {"duration": 2}


def test_a_refused_start_holds_up_nobody(database: Database) -> None:
    made = make_job(database)

    with database.session() as session:
        with pytest.raises(InvalidInput):
            start.start_job(
                session, made, app=TASKS, by="tester", at=NOON, kwargs={"colour": "red"}
            )
        with database.session() as other:
            start.start_job(other, made, app=TASKS, by="other", at=NOON)

    assert len(runs_of(database, made)) == 1


@pytest.mark.filterwarnings("ignore::celery.exceptions.CDeprecationWarning")
def test_a_run_without_a_job_takes_what_its_task_declares() -> None:
    app = Celery("tests.start", set_as_current=False)

    @app.task(shared=False, name="slow", time_limit=30, queue="slow")
    def slow() -> None:
        """Take long."""

    app.finalize()

    plain = start.task_start({"task": "slow"}, app)
    own = start.task_start({"task": "slow", "queue": "mine", "time_limit_seconds": 5}, app)

    assert (plain.queue, plain.limits.time_limit_seconds) == ("slow", 30)
    assert (own.queue, own.limits.time_limit_seconds) == ("mine", 5)
