"""A pool of real processes, in an event loop of its own."""

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kombu.asynchronous import Hub

from jobs_app.celery_app import make_celery
from jobs_app.core.settings import Settings
from jobs_app.worker import pool_process
from jobs_app.worker.celery_hooks.pools import AsynPool
from jobs_app.worker.pool_process import Process, set_process

#: Celery itself looks after its processes this often.
CELERY_LOOKS_SECONDS = 5.0


@pytest.fixture
def pool(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Any]:
    """A pool of one process, as a worker has it."""
    monkeypatch.setattr(pool_process, "_process", None)
    settings = Settings(data_dir=tmp_path, redis_url="redis://127.0.0.1:1/0")
    set_process(Process(make_celery(settings), settings, "worker@test", is_prefork=True))
    pool: Any = AsynPool(1, threads=False)
    yield pool
    pool.terminate()
    for child in pool._pool:
        child.join()


@pytest.fixture
def hub() -> Iterator[Any]:
    """The event loop of a worker's main process."""
    hub = Hub()
    yield hub
    hub.close()


def test_a_process_whose_pipe_closes_before_it_is_a_zombie_is_replaced_at_once(
    pool: Any, hub: Any
) -> None:
    pool.register_with_event_loop(hub)
    (first,) = pool._pool

    # As the kernel has it: its pipe has closed, and it is no zombie yet.
    pool._event_process_exit(hub, first)
    os.kill(first.pid, signal.SIGKILL)

    began = time.monotonic()
    turns = hub.create_loop()
    while first in pool._pool and time.monotonic() - began < CELERY_LOOKS_SECONDS - 1:
        next(turns)
    assert [child.pid for child in pool._pool] != [first.pid]
