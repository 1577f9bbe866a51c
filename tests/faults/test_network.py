"""Wires that are slow, narrow or cut, each between one process and one server."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import pytest

from jobs_app.core.states import OverlapPolicy, RunState
from tests.faults.installation import Installation
from tests.faults.proxy import Proxy
from tests.integration.system import pause
from tests.servers import ValkeyServer, crowding, wait_until

pytestmark = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)

#: New connections, the resending of what was queued, and the fires of the outage.
RECOVERY_SECONDS = 25.0


both_ways = pytest.mark.parametrize(
    "silently", [False, pytest.param(True, marks=pytest.mark.chaos)], ids=["refused", "silently"]
)


@pytest.fixture
def own_valkey(tcp_valkey: ValkeyServer) -> ValkeyServer:
    """A Valkey that is reached by a wire."""
    return tcp_valkey


@dataclass
class Wires:
    """An installation whose processes each reach the database and Redis by wires of their own."""

    installation: Installation
    stack: ExitStack
    database: dict[str, Proxy] = field(default_factory=dict)
    redis: dict[str, Proxy] = field(default_factory=dict)

    def start(self, *names: str) -> None:
        """Start processes, and return once they take part."""
        settings = self.installation.settings
        for name in names:
            self.database[name], database_url = self._wire(settings.effective_database_url)
            self.redis[name], redis_url = self._wire(settings.effective_redis_url)
            addresses = {"JOBS_DATABASE_URL": database_url, "JOBS_REDIS_URL": redis_url}
            usual = self.installation.environment
            self.installation.environment = usual | addresses
            self.installation.start_ready(name)
            self.installation.environment = usual

    @property
    def all(self) -> list[Proxy]:
        """Every wire there is."""
        return [*self.database.values(), *self.redis.values()]

    def _wire(self, url: str) -> tuple[Proxy, str]:
        port = urlsplit(url).port
        assert port is not None
        proxy = self.stack.enter_context(closing(Proxy(port)))
        return proxy, url.replace(f":{port}/", f":{proxy.port}/")


@pytest.fixture
def wires(installation: Installation) -> Iterator[Wires]:
    """Wires for the processes of an installation."""
    with ExitStack() as stack:
        yield Wires(installation, stack)


def slow(wire: Proxy) -> None:
    """A fifth of a second there and back."""
    wire.delay_seconds = 0.1


def narrow(wire: Proxy) -> None:
    """64 kbit/s for each connection."""
    wire.bytes_per_second = 8_000


@pytest.mark.nightly
@pytest.mark.parametrize("spoil", [slow, pytest.param(narrow, marks=pytest.mark.chaos)])
def test_a_slow_wire_delays_and_loses_nothing(wires: Wires, spoil: Callable[[Proxy], None]) -> None:
    installation = wires.installation
    # As it is usually: a shorter one runs out while the leader is waiting for answers.
    installation.environment["JOBS_SCHEDULER_LOCK_SECONDS"] = "8"
    wires.start("worker", "scheduler")
    job = installation.record(interval_seconds=2)
    installation.wait_for_runs(job, 2)

    for wire in wires.all:
        spoil(wire)
    # Three times as long as a worker may be silent.
    pause(3 * installation.settings.lost_seconds)
    for wire in wires.all:
        wire.delay_seconds, wire.bytes_per_second = 0.0, None
    installation.wait_for_runs(job, 2)

    # A fire's way to its command crosses the wires a dozen times.
    verdict = installation.assert_right(job, on_time_seconds=10)
    assert verdict.started == verdict.owed
    assert all(run.attempt == 1 for run in installation.runs(job))


@both_ways
@pytest.mark.nightly
def test_a_worker_cut_off_from_the_database_ends_its_run_before_another_one_repeats_it(
    wires: Wires, silently: bool
) -> None:
    installation = wires.installation
    wires.start("worker-1", "scheduler")
    job = installation.record(
        seconds=6, interval_seconds=8, overlap_policy=OverlapPolicy.BUFFER_ALL
    )
    wait_until(lambda: len(installation.effects()) > 5, "worker-1 works", timeout_seconds=20)
    wires.start("worker-2")

    with installation.fault("worker-1 cut off", recovery_seconds=RECOVERY_SECONDS):
        wires.database["worker-1"].cut(silently=silently)
        first = installation.runs(job)[0].id
        run = installation.wait_for_end(first, seconds=40)
        wires.database["worker-1"].mend()

    assert (run.state, run.attempt) == (RunState.SUCCEEDED, 2)
    # As good as new: with the other one stopped, the one that was cut off works.
    installation.kill("worker-2")
    installation.wait_for_runs(job, 1, seconds=60)
    installation.assert_right(job, on_time_seconds=60, settle_seconds=60)


@pytest.mark.nightly
@both_ways
def test_a_worker_cut_off_from_redis_finishes_what_it_has(wires: Wires, silently: bool) -> None:
    installation = wires.installation
    wires.start("worker", "scheduler")
    job = installation.record(
        seconds=3, interval_seconds=4, overlap_policy=OverlapPolicy.BUFFER_ALL
    )
    wait_until(lambda: len(installation.effects()) > 2, "it works", timeout_seconds=20)

    with installation.fault("no Redis", recovery_seconds=RECOVERY_SECONDS):
        wires.redis["worker"].cut(silently=silently)
        first = installation.runs(job)[0].id
        run = installation.wait_for_end(first, seconds=10)
        pause(5)
        wires.redis["worker"].mend()

    assert (run.state, run.attempt) == (RunState.SUCCEEDED, 1)
    installation.wait_for_runs(job, 2, seconds=RECOVERY_SECONDS)
    verdict = installation.assert_right(job)
    assert verdict.started == verdict.owed
    assert all(run.attempt == 1 for run in installation.runs(job))


@pytest.mark.parametrize(
    "server, silently",
    [
        # By default test_scheduler.py has a frozen leader, and test_database.py a lost database.
        pytest.param("database", False, marks=pytest.mark.nightly),
        pytest.param("redis", True, marks=pytest.mark.nightly),
        pytest.param("database", True, marks=pytest.mark.chaos),
        pytest.param("redis", False, marks=pytest.mark.chaos),
    ],
)
def test_a_leader_that_is_cut_off_is_stood_in_for(
    wires: Wires, server: str, silently: bool
) -> None:
    installation = wires.installation
    wires.start("worker", "scheduler-1")
    wait_until(lambda: any(installation.schedulers().values()), "the first one leads")
    wires.start("scheduler-2")
    job = installation.record()
    installation.wait_for_runs(job, 3)
    wire = getattr(wires, server)["scheduler-1"]

    with installation.fault("the leader is cut off", recovery_seconds=5):
        wire.cut(silently=silently)
        # While it is: nobody else must wait until it is over.
        installation.wait_for_runs(job, 12, seconds=30)
        wire.mend()
    installation.wait_for_runs(job, 5)

    verdict = installation.assert_right(job)
    assert verdict.started == verdict.owed
    late = [seconds for seconds in verdict.lateness if seconds > 2 * crowding()]
    assert len(late) <= 8, "the fires of the change-over, and no others"
    wait_until(
        lambda: sorted(installation.schedulers().values()) == [False, True], "one of them leads"
    )
