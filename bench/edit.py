"""Edit to effect: a schedule is made, or changed, to be due in one second; how late is it?

The measure is from the instant at which it is due to its message in the broker, with
the scheduler idle. The peers look for changes when they wake, so it is their longest
sleep that counts: RedBeat's default is 300 s (here 5, as its users set it),
django-celery-beat's 5 s.
"""

import json
import os
import subprocess
import time
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from uuid import UUID

from redis import Redis
from sqlalchemy import select

from bench import peers, report
from bench.ours import Installation
from bench.servers import Servers, running
from jobs_app.celery_app import make_celery
from jobs_app.core.settings import Settings
from jobs_app.db.engine import Database
from jobs_app.db.models.jobs import Job
from jobs_app.db.models.runs import Run
from jobs_app.jobs import service
from jobs_app.jobs.definition import Definition
from jobs_app.jobs.redbeat_entries import Projection
from jobs_app.schedules.schedule import Schedule

AHEAD_SECONDS = 1.0
OTHERS = 1_000
TIMEOUT_SECONDS = 15.0
PEERS_LONGEST_SLEEP = 5


def ours(servers: Servers, kind: str, trials: int, folder: Path, *, change: bool) -> list[float]:
    """Return how late each of *trials* new jobs, or changed ones, was; milliseconds."""
    servers.valkey.flushall()
    with servers.database(kind) as url, ExitStack() as stack:
        settings = Settings(
            database_url=url, redis_url=servers.valkey.url, redis_prefix="jobs:", data_dir=folder
        )
        installation = Installation(settings, folder / "edit.log")
        installation.fill(OTHERS)
        installation.make_due(at=datetime.now(UTC) + timedelta(hours=5))
        stack.enter_context(installation.scheduler())
        client = stack.enter_context(Redis.from_url(servers.valkey.url))
        author = _Author(settings)
        stack.callback(author.close)
        late = []
        for number in range(trials):
            at = datetime.now(UTC) + timedelta(seconds=AHEAD_SECONDS)
            author.write(number, at, change=change)
            while True:
                # Both lists: the priority of a job decides in which its message lies.
                popped = client.brpop(installation.queues, timeout=TIMEOUT_SECONDS)
                came_at = time.time()
                if popped is None:
                    raise RuntimeError("no message came")
                # Nobody works here: messages of earlier trials are sent again after a while.
                if author.is_of(number, json.loads(popped[1])["headers"]["id"]):
                    break
            late.append((came_at - at.timestamp()) * 1000)
            # Not in step with the scheduler's own second.
            time.sleep(0.07 * (number % 10))
        return late


class _Author:
    """Somebody who writes jobs: as the web process does, row first, then the entry."""

    def __init__(self, settings: Settings) -> None:
        self._database = Database(settings.effective_database_url)
        self._projection = Projection(settings)
        self._app = make_celery(settings)
        self._app.loader.import_task_module("jobs_app.tasks.builtin.sleep")

    def write(self, number: int, at: datetime, *, change: bool) -> None:
        """Make a job that is due at *at*; with *change*, make it hourly first."""
        final = self._definition(number, Schedule(at=at))
        first = self._definition(number, Schedule(cron="0 * * * *")) if change else final
        now = at - timedelta(seconds=AHEAD_SECONDS)
        with self._database.session() as session:
            job = service.create(session, first, app=self._app, by="bench", at=now)
            self._projection.write([job])
            if change:
                job = service.change(
                    session, job, final, version=None, app=self._app, by="bench", at=now
                )
                self._projection.write([job])

    def is_of(self, number: int, run_id: str) -> bool:
        """Tell whether a run is of the job that was written as *number*."""
        name = select(Job.name).join(Run, Run.job_id == Job.id).where(Run.id == UUID(run_id))
        with self._database.reading() as session:
            return session.scalars(name).one() == f"edit-{number}"

    def _definition(self, number: int, schedule: Schedule) -> Definition:
        return Definition(
            name=f"edit-{number}", task="sleep", kwargs={"duration": 0}, schedule=schedule
        )

    def close(self) -> None:
        """Close the connections."""
        self._projection.close()
        self._database.close()


def theirs(servers: Servers, peer: str, trials: int, folder: Path) -> list[float]:
    """Return the same of a peer: `redbeat` or `django`."""
    servers.valkey.flushall()
    environment = {
        "BENCH_REDIS_URL": servers.valkey.url,
        "BENCH_DJANGO_DATABASE": str(folder / "django.db"),
    }
    command = [peers.python(), "-m", "celery", "-A", "stock", "beat", "--pidfile="]
    command += ["--max-interval", str(PEERS_LONGEST_SLEEP), "-l", "WARNING", "-S"]
    if peer == "django":
        _migrate_django(environment)
        command[command.index("stock")] = "dcb"
        command += ["django_celery_beat.schedulers:DatabaseScheduler"]
    else:
        command += ["redbeat.RedBeatScheduler"]
    with peers.process(command, environment, folder / f"{peer}.log"):
        time.sleep(6)
        result = subprocess.run(
            [peers.python(), "edit.py", peer, str(trials), str(TIMEOUT_SECONDS)],
            cwd=peers.FOLDER,
            env=os.environ | environment,
            check=True,
            capture_output=True,
        )
    return [seconds * 1000 for seconds in json.loads(result.stdout)]


def _migrate_django(environment: dict[str, str]) -> None:
    script = "import dcb; from django.core.management import call_command as c; "
    script += "c('migrate', verbosity=0)"
    subprocess.run(
        [peers.python(), "-c", script],
        cwd=peers.FOLDER,
        env=os.environ | environment,
        check=True,
    )


def run(*, quick: bool) -> None:
    """Measure all and print the table."""
    trials, peer_trials = (10, 4) if quick else (40, 15)
    with running() as servers, TemporaryDirectory(prefix="jobs-bench-") as scratch:
        folder = Path(scratch)
        found = {
            "ours on postgresql, new": ours(servers, "postgresql", trials, folder, change=False),
            "ours on postgresql, changed": ours(servers, "postgresql", trials, folder, change=True),
            "ours on sqlite, new": ours(servers, "sqlite", trials, folder, change=False),
            "ours on sqlite, changed": ours(servers, "sqlite", trials, folder, change=True),
            f"redbeat ({PEERS_LONGEST_SLEEP} s), new": theirs(
                servers, "redbeat", peer_trials, folder
            ),
            "django-celery-beat, new": theirs(servers, "django", peer_trials, folder),
        }
    headings = ["who", "trials", "median late", "worst"]
    rows = [
        [name, str(len(late)), f"{report.middle(late):,.0f} ms", f"{max(late):,.0f} ms"]
        for name, late in found.items()
    ]
    print(report.table(headings, rows))
    rounded = {name: [round(value, 1) for value in late] for name, late in found.items()}
    report.save("edit", {"peers": peers.versions(), "late_ms": rounded})
