"""What a run waits for that has not started."""

from typing import Any

import pytest

from jobs_app.core.states import RunState, Wait
from jobs_app.db.engine import Database
from jobs_app.runs.waits import served_queues, waits_for
from tests.factories import claim, make_run, make_worker, run


@pytest.mark.parametrize(
    "state, values, expected",
    [
        (RunState.WAITING, {}, Wait.RUN),
        (RunState.RETRYING, {}, Wait.RETRY),
        (RunState.QUEUED, {}, Wait.SLOT),
        (RunState.QUEUED, {"queue": "nobodys"}, Wait.WORKER),
        (RunState.RUNNING, {}, None),
        (RunState.SUCCEEDED, {}, None),
    ],
)
def test_a_run_that_has_not_started_waits_for_something(
    database: Database, state: RunState, values: dict[str, Any], expected: Wait | None
) -> None:
    make_worker(database)
    waiting = run(database, make_run(database, state=state, **values))

    with database.reading() as session:
        served = served_queues(session, [waiting])

    assert waits_for(waiting, is_served=waiting.queue in served) is expected


def test_a_run_without_a_free_slot_of_its_key_waits_for_it(database: Database) -> None:
    worker_id = make_worker(database)
    key: dict[str, Any] = {"concurrency_key": "db-main", "concurrency_limit": 1}
    first, second = make_run(database, **key), make_run(database, **key)
    for run_id in (first, second):
        claim(database, run_id, worker_id)

    waits = [waits_for(run(database, run_id), is_served=True) for run_id in (first, second)]

    assert waits == [None, Wait.KEY]
