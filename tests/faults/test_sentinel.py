"""Sentinels make a replica the master while jobs are due each second."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.faults.installation import Installation
from tests.redis_servers import RedisProgram, Watched
from tests.servers import wait_until

pytestmark = [
    pytest.mark.nightly,
    pytest.mark.parametrize("database_url", ["postgresql"], indirect=True),
]

#: The Sentinels' decision, new connections, and the resending of what was queued.
RECOVERY_SECONDS = 30.0


@pytest.fixture
def watched() -> Iterator[Watched]:
    """A master, a replica and three Sentinels."""
    group = Watched()
    with group.running():
        yield group


@pytest.fixture
def installation(
    make_installation: Callable[..., Installation], database_url: str, watched: Watched
) -> Installation:
    return make_installation(database_url, redis_url=watched.url)


@pytest.mark.parametrize("prefetch", [True, False])
@pytest.mark.parametrize("end", [RedisProgram.kill, RedisProgram.pause])
def test_a_failover_loses_no_fire_and_doubles_none(
    installation: Installation, watched: Watched, end: Callable[[RedisProgram], Any], prefetch: bool
) -> None:
    installation.environment["JOBS_WORKER_PREFETCH"] = str(prefetch)
    for name in ("worker", "scheduler-1", "scheduler-2"):
        installation.start_ready(name)
    job = installation.record()
    installation.wait_for_runs(job, 3)
    before = watched.master_port()

    with installation.fault("failover", recovery_seconds=RECOVERY_SECONDS):
        end(watched.master)
        wait_until(lambda: watched.master_port() != before, "another master", timeout_seconds=30)
        installation.wait_for_runs(job, 5, seconds=60)
    if end is RedisProgram.pause:
        # It comes back as a master, and the Sentinels make it a replica.
        watched.master.resume()
    else:
        watched.master.start()
    installation.wait_for_runs(job, 10, seconds=60)

    verdict = installation.assert_right(job)
    assert verdict.started == verdict.owed
    assert all(run.attempt == 1 for run in installation.runs(job))
