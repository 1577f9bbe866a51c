"""Places in a list of runs."""

from uuid import UUID

import pytest

from jobs_app.core.states import RunState
from jobs_app.db.engine import Database
from jobs_app.runs import history
from jobs_app.runs.run_filter import Filter, Position
from tests.factories import MINUTE, NOON, make_job, make_run


def test_a_position_is_read_as_it_is_written() -> None:
    position = Position(NOON, UUID(int=7))

    assert Position.read(str(position)) == position
    with pytest.raises(ValueError, match="isoformat"):
        Position.read("yesterday 7")


@pytest.mark.parametrize("is_of_job", [True, False])
def test_a_position_cuts_a_list_in_two(database: Database, is_of_job: bool) -> None:
    job = make_job(database, schedule=None)
    # Two of each instant.
    ids = [
        make_run(database, job, state=RunState.FAILED, note="disk", at=NOON + n // 2 * MINUTE)
        for n in range(6)
    ][::-1]
    conditions = Filter(job=job.name) if is_of_job else Filter(q="disk")
    place = Position(NOON + MINUTE, ids[2])

    with database.reading() as session:
        runs, _, count = history.page_from(session, conditions, place, limit=9, most_newer=9)
        few, is_cut, bound = history.page_from(session, conditions, place, limit=1, most_newer=1)

    assert [run.id for run in runs] == ids[2:]
    assert [run.id for run in few] == ids[2:3]
    assert (count, bound, is_cut) == (2, 1, False)
