"""Installations that the tests of this folder damage, each on servers of its own."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from jobs_app.core.settings import Settings
from tests.faults.installation import Installation
from tests.servers import ValkeyServer


@pytest.fixture
def sqlite_folder(tmp_path: Path) -> Path:
    """The folder of this test alone: a process that outlives it writes into no other's file."""
    return tmp_path


@pytest.fixture
def own_valkey() -> Iterator[ValkeyServer]:
    """A Valkey of this test alone."""
    server = ValkeyServer()
    server.start()
    yield server
    server.close()


@pytest.fixture
def tcp_valkey() -> Iterator[ValkeyServer]:
    """A Valkey of this test's own that listens on a port."""
    server = ValkeyServer(tcp=True)
    server.start()
    yield server
    server.close()


@pytest.fixture
def make_installation(
    own_valkey: ValkeyServer, tmp_path: Path
) -> Iterator[Callable[..., Installation]]:
    """Makes installations with short deadlines; their processes end with the test."""
    made: list[Installation] = []

    def make(database_url: str, **settings: Any) -> Installation:
        given: dict[str, Any] = {
            "data_dir": tmp_path / "data",
            "database_url": database_url,
            "redis_url": own_valkey.url,
            "heartbeat_seconds": 0.5,
            "fence_seconds": 4,
            "lost_seconds": 6,
            "scheduler_lock_seconds": 2,
            "worker_concurrency": 3,
        }
        installation = Installation(Settings(**(given | settings)), tmp_path)
        made.append(installation)
        return installation

    yield make
    for installation in made:
        installation.stop()


@pytest.fixture
def installation(make_installation: Callable[..., Installation], database_url: str) -> Installation:
    """An installation of which nothing has been started yet."""
    return make_installation(database_url)


@pytest.fixture
def make_worker(
    request: pytest.FixtureRequest,
    make_installation: Callable[..., Installation],
    database_url: str,
) -> Callable[..., Installation]:
    """Starts a worker that knows the tasks of the module's TASKS and works on one run at a time.

    Its installation has no scheduler.
    """

    def make(**settings: Any) -> Installation:
        defaults = {
            "imports": request.module.TASKS,
            "worker_concurrency": 1,
            "fence_seconds": 10,
            "lost_seconds": 15,
        }
        installation = make_installation(database_url, **(defaults | settings))
        installation.start_ready("worker")
        return installation

    return make
