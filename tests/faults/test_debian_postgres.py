"""PostgreSQL as people have it: Debian's package with its defaults, among them the JIT."""

import statistics
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import psutil
from sqlalchemy import text

from jobs_app.core.settings import Settings
from jobs_app.db.engine import Database
from jobs_app.db.migrations import migrate
from jobs_app.db.models.jobs import Job
from tests.faults.installation import Installation
from tests.integration.system import pause
from tests.servers import DebianPostgres, crowding

#: An installation that does little may take this share of a processor: 2 CPU-seconds a minute.
MAX_SHARE = 2 / 60

HEARTBEAT_SECONDS = Settings.model_fields["heartbeat_seconds"].default

#: A run starts within this time after its fire, by the median; seconds.
MAX_DELAY = 0.1


def test_the_server_is_left_alone_and_runs_start_on_time(
    make_installation: Callable[..., Installation], debian_postgres: DebianPostgres
) -> None:
    url = debian_postgres.create_database()
    migrate(Settings(database_url=url))
    # The heartbeat of a real installation, not the hurried one of the tests.
    installation = make_installation(
        url, heartbeat_seconds=HEARTBEAT_SECONDS, fence_seconds=20, lost_seconds=30
    )
    assert _setting(url, "jit_above_cost") == "100000", "this server has no JIT to turn off"
    for name in ("worker", "scheduler"):
        installation.start_ready(name)
    job = installation.create(task="sleep", kwargs={"duration": 0}, interval_seconds=3)
    installation.wait_for_runs(job, 1)

    spent_before, began = _cpu_seconds(debian_postgres.pid), _now(url)
    pause(12)
    share = (_cpu_seconds(debian_postgres.pid) - spent_before) / (_now(url) - began)

    assert share < MAX_SHARE
    assert statistics.median(_delays(installation, job)) < MAX_DELAY * crowding()


def _setting(url: str, name: str) -> Any:
    database = Database(url)
    with database.reading() as session:
        value = session.execute(text(f"SHOW {name}")).scalar_one()
    database.close()
    return value


def _now(url: str) -> float:
    database = Database(url)
    with database.reading() as session:
        now = session.execute(text("SELECT extract(epoch FROM clock_timestamp())")).scalar_one()
    database.close()
    return float(now)


def _cpu_seconds(pid: int) -> float:
    """Return the CPU time of a server: of its main process, and of all children ever."""
    server = psutil.Process(pid)
    total = sum(server.cpu_times()[:4])
    for child in server.children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            total += sum(child.cpu_times()[:2])
    return total


def _delays(installation: Installation, job: Job) -> list[float]:
    """Return the seconds from each fire to the start of its run."""
    runs = [run for run in installation.runs(job) if run.started_at and run.scheduled_for]
    return [(run.started_at - run.scheduled_for).total_seconds() for run in runs]  # type: ignore[operator]  # both are set
