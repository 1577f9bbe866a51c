"""Jobs that name rows of another table."""

from sqlalchemy import update

from jobs_app.db.engine import Database
from jobs_app.db.job_references import hold_names, jobs_with_text
from jobs_app.db.models.jobs import Job
from jobs_app.db.models.secrets import Secret
from tests.factories import NOON, make_job


def test_living_jobs_with_a_text_are_found_and_its_signs_are_no_wildcards(
    database: Database,
) -> None:
    texts = {"right": "a_b%", "wrong": "axbyy", "gone": "a_b%"}
    ids = {
        name: make_job(database, name=name, task="shell", kwargs={"command": text}).id
        for name, text in texts.items()
    }
    values = {"deleted_at": NOON, "next_fire_at": None, "next_due_at": None}
    with database.session() as session:
        session.execute(update(Job).where(Job.id == ids["gone"]).values(values))
        session.commit()

    with database.reading() as session:
        rows = session.execute(jobs_with_text("a_b%", Job.kwargs, Job.task)).all()

    assert [tuple(row) for row in rows] == [("right", {"command": "a_b%"}, "shell")]


def test_names_that_no_row_has_are_returned_and_the_session_is_rolled_back(
    database: Database,
) -> None:
    with database.session() as session:
        columns = {"created_at": NOON, "updated_at": NOON, "updated_by": "ann"}
        session.add(Secret(name="A", encrypted="", **columns))
        session.commit()

        assert hold_names(session, Secret.name, []) == []
        assert not session.in_transaction()
        assert hold_names(session, Secret.name, ["A"]) == []
        assert session.in_transaction()
        assert hold_names(session, Secret.name, ["C", "A", "B"]) == ["B", "C"]
        assert not session.in_transaction()
