"""Runs by the beginning of their id."""

from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import update

from jobs_app.core.states import RunState
from jobs_app.db.engine import Database
from jobs_app.db.models.runs import Run
from jobs_app.runs import history
from jobs_app.runs.history import Filter
from jobs_app.runs.id_prefix import IdRange
from tests.factories import MINUTE, NOON, make_job, make_run

LOW, HIGH = "0193583e-8f40-0000-0000-000000000000", "0193583e-8f4f-ffff-ffff-ffffffffffff"


@pytest.mark.parametrize("typed", ["0193583e-8f4", "0193583E8F4", "0193583e8f4-"])
def test_a_beginning_stands_for_all_ids_that_have_it(typed: str) -> None:
    assert IdRange.read(typed) == (UUID(LOW), UUID(HIGH))


@pytest.mark.parametrize(
    "typed", ["", "0193583", "0193583g", "0" * 33, "--------", "0" * 8 + "-" * 29]
)
def test_other_text_is_no_beginning(typed: str) -> None:
    with pytest.raises(ValueError, match="not the beginning of an id"):
        IdRange.read(typed)


def test_a_list_has_the_runs_whose_ids_begin_so_under_all_conditions(database: Database) -> None:
    ids = [UUID(f"{number:08x}-0000-7000-8000-000000000000") for number in (1, 2, 2, 3)]
    ids[2] = UUID(int=ids[2].int + 1)
    job = make_job(database, schedule=None)
    for number, run_id in enumerate(ids):
        made = make_run(
            database,
            job,
            state=RunState.FAILED if number < 2 else RunState.SUCCEEDED,
            note=f"note {number}",
            at=NOON - number * MINUTE,
        )
        with database.session() as session, session.begin():
            session.execute(update(Run).where(Run.id == made).values(id=run_id))

    def found(**conditions: Any) -> list[UUID]:
        wanted = Filter(ids=IdRange.read("00000002"), **conditions)
        with database.reading() as session:
            return [run.id for run in history.page(session, wanted, before=None, limit=9)[0]]

    assert found() == [ids[1], ids[2]]
    assert found(job=job.name, states=(RunState.FAILED,)) == [ids[1]]
    assert found(q="note 2") == [ids[2]]
    assert found(q="note 3") == []
