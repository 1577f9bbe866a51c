"""Celery's own tools see the runs of a worker: its events (JOBS_EVENTS), and its answers."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest
from celery import states

from jobs_app.core import clock
from jobs_app.core.states import CancelMode, RunState
from jobs_app.runs.cancel import cancel
from tests.integration.system import System
from tests.servers import wait_until

MODULE = "tests.integration.user_tasks"

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


@contextmanager
def watched(system: System) -> Iterator[Any]:
    """Yield what a monitor such as Flower knows of the workers and tasks, kept up to date."""
    state = system.app.events.State()
    with system.app.connection_for_read() as connection:
        receiver = system.app.events.Receiver(connection, handlers={"*": state.event})
        receive: Any = receiver.capture
        thread = threading.Thread(target=receive, kwargs={"wakeup": False}, daemon=True)
        thread.start()
        yield state
        receiver.should_stop = True
        thread.join(5)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"worker_prefetch": False, "worker_pool": "threads"},
        pytest.param({"worker_prefetch": False}, marks=pytest.mark.nightly),
        pytest.param({"worker_pool": "solo"}, marks=pytest.mark.nightly),
    ],
)
def test_a_monitor_sees_each_run_with_its_task_and_its_end(
    make_system: Callable[..., System], settings: dict[str, Any]
) -> None:
    system = make_system(imports=MODULE, events=True, **settings)
    with watched(system) as state:
        system.start_ready("worker")
        wait_until(lambda: any(worker.alive for worker in state.workers.values()), "it is online")
        waits = system.start_run("shell", command="exec sleep 60")
        system.wait_for(waits, lambda run: run.started_at is not None, "it has started")
        with system.database.session() as session:
            cancel(session, waits, mode=CancelMode.KILL, by="a", reason="r", at=clock.now())
        ends = {
            system.start_run(f"{MODULE}.add", x=1, y=2): states.SUCCESS,
            system.start_run(f"{MODULE}.fail"): states.FAILURE,
            system.start_run(f"{MODULE}.flaky"): states.RETRY,
            waits: states.REVOKED,
        }

        def seen() -> dict[str, Any]:
            return {uuid: task.state for uuid, task in state.tasks.items()}

        expected = {str(run_id): end for run_id, end in ends.items()}
        with suppress(AssertionError):
            wait_until(lambda: seen() == expected, "all ends are seen", timeout_seconds=20)
        # Shows what is missing.
        assert seen() == expected
        tasks = {str(run_id): state.tasks[str(run_id)] for run_id in ends}

    names = [task.name for task in tasks.values()]
    assert names == [f"{MODULE}.add", f"{MODULE}.fail", f"{MODULE}.flaky", "shell"]
    assert all(task.sent and task.received and task.started for task in tasks.values())
    succeeded, failed, *_ = tasks.values()
    assert failed.exception == "ValueError('boom')"
    assert succeeded.runtime > 0


def test_celery_inspect_answers_of_our_workers(make_system: Callable[..., System]) -> None:
    system = make_system(imports=MODULE)
    system.start_ready("worker")
    run_id = system.start_run("sleep", duration=30)
    system.wait_for(run_id, lambda run: run.state is RunState.RUNNING, "it runs")

    inspector: Any = system.app.control.inspect(timeout=10, limit=1)
    assert list(inspector.ping().values()) == [{"ok": "pong"}]
    [(name, active)] = inspector.active().items()
    assert [(request["id"], request["name"]) for request in active] == [(str(run_id), "sleep")]
    assert f"{MODULE}.add" in inspector.registered()[name]
    assert inspector.stats()[name]["pool"]["max-concurrency"] == 2
