"""A scheduler marks the start of jobs-app once, and tells the others of the jobs that fire."""

from collections.abc import Iterable

import pytest
from sqlalchemy.exc import OperationalError

from jobs_app.core import start_id
from jobs_app.core.errors import BrokerUnavailable
from jobs_app.db.engine import Database
from jobs_app.db.models.jobs import Job
from jobs_app.jobs import starts
from jobs_app.scheduler.start_mark import StartMark
from jobs_app.schedules.schedule import Schedule
from tests.factories import HOUR, NOON, SECOND, make_job
from tests.factories import job as stored_job

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


class Entries:
    """Takes the entries of jobs, or refuses them."""

    def __init__(self, *, is_down: bool = False) -> None:
        self.written: list[str] = []
        self.is_down = is_down

    def write(self, jobs: Iterable[Job]) -> None:
        if self.is_down:
            raise BrokerUnavailable("down")
        self.written += [job.name for job in jobs]


@pytest.fixture
def job(database: Database) -> Job:
    return make_job(database, schedule=Schedule(on="start"))


def mark_of(database: Database, entries: Entries) -> StartMark:
    # Only this method of the projection is called.
    return StartMark(database, entries)  # type: ignore[arg-type]


def test_a_scheduler_that_is_started_anew_by_up_marks_nothing(
    database: Database, job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(*next(iter(start_id.new().items())))
    entries = Entries()
    first = mark_of(database, entries)

    first.mark(at=NOON)
    first.mark(at=NOON + SECOND)
    mark_of(database, entries).mark(at=NOON + HOUR)

    assert entries.written == [job.name]
    assert stored_job(database, job.name).next_fire_at == NOON


def test_a_start_is_marked_also_without_redis(database: Database, job: Job) -> None:
    mark_of(database, Entries(is_down=True)).mark(at=NOON)

    assert stored_job(database, job.name).next_due_at == NOON


def test_a_start_that_the_database_did_not_take_is_marked_later(
    database: Database, job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> list[Job]:
        raise OperationalError("INSERT", None, Exception("locked"))

    entries = Entries()
    mark = mark_of(database, entries)
    with monkeypatch.context() as patched:
        patched.setattr(starts, "mark", fail)
        with pytest.raises(OperationalError):
            mark.mark(at=NOON)

    mark.mark(at=NOON + SECOND)

    assert entries.written == [job.name]
