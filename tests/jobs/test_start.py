"""Runs that people start: what the row says at that instant counts, not what was read before."""

from collections.abc import Callable
from typing import Any

import pytest
from celery import Celery
from sqlalchemy import update

from jobs_app.core.errors import InvalidInput, NotFound
from jobs_app.core.states import RunState
from jobs_app.db.engine import Database
from jobs_app.db.models.jobs import Job
from jobs_app.jobs import service, start
from jobs_app.runs import history
from tests.factories import NOON, SECOND, TASKS, definition, job, make_job, make_run, runs_of
from tests.jobs.slow_check import SLOW_CHECK, slow_check_app

HTTP: dict[str, Any] = {"task": "http", "kwargs": {"url": "https://example.org/"}}

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


def overtaken(database: Database, read_before: Job, **values: object) -> Callable[[], None]:
    """Return a call that changes a job as another person would, to what *values* say."""

    def change() -> None:
        with database.session() as session:
            changed = definition(name=read_before.name, **values)
            found = job(database, read_before.name)
            service.change(session, found, changed, version=None, app=TASKS, by="b", at=EARLIER)

    return change


def test_a_job_that_others_change_during_the_check_is_started_as_it_is_then(
    database: Database,
) -> None:
    checked: list[int] = []
    meanwhile: list[Callable[[], object]] = []
    app = slow_check_app(meanwhile, checked)
    with database.session() as session:
        new = definition(task=SLOW_CHECK, kwargs={"value": 1})
        made = service.create(session, new, app=app, by="a", at=EARLIER)
    meanwhile.append(overtaken(database, made, kwargs={"duration": 2}))
    checked.clear()

    with database.session() as session:
        started = start.start_job(session, made, app=app, by="slow", at=NOON)

    assert checked == [1]
    assert (started.run.task, started.run.kwargs) == ("sleep", {"duration": 2})


def test_a_start_that_no_longer_fits_its_job_is_refused_and_locks_nothing(
    database: Database,
) -> None:
    meanwhile: list[Callable[[], object]] = []
    app = slow_check_app(meanwhile, [])
    with database.session() as session:
        new = definition(task=SLOW_CHECK, kwargs={"value": 0})
        made = service.create(session, new, app=app, by="a", at=EARLIER)
    meanwhile.append(overtaken(database, made))

    with database.session() as session:
        with pytest.raises(InvalidInput):
            start.start_job(session, made, app=app, by="slow", at=NOON, kwargs={"value": 1})
        make_job(database)

    assert runs_of(database, made) == []


def test_a_job_that_is_deleted_during_the_check_is_not_started(database: Database) -> None:
    meanwhile: list[Callable[[], object]] = []
    app = slow_check_app(meanwhile, [])
    with database.session() as session:
        made = service.create(
            session, definition(task=SLOW_CHECK, kwargs={"value": 0}), app=app, by="a", at=EARLIER
        )

    def remove() -> None:
        with database.session() as other:
            service.remove(other, made, version=None, by="b", at=EARLIER)

    meanwhile.append(remove)

    with database.session() as session, pytest.raises(NotFound):
        start.start_job(session, made, app=app, by="slow", at=NOON)

    assert runs_of(database, made) == []


def test_a_repetition_is_checked_against_the_job_as_it_is_locked(database: Database) -> None:
    made = make_job(database, **HTTP, run_arguments=["url"])
    run_id = make_run(database, made, state=RunState.SUCCEEDED)
    checked: list[list[str]] = []

    def guard(current: Job | None) -> None:
        assert current is not None
        checked.append(list(current.run_arguments or ()))
        if len(checked) == 1:
            # After the check, and before the lock.
            with database.session() as other:
                values = {"run_arguments": [], "version": Job.version + 1}
                other.execute(update(Job).where(Job.id == made.id).values(values))
                other.commit()

    with database.reading() as reader:
        read = history.get(reader, run_id)
    with database.session() as session:
        start.repeat(
            session, read, start.RepeatRequest(), app=TASKS, by="ann", at=NOON, guard=guard
        )

    assert checked == [["url"], []]
