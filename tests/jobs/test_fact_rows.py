"""One statement reads facts of several kinds."""

from sqlalchemy import literal, union_all

from jobs_app.db.engine import Database
from jobs_app.db.models.jobs import Job
from jobs_app.db.models.runs import Run
from jobs_app.jobs.fact_rows import by_kind, facts
from tests.factories import NOON, make_job, make_run


def test_what_a_part_does_not_set_is_empty_and_each_column_has_its_type(
    database: Database,
) -> None:
    job = make_job(database, name="nightly")
    run_id = make_run(database, job, at=NOON)
    parts = [
        facts("nothing"),
        facts("job", name=Job.name, count=literal(2)),
        facts("run", id_=Run.id, instant=Run.instant, value=Run.state, actor=Run.queue),
    ]

    with database.reading() as session:
        rows = by_kind(session.execute(union_all(*parts)))

    assert {kind: [tuple(row[1:]) for row in of_kind] for kind, of_kind in rows.items()} == {
        "nothing": [(None, None, 0, None, None, None)],
        "job": [("nightly", None, 2, None, None, None)],
        "run": [(None, "queued", 0, NOON, "default", run_id)],
    }
