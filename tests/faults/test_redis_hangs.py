"""A Redis that hangs: it neither answers nor closes, and fires are recorded on time."""

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from urllib.parse import urlsplit

import pytest

from jobs_app.core import clock
from jobs_app.db.models.jobs import Job
from tests.faults.installation import Installation
from tests.faults.proxy import Proxy
from tests.integration.system import pause
from tests.servers import ValkeyServer, crowding

#: Longer than a call waits for its answer, so that a scheduler that waited would be late.
HANG_SECONDS = 6.0

#: A recorded fire is at most this late, seconds.
ON_TIME_SECONDS = 2.0

#: The worker's and the scheduler's connections time out, then runs are sent again.
RECOVERY_SECONDS = 40.0


@pytest.fixture
def own_valkey(tcp_valkey: ValkeyServer) -> ValkeyServer:
    """A Valkey that is reached by a wire."""
    return tcp_valkey


@contextmanager
def stopped(wire: Proxy, valkey: ValkeyServer) -> Iterator[None]:
    """The process of the server stands still; the kernel still accepts connections."""
    valkey.pause()
    yield
    valkey.resume()


@contextmanager
def silent(wire: Proxy, valkey: ValkeyServer) -> Iterator[None]:
    """Connections are accepted, and nothing passes."""
    wire.cut(silently=True)
    yield
    wire.mend()


@contextmanager
def dripping(wire: Proxy, valkey: ValkeyServer) -> Iterator[None]:
    """Each answer takes longer than a fire has time, and no socket times out."""
    wire.delay_seconds = 2.0
    yield
    wire.delay_seconds = 0.0


@pytest.mark.parametrize(
    "database_url, hang",
    [
        ("postgresql", stopped),
        # Nothing of it depends on the database.
        pytest.param("sqlite", stopped, marks=pytest.mark.nightly),
        pytest.param("sqlite", silent, marks=pytest.mark.chaos),
        pytest.param("postgresql", dripping, marks=pytest.mark.chaos),
    ],
    indirect=["database_url"],
)
def test_fires_are_recorded_on_time_while_redis_hangs(
    installation: Installation,
    own_valkey: ValkeyServer,
    hang: Callable[[Proxy, ValkeyServer], AbstractContextManager[None]],
) -> None:
    port = urlsplit(own_valkey.url).port
    assert port is not None
    with closing(Proxy(port)) as wire:
        own = own_valkey.url.replace(f":{port}/", f":{wire.port}/")
        installation.environment["JOBS_REDIS_URL"] = own
        installation.start_ready("scheduler")
        installation.start_ready("worker")
        job = installation.record()
        installation.wait_for_runs(job, 2)

        with installation.fault(hang.__name__, recovery_seconds=RECOVERY_SECONDS):
            with hang(wire, own_valkey):
                delays = recording_delays(installation, job, seconds=HANG_SECONDS)
            installation.wait_for_runs(job, len(delays) + 2, seconds=RECOVERY_SECONDS)
        verdict = installation.assert_right(job)

    assert len(delays) >= HANG_SECONDS - ON_TIME_SECONDS * crowding()
    assert max(delays) < ON_TIME_SECONDS * crowding(), delays
    assert verdict.started == verdict.owed


def recording_delays(installation: Installation, job: Job, *, seconds: float) -> list[float]:
    """Return how late each fire of *job* in the next *seconds* is in the database, in seconds."""
    recorded = {run.scheduled_for for run in installation.runs(job)}
    delays = []
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        pause(0.05)
        now = clock.now()
        for run in installation.runs(job):
            if run.scheduled_for is not None and run.scheduled_for not in recorded:
                recorded.add(run.scheduled_for)
                delays.append((now - run.scheduled_for).total_seconds())
    return delays
