"""The number of processes follows the runs, and no process with work is ended."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from celery.worker import state
from celery.worker.autoscale import WorkerComponent

from jobs_app.celery_app import make_celery
from jobs_app.core.settings import Settings
from jobs_app.worker import pool_process
from jobs_app.worker.celery_hooks.autoscaler import IDLE_SECONDS, IdleAutoscaler
from jobs_app.worker.celery_hooks.pools import ProcessPool
from jobs_app.worker.pool_process import Process, set_process


class Request:
    """A message that a worker has reserved."""


@pytest.fixture
def pool(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Any]:
    """A pool of one process, as a worker has it."""
    monkeypatch.setattr(pool_process, "_process", None)
    monkeypatch.setattr(state, "reserved_requests", set())
    settings = Settings(data_dir=tmp_path, redis_url="redis://127.0.0.1:1/0")
    app = make_celery(settings)
    set_process(Process(app, settings, "worker@test", is_prefork=True))
    pool: Any = ProcessPool(1, app=app, threads=False, initargs=(app, "worker@test"))
    pool.start()
    yield pool
    pool.terminate()


def living(pool: Any) -> int:
    return len([process for process in pool._pool._pool if process.is_alive()])


def test_processes_start_as_runs_come_and_end_after_a_time_without_any(
    pool: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    scaler = IdleAutoscaler(pool, 3, 1)
    requests = {Request() for _ in range(5)}

    state.reserved_requests = set(requests)
    scaler.maybe_scale()
    assert (living(pool), scaler.processes) == (3, 3)

    later = time.monotonic() + IDLE_SECONDS + 1
    monkeypatch.setattr(f"{IdleAutoscaler.__module__}.monotonic", lambda: later)
    state.reserved_requests = {requests.pop()}
    scaler.maybe_scale()
    assert scaler.processes == 3

    state.reserved_requests.clear()
    scaler.maybe_scale()
    assert scaler.processes == 3

    later += IDLE_SECONDS + 1
    scaler.maybe_scale()
    assert scaler.processes == 1


def test_celery_asks_it_with_each_message_and_now_and_then() -> None:
    # The names by which Celery's worker calls it.
    assert "maybe_scale" in WorkerComponent.register_with_event_loop.__code__.co_names
