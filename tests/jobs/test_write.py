"""Writes of one job leave the commit to their caller."""

from jobs_app.db.engine import Database
from jobs_app.db.models.jobs import Job
from jobs_app.jobs.write import NewJob, Replacement
from tests.factories import NOON, TASKS, definition, make_job


def test_a_new_job_is_gone_after_a_rollback(database: Database) -> None:
    with database.reading() as reader:
        new = NewJob.checked(reader, definition(name="a"), app=TASKS, at=NOON)
    with database.session() as session:
        job_id = new.write(session, by="ann", at=NOON).id
        session.rollback()

        assert session.get(Job, job_id) is None


def test_a_replacement_that_says_the_same_is_no_change(database: Database) -> None:
    job = make_job(database, name="a", interval_seconds=60)
    wanted = definition(name="a", interval_seconds=60)
    with database.reading() as reader:
        same = Replacement.checked(reader, job, wanted, app=TASKS, at=NOON)
        other = Replacement.checked(
            reader, job, definition(name="a", interval_seconds=61), app=TASKS, at=NOON
        )

    assert (same.is_change, other.is_change) == (False, True)
