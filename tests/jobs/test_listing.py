"""Lists of jobs: their conditions and their order."""

from jobs_app.core.states import RunState
from jobs_app.db.engine import Database
from jobs_app.jobs import listing
from tests.factories import make_job, make_run


def test_the_list_knows_the_newest_run_of_each_job(database: Database) -> None:
    first, second = make_job(database), make_job(database)
    make_run(database, first, state=RunState.SKIPPED)
    newest = make_run(database, first)

    with database.reading() as session:
        last = listing.last_runs(session, [first.id, second.id])
        failed, _ = listing.page(
            session, listing.Filter(last_state=RunState.QUEUED), after=None, limit=10
        )

    assert {job_id: run.id for job_id, run in last.items()} == {first.id: newest}
    assert [job.id for job in failed] == [first.id]
