"""Lists of jobs: their conditions, their order and the counts of their filters."""

from typing import Any

import pytest
from sqlalchemy import update

from jobs_app.accounts import tag_limit
from jobs_app.core.states import JobSort, RunState, Standing
from jobs_app.db.engine import Database
from jobs_app.db.models.jobs import Job
from jobs_app.jobs import listing
from jobs_app.jobs.listing import Position
from tests.factories import HOUR, NOON, make_job, make_run
from tests.plans import captured


def test_the_list_knows_the_newest_run_of_each_job(database: Database) -> None:
    first, second = make_job(database), make_job(database)
    make_run(database, first, state=RunState.SKIPPED)
    newest = make_run(database, first)

    with database.reading() as session:
        last = listing.last_runs(session, [first.id, second.id])
        queued = listing.Filter(last_state=(RunState.QUEUED,))
        page, _ = listing.page(session, queued, after=None, limit=10, at=NOON)

    assert {job_id: run.id for job_id, run in last.items()} == {first.id: newest}
    assert [job.id for job, _ in page] == [first.id]


def make(database: Database, name: str, **columns: Any) -> Job:
    """Create a job and set *columns* of its row."""
    job = make_job(database, name=name, **columns.pop("definition", {}))
    if columns:
        with database.session() as session:
            session.execute(update(Job).where(Job.id == job.id).values(**columns))
            session.commit()
    return job


def names(database: Database, sort: JobSort, *, size: int) -> list[str]:
    """Return the names of a list by *sort*, read in pages of *size*."""
    listed: list[str] = []
    after = None
    while True:
        with database.reading() as session:
            page, _ = listing.page(
                session, listing.Filter(), after=after, limit=size, sort=sort, at=NOON
            )
        if not page:
            return listed
        listed += [job.name for job, _ in page]
        after = Position.read(str(page[-1][1]), sort)


@pytest.mark.parametrize("size", [1, 2, 9])
def test_a_list_is_whole_in_each_order_whatever_the_size_of_its_pages(
    database: Database, size: int
) -> None:
    by_hand = {"schedule": None}
    running = make(database, "c-running", definition=by_hand)
    make_run(database, running, state=RunState.RUNNING, at=NOON - HOUR)
    make(database, "d-failing", failures_in_a_row=1, definition={"cron": "30 12 * * *"})
    make(database, "b-failing", failures_carried=2, definition=by_hand)
    late = make(database, "e-late", definition={"cron": "0 13 * * *"})
    make_run(database, late, at=NOON - 2 * HOUR)
    make(database, "a-quiet", definition={"cron": "30 12 * * *"})

    lists = {sort: names(database, sort, size=size) for sort in JobSort}

    assert lists == {
        JobSort.NAME: ["a-quiet", "b-failing", "c-running", "d-failing", "e-late"],
        JobSort.ATTENTION: ["b-failing", "d-failing", "e-late", "c-running", "a-quiet"],
        JobSort.NEXT: ["a-quiet", "d-failing", "e-late", "b-failing", "c-running"],
        JobSort.LAST: ["c-running", "e-late", "a-quiet", "b-failing", "d-failing"],
    }


@pytest.mark.parametrize("sort", [sort for sort in JobSort if sort is not JobSort.NAME])
def test_the_key_of_a_position_is_one_of_its_order(sort: JobSort) -> None:
    for key in ("x", "-1", "9", "99", "0001-01-01T00:00:00+23:59"):
        with pytest.raises(ValueError, match=r"\S"):
            Position.read(f"nightly {key}", sort)


def test_facets_count_living_jobs_that_the_caller_may_see(database: Database) -> None:
    make(database, "one", failures_in_a_row=1, definition={"tags": ("ops", "eu"), "queue": "slow"})
    make(database, "two", definition={"tags": ("ops",)})
    make(database, "three", definition={"tags": ("eu",)})
    make(database, "gone", deleted_at=NOON, next_fire_at=None, next_due_at=None)

    with database.session() as session, captured(database, "SELECT") as statements:
        tag_limit.limit(session, frozenset({"ops"}))
        facets = listing.facets(session, at=NOON)

    assert (facets.total, facets.tags) == (2, {"eu": 1, "ops": 2})
    assert facets.queues == {"default": 1, "slow": 1}
    assert facets.states[Standing.FAILING] == 1
    assert facets.states[Standing.ACTIVE] == facets.states[Standing.NEVER_RUN] == 2
    assert facets.states[Standing.NO_NEXT_FIRE] == facets.states[Standing.LATE] == 0
    assert len(statements) == 2
