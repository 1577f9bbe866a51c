"""A real worker serves its own queues only, and urgent runs first."""

from collections.abc import Callable
from uuid import UUID

import pytest

from jobs_app.core import clock
from jobs_app.core.states import RunState
from jobs_app.jobs.start import TaskStart, start_task
from jobs_app.runs import messages
from tests.integration.system import System, pause
from tests.profiles import threads_nightly
from tests.servers import wait_until


def start(system: System, *, seconds: float = 0.0, **options: object) -> UUID:
    """Start a task without a job, as a person would."""
    # The keywords are of mixed types.
    task = TaskStart("sleep", {"duration": seconds}, **options)  # type: ignore[arg-type]
    with system.database.session() as session:
        started = start_task(session, task, app=system.app, by="tester", at=clock.now())
    assert started.message is not None
    messages.publish(system.app, [started.message])
    return started.run.id


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize("pool", ["prefork", threads_nightly])
def test_a_worker_that_gets_room_takes_the_most_urgent_run_first(
    make_system: Callable[..., System], pool: str
) -> None:
    system = make_system(worker_concurrency=1, worker_pool=pool)
    system.start("worker")
    busy = start(system, seconds=3)
    system.wait_for(busy, lambda run: run.state is RunState.RUNNING, "the worker is busy")

    by_priority = {priority: start(system, priority=priority) for priority in (9, 7, 5, 3, 0)}
    ended = {priority: system.wait_for_end(run_id) for priority, run_id in by_priority.items()}

    began = sorted((run.started_at, priority) for priority, run in ended.items() if run.started_at)
    # Redis keeps 5 and 3 in one list, and 5 was sent first.
    assert [priority for _, priority in began] == [0, 5, 3, 7, 9]


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_run_waits_for_a_worker_that_serves_its_queue(
    make_system: Callable[..., System],
) -> None:
    system = make_system(worker_concurrency=1)
    system.start("worker-1")
    slow, quick = start(system, queue="slow"), start(system)
    system.wait_for_end(quick)
    pause(0.5)

    assert system.run(slow).state is RunState.QUEUED

    system.start("worker-2", "--queues", "slow", "--name", "second")
    assert system.wait_for_end(slow).state is RunState.SUCCEEDED
    wait_until(lambda: "ready" in system.log("worker-2"), "it is ready")
