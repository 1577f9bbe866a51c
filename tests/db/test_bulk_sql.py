"""SQL for many rows: a row that changes after it was chosen stays as it is."""

from datetime import UTC, datetime

import pytest
from sqlalchemy import event, update

from jobs_app.core.states import RunState, Trigger
from jobs_app.db.bulk_sql import update_all
from jobs_app.db.columns import new_run_id
from jobs_app.db.engine import Database
from jobs_app.db.models.runs import Run

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)


def a_run() -> Run:
    return Run(
        id=new_run_id(),
        state=RunState.QUEUED,
        trigger=Trigger.MANUAL,
        task="sleep",
        kwargs={},
        queue="default",
        created_at=NOW,
    )


# SQLite lets nobody write in between.
@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_a_row_that_changes_between_choice_and_update_is_left_out(database: Database) -> None:
    with database.session() as session:
        session.add_all([a_run(), changing := a_run()])
        session.commit()

    def claim(connection: object, cursor: object, statement: str, *_: object) -> None:
        if statement.startswith("UPDATE runs SET reason"):
            with database.session() as other:
                other.execute(
                    update(Run).where(Run.id == changing.id).values(state=RunState.RUNNING)
                )
                other.commit()

    event.listen(database.engine, "before_cursor_execute", claim)
    with database.session() as session:
        updated = update_all(session, Run.id, Run.state == RunState.QUEUED, reason="chosen")

    with database.reading() as session:
        assert session.get_one(Run, changing.id).reason is None
    assert updated == 1
