"""Three hosts with a worker each: one is cut off, has a slow link, or half-open connections."""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import pytest
from sqlalchemy import select

from jobs_app.core.settings import Settings
from jobs_app.core.states import OverlapPolicy, RunState
from jobs_app.db.migrations import migrate
from jobs_app.db.models.jobs import Job
from jobs_app.db.models.processes import Worker
from tests.faults.hosts import Host, hosts
from tests.faults.installation import Installation
from tests.integration.system import pause
from tests.redis_servers import PASSWORD, RedisProgram, running
from tests.servers import PostgresServer, SharedDirectory, wait_until

pytestmark = pytest.mark.nightly

#: The lease of the host's worker, new connections, and the next attempt.
RECOVERY_SECONDS = 30.0


class OpenPostgres(PostgresServer):
    """A PostgreSQL that listens on *addresses* too, and trusts the hosts."""

    def __init__(self, shared_directory: Path, addresses: Sequence[str]) -> None:
        super().__init__(shared_directory)
        self.own_settings |= {
            "listen_addresses": ",".join(["127.0.0.1", *addresses]),
            "hba_file": str(self.directory / "pg_hba.conf"),
        }
        (self.directory / "pg_hba.conf").write_text("host all all samenet trust\n")


@dataclass
class Hosts:
    """An installation with a worker on each host, and its scheduler beside the servers."""

    installation: Installation
    all: Sequence[Host]
    redis: RedisProgram


@pytest.fixture
def on_hosts(make_installation: Callable[..., Installation]) -> Iterator[Hosts]:
    with hosts(3) as made:
        addresses = [host.server_address for host in made]
        directory = SharedDirectory()
        postgres = OpenPostgres(directory.path, addresses)
        postgres.start()
        redis = RedisProgram(
            f"bind 127.0.0.1 {' '.join(addresses)}\nrequirepass {PASSWORD}\nappendonly yes\n"
        )
        with running([redis]):
            url = postgres.create_database()
            migrate(Settings(database_url=url))
            installation = make_installation(
                url, redis_url=f"redis://:{PASSWORD}@127.0.0.1:{redis.port}/0"
            )
            installation.start_ready("scheduler")
            for host in made:
                host.start_worker(installation)
            yield Hosts(installation, made, redis)
            for name in list(installation.processes):
                installation.kill(name)
        directory.close()


def test_the_workers_of_three_hosts_have_telling_names(on_hosts: Hosts) -> None:
    names = _workers(on_hosts.installation).values()

    assert len(set(names)) == 3
    for host in on_hosts.all:
        assert any(re.fullmatch(rf"celery@{host.name}-\d+", name) for name in names)


def test_a_host_that_is_cut_off_ends_its_jobs_and_the_others_go_on(on_hosts: Hosts) -> None:
    installation = on_hosts.installation
    short = installation.record()
    long = [
        installation.record(seconds=8, interval_seconds=10, overlap_policy=OverlapPolicy.BUFFER_ALL)
        for _ in range(3)
    ]
    host = _host_at_work(on_hosts, long)

    with installation.fault("cut off", recovery_seconds=RECOVERY_SECONDS):
        host.link.is_cut = True
        held = _running_on(on_hosts, host, long)
        for run_id in held:
            run = installation.wait_for_end(run_id, seconds=60)
            assert (run.state, run.attempt) == (RunState.SUCCEEDED, 2)
        installation.wait_for_runs(short, 5)
        host.link.is_cut = False
    assert held
    pause(installation.settings.lost_seconds)

    # Nothing ran twice at a time, and each attempt ended in time: the checker has looked.
    installation.assert_right(short, *long, on_time_seconds=40, settle_seconds=60)
    # The host works again, alone.
    for other in on_hosts.all:
        if other is not host:
            other.link.is_cut = True
    installation.wait_for_runs(short, 3, seconds=60)


def _host_at_work(on_hosts: Hosts, jobs: Sequence[Job]) -> Host:
    """Wait until a host runs one of *jobs*, and return it."""
    working: list[Host] = []

    def find() -> bool:
        working[:] = [host for host in on_hosts.all if _running_on(on_hosts, host, jobs)]
        return bool(working)

    wait_until(find, "a host works", timeout_seconds=30)
    return working[0]


def _running_on(on_hosts: Hosts, host: Host, jobs: Sequence[Job]) -> list[UUID]:
    names = _workers(on_hosts.installation)
    return [
        run.id
        for job in jobs
        for run in on_hosts.installation.runs(job)
        if run.state is RunState.RUNNING
        and run.worker_id is not None
        and names[run.worker_id].startswith(f"celery@{host.name}-")
    ]


def _workers(installation: Installation) -> dict[UUID, str]:
    with installation.database.reading() as session:
        return {worker.id: worker.name for worker in session.scalars(select(Worker))}


def test_a_slow_link_that_loses_packets_loses_no_run(on_hosts: Hosts) -> None:
    installation = on_hosts.installation
    job = installation.record()
    installation.wait_for_runs(job, 3)

    # 200 ms there and back, 1 % of the packets lost each way, on all links.
    for host in on_hosts.all:
        host.link.delay_seconds, host.link.loss = 0.1, 0.01
    pause(30)
    for host in on_hosts.all:
        host.link.delay_seconds = host.link.loss = 0.0
    installation.wait_for_runs(job, 3)

    # A lost packet is sent again after up to a second, and a run's way has many.
    verdict = installation.assert_right(job, on_time_seconds=15)
    assert verdict.started == verdict.owed
    assert all(run.attempt == 1 for run in installation.runs(job))


def test_a_redis_that_went_without_a_word_is_found_again_by_all_hosts(on_hosts: Hosts) -> None:
    installation = on_hosts.installation
    job = installation.record()
    installation.wait_for_runs(job, 3)

    with installation.fault("half-open", recovery_seconds=RECOVERY_SECONDS):
        # The hosts hear of no end: their connections lead to a server that is no more.
        for host in on_hosts.all:
            host.link.is_cut = True
        on_hosts.redis.kill()
        on_hosts.redis.start()
        for host in on_hosts.all:
            host.link.is_cut = False
        installation.wait_for_runs(job, 5, seconds=60)

    verdict = installation.assert_right(job)
    assert verdict.started == verdict.owed
    wait_until(
        lambda: _hosts_that_worked(on_hosts, job) == 3, "each host works", timeout_seconds=60
    )


def _hosts_that_worked(on_hosts: Hosts, job: Job) -> int:
    recent = sorted(on_hosts.installation.runs(job), key=lambda run: run.id)[-20:]
    return len({run.worker_id for run in recent})
