"""Prefetch with real workers: no message waits behind a long run, and none is lost."""

import json
import os
import signal
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import select

from jobs_app.core import clock
from jobs_app.core.policies import RunLimits
from jobs_app.core.states import RunState
from jobs_app.db.models.runs import Run
from jobs_app.jobs import start
from jobs_app.runs import messages
from tests.integration.system import System, pause, pool_process_of
from tests.profiles import threads_nightly
from tests.running import pid_in
from tests.servers import ValkeyServer, crowding, wait_until

USER_TASKS = "tests.integration.user_tasks"

POOLS = pytest.mark.parametrize("pool", ["prefork", threads_nightly])

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


def queue(system: System, durations: Iterable[float]) -> list[UUID]:
    """Queue runs of these lengths in seconds, in this order."""
    sent = []
    with system.database.session() as session:
        for seconds in durations:
            task = start.TaskStart("sleep", {"duration": seconds})
            started = start.start_task(session, task, app=system.app, by="tester", at=clock.now())
            assert started.message is not None
            sent.append(started.message)
    messages.publish(system.app, sent)
    return [message.run_id for message in sent]


def lying(system: System, valkey: ValkeyServer) -> list[UUID]:
    """Return the runs with messages in the queue, the next one first."""
    with valkey.client() as client:
        texts: Any = client.lrange(f"{system.settings.redis_prefix}default\x06\x163", 0, -1)
    return [UUID(json.loads(text)["headers"]["id"]) for text in reversed(texts)]


def in_state(system: System, state: RunState) -> set[UUID]:
    """Return the runs that are in this state."""
    with system.database.reading() as session:
        return set(session.scalars(select(Run.id).where(Run.state == state)))


def succeed(system: System, run_ids: Sequence[UUID]) -> None:
    """Wait until all these runs have succeeded."""
    wait_until(
        lambda: in_state(system, RunState.SUCCEEDED).issuperset(run_ids),
        "they all succeed",
        timeout_seconds=20,
    )


@POOLS
def test_no_message_waits_behind_a_long_run_while_another_worker_has_time(
    make_system: Callable[..., System], pool: str
) -> None:
    system = make_system(worker_concurrency=1, worker_pool=pool)
    run_ids = queue(system, [0.0] * 100 + [60.0] + [0.0] * 20)
    long, behind = run_ids[100], run_ids[101:]
    system.start("worker-1", "--name", "first")
    system.start("worker-2", "--name", "second")
    began = system.wait_for(long, lambda run: run.state is RunState.RUNNING, "the long one runs")

    succeed(system, behind)

    assert began.started_at is not None
    waited = [
        (run.started_at - began.started_at).total_seconds()
        for run in map(system.run, behind)
        if run.started_at is not None
    ]
    assert system.run(long).state is RunState.RUNNING
    assert max(waited) < 3 * crowding()


@POOLS
def test_messages_that_a_busy_worker_cannot_run_return_to_the_queue_in_order(
    make_system: Callable[..., System], own_valkey: ValkeyServer, pool: str
) -> None:
    system = make_system(worker_concurrency=2, worker_pool=pool)
    run_ids = queue(system, [0.0] * 100 + [60.0] * 2 + [0.0] * 5)
    system.start("worker")
    for long in run_ids[100:102]:
        system.wait_for(long, lambda run: run.state is RunState.RUNNING, "the long ones run")

    wait_until(
        lambda: lying(system, own_valkey) == run_ids[102:],
        "the prefetched messages are back",
        timeout_seconds=2,
    )

    for _ in range(10):
        pause(0.1)
        assert lying(system, own_valkey) == run_ids[102:]


