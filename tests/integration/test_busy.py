"""A busy worker writes outcomes together with claims, and loses none."""

import signal
from collections import Counter
from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import func, select

from jobs_app.core.states import RunState, Trigger
from jobs_app.db.columns import new_run_id
from jobs_app.db.models.runs import Run
from jobs_app.runs import insert, messages
from jobs_app.runs.messages import Message
from tests.factories import NOON
from tests.integration.system import System
from tests.profiles import threads_nightly
from tests.servers import wait_until

TASKS = "tests.integration.user_tasks"


def send_many(
    system: System, count: int, task: str = f"{TASKS}.process_holds_finish"
) -> list[UUID]:
    """Queue *count* runs; all their messages are in the broker when this returns."""
    plain: dict[str, Any] = {"kwargs": {}, "queue": "default", "priority": 5, "job_id": None}
    plain |= {"task": task, "state": RunState.QUEUED, "trigger": Trigger.MANUAL}
    new = [insert.NewRun(id=new_run_id(), created_at=NOON, **plain) for _ in range(count)]
    with system.database.session() as session, session.begin():
        insert.insert_runs(session, new)
    messages.publish(system.app, [Message(run.id, 1, task, "default") for run in new])
    return [run.id for run in new]


def counted(system: System) -> Counter[RunState]:
    with system.database.reading() as session:
        states = session.execute(select(Run.state, func.count()).group_by(Run.state))
        return Counter(dict(states.all()))


@pytest.mark.parametrize(
    "database_url, pool",
    [
        ("sqlite", "threads"),
        ("postgresql", "prefork"),
        pytest.param("sqlite", "prefork", marks=pytest.mark.nightly),
        pytest.param("postgresql", "threads", marks=pytest.mark.nightly),
    ],
    indirect=["database_url"],
)
def test_many_runs_in_a_row_end_all_and_each_once(
    make_system: Callable[..., System], pool: str
) -> None:
    system = make_system(imports=TASKS, worker_pool=pool, worker_concurrency=2)
    send_many(system, 200)

    system.start("worker")
    wait_until(
        lambda: counted(system) == {RunState.SUCCEEDED: 200}, "all have ended", timeout_seconds=40
    )

    # The task reports that the pool holds outcomes back; the last ones are written too.
    assert all(run.result is True for run in system.runs())
    assert all(run.attempt == 1 for run in system.runs())


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize("pool", ["prefork", threads_nightly])
def test_a_worker_that_is_stopped_amid_many_runs_stops_soon_and_loses_none(
    make_system: Callable[..., System], pool: str
) -> None:
    system = make_system(imports=TASKS, worker_pool=pool, worker_concurrency=2)
    send_many(system, 3_000)
    worker = system.start("worker")
    wait_until(
        lambda: counted(system)[RunState.SUCCEEDED] > 100, "the worker is busy", timeout_seconds=30
    )

    worker.send_signal(signal.SIGTERM)

    # Celery's own pool may wait half a minute for an answer that is not read any more.
    assert worker.wait(timeout=15) == 0
    counts = counted(system)
    assert counts[RunState.SUCCEEDED] > 100
    assert set(counts) <= {RunState.SUCCEEDED, RunState.QUEUED}, counts
