"""Installations for the tests of this folder, each with a Valkey and a database of its own."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from jobs_app.core.settings import Settings
from tests.integration.system import System
from tests.servers import ValkeyServer


@pytest.fixture
def sqlite_folder(tmp_path: Path) -> Path:
    """The folder of this test alone: a process that outlives it writes into no other's file."""
    return tmp_path


@pytest.fixture
def own_valkey() -> Iterator[ValkeyServer]:
    """A Valkey of this test alone: it may be killed, frozen and emptied."""
    server = ValkeyServer()
    server.start()
    yield server
    server.close()


@pytest.fixture
def make_system(
    database_url: str, own_valkey: ValkeyServer, tmp_path: Path
) -> Iterator[Callable[..., System]]:
    """Makes installations on this test's servers; their processes end with the test."""
    made: list[System] = []

    def make(**settings: Any) -> System:
        defaults: dict[str, Any] = {
            "data_dir": tmp_path / "data",
            "database_url": database_url,
            "redis_url": own_valkey.url,
            "heartbeat_seconds": 0.5,
            "fence_seconds": 4,
            "lost_seconds": 6,
            "scheduler_lock_seconds": 3,
        }
        system = System(Settings(**(defaults | settings)), tmp_path)
        made.append(system)
        return system

    yield make
    for system in made:
        system.stop()


@pytest.fixture
def system(make_system: Callable[..., System]) -> System:
    """An installation with a scheduler and a worker that have been started."""
    system = make_system(imports="tests.integration.user_tasks")
    system.start("scheduler")
    system.start("worker")
    return system
