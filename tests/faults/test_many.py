"""Ten thousand runs at once: a worker does each of them once, and does not grow with them."""

import time
from collections.abc import Callable

import pytest
from sqlalchemy import func, select

from jobs_app.core import clock
from jobs_app.core.states import RunState, Trigger
from jobs_app.db.columns import new_run_id
from jobs_app.db.models.runs import Run
from jobs_app.runs import messages
from jobs_app.runs.insert import NewRun, insert_runs
from jobs_app.runs.messages import Message
from tests.faults.installation import Installation
from tests.faults.test_output import memory
from tests.servers import wait_until

TASK = "tests.faults.bad_tasks.leaves_a_mark"


@pytest.mark.parametrize(
    "database_url, pool, count",
    [
        ("postgresql", "prefork", 400),
        pytest.param("postgresql", "prefork", 1_000, marks=pytest.mark.nightly),
        pytest.param("postgresql", "prefork", 10_000, marks=pytest.mark.chaos),
        pytest.param("sqlite", "prefork", 10_000, marks=pytest.mark.chaos),
        pytest.param("postgresql", "threads", 10_000, marks=pytest.mark.chaos),
    ],
    indirect=["database_url"],
)
def test_many_runs_at_once_are_each_done_once_in_flat_memory(
    make_installation: Callable[..., Installation], database_url: str, pool: str, count: int
) -> None:
    installation = make_installation(
        database_url,
        imports="tests.faults.bad_tasks",
        worker_pool=pool,
        worker_concurrency=2,
        log_level="WARNING",
        fence_seconds=20,
        lost_seconds=30,
    )
    installation.start("scheduler")
    installation.start("worker")
    marks = installation.directory / "marks"
    queue(installation, 100, file=str(marks))
    wait_until(lambda: done(installation) == 100, "it is warm", timeout_seconds=60)
    before = memory(installation.processes["worker"].pid)

    began = time.monotonic()
    queue(installation, count, file=str(marks))
    wait_until(lambda: done(installation) == count + 100, "all is done", timeout_seconds=500)
    took = time.monotonic() - began

    after = memory(installation.processes["worker"].pid)
    lines = marks.read_text().splitlines()
    assert len(lines) == len(set(lines)) == count + 100
    assert all(after[pid] - size < 30_000_000 for pid, size in before.items()), (before, after)
    print(f"{count} runs in {took:.1f} s, {count / took:.0f} a second")


def queue(installation: Installation, count: int, *, file: str) -> None:
    """Record *count* runs, and send their messages all at once."""
    at = clock.now()
    new_runs = [
        NewRun(
            id=new_run_id(),
            job_id=None,
            state=RunState.QUEUED,
            created_at=at,
            trigger=Trigger.MANUAL,
            task=TASK,
            kwargs={"file": file},
            queue="default",
            priority=5,
        )
        for _ in range(count)
    ]
    with installation.database.session() as session:
        insert_runs(session, new_runs)
        session.commit()
    ids = [new_run.id for new_run in new_runs]
    messages.publish(installation.app, [Message(run_id, 1, TASK, "default") for run_id in ids])


def done(installation: Installation) -> int:
    """Return how many runs have succeeded at their first attempt."""
    counted = select(func.count()).where(Run.state == RunState.SUCCEEDED, Run.attempt == 1)
    with installation.database.reading() as session:
        return session.scalars(counted).one()