@POOLS
def test_a_worker_that_is_asked_to_stop_loses_no_message(
    make_system: Callable[..., System], own_valkey: ValkeyServer, pool: str
) -> None:
    system = make_system(worker_concurrency=2, worker_pool=pool)
    run_ids = queue(system, [0.0] * 400)
    worker = system.start("worker-1")
    wait_until(
        lambda: len(in_state(system, RunState.SUCCEEDED)) > 50,
        "it is at work",
        timeout_seconds=20,
    )

    system.signal("worker-1", signal.SIGTERM)

    assert worker.wait(timeout=30) == 0
    left = in_state(system, RunState.QUEUED)
    assert left, "it has stopped too late to show anything"
    assert left <= set(lying(system, own_valkey))
    # This installation has no scheduler, which would send messages again.
    system.start("worker-2", "--name", "second")
    succeed(system, run_ids)


@POOLS
def test_a_stopping_worker_with_a_long_run_returns_its_prefetched_messages_at_once(
    make_system: Callable[..., System], own_valkey: ValkeyServer, pool: str
) -> None:
    system = make_system(worker_concurrency=1, worker_pool=pool)
    run_ids = queue(system, [0.0] * 100 + [8.0] + [0.0] * 3)
    worker = system.start("worker-1")
    long = run_ids[100]
    system.wait_for(long, lambda run: run.state is RunState.RUNNING, "the long one runs")

    system.signal("worker-1", signal.SIGTERM)

    wait_until(
        lambda: lying(system, own_valkey) == run_ids[101:],
        "the message is back in the queue",
        timeout_seconds=3,
    )
    assert system.run(long).state is RunState.RUNNING
    assert worker.wait(timeout=30) == 0
    assert system.run(long).state is RunState.SUCCEEDED


@POOLS
def test_without_prefetch_no_hook_is_installed_and_runs_succeed(
    make_system: Callable[..., System], pool: str
) -> None:
    system = make_system(
        imports=USER_TASKS, worker_concurrency=2, worker_pool=pool, worker_prefetch=False
    )
    run_ids = queue(system, [0.0] * 8)
    worker = system.start("worker")
    hooks = system.start_run(f"{USER_TASKS}.hooks_in_use")

    succeed(system, [*run_ids, hooks])

    assert system.run(hooks).result == []
    system.signal("worker", signal.SIGTERM)
    assert worker.wait(timeout=30) == 0


@POOLS
def test_with_prefetch_every_hook_is_installed(
    make_system: Callable[..., System], pool: str
) -> None:
    system = make_system(imports=USER_TASKS, worker_pool=pool)
    system.start("worker")

    run = system.wait_for_end(system.start_run(f"{USER_TASKS}.hooks_in_use"))

    assert run.result == [
        "jobs_app.worker.celery_hooks.transport",
        "jobs_app.worker.celery_hooks.strategy:run_strategy",
        "holds finishes",
    ]


def test_without_prefetch_a_run_whose_process_dies_is_lost_and_the_next_one_succeeds(
    make_system: Callable[..., System], tmp_path: Path
) -> None:
    system = make_system(worker_concurrency=1, worker_prefetch=False)
    worker = system.start("worker")
    victim = system.start_run("shell", command=f"echo $$ > {tmp_path}/pid; sleep 60")
    pid_in(tmp_path / "pid")
    os.kill(pool_process_of(worker), signal.SIGKILL)

    assert system.wait_for_end(victim).state is RunState.LOST
    succeed(system, queue(system, [0.0]))


@pytest.mark.parametrize(
    "limit",
    ["soft_time_limit_seconds", pytest.param("time_limit_seconds", marks=pytest.mark.nightly)],
)
def test_without_prefetch_a_time_limit_ends_a_run(
    make_system: Callable[..., System], limit: str
) -> None:
    system = make_system(imports=USER_TASKS, worker_concurrency=1, worker_prefetch=False)
    system.start("worker")
    limits = replace(RunLimits(), **{limit: 1})
    task = start.TaskStart(f"{USER_TASKS}.spin", {"seconds": 60}, limits=limits)

    with system.database.session() as session:
        started = start.start_task(session, task, app=system.app, by="tester", at=clock.now())
    assert started.message is not None
    messages.publish(system.app, [started.message])

    assert system.wait_for_end(started.run.id).state is RunState.TIMED_OUT
