"""Edit to effect: a schedule is created, or changed, to be due in one second. How lags is it?

The lag is from the due instant to the message in the broker, with an idle scheduler.
The peers look for changes when they wake up, so their longest sleep decides.
RedBeat's default is 300 s (here 5, as its users set it), django-celery-beat's 5 s.
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
from jobs_app.jobs.document import Definition
from jobs_app.jobs.redbeat_entries import Projection
from jobs_app.schedules.schedule import Schedule

#: A job is due this long after it was written.
DUE_IN_SECONDS = 1.0
OTHER_JOBS = 1_000
TIMEOUT_SECONDS = 15.0
PEERS_LONGEST_SLEEP = 5


def ours(servers: Servers, kind: str, trials: int, folder: Path, *, change: bool) -> list[float]:
    """Return the lag of each of *trials* new (or changed) jobs in milliseconds."""
    servers.valkey.flushall()
    with servers.database(kind) as url, ExitStack() as stack:
        settings = Settings(
            database_url=url, redis_url=servers.valkey.url, redis_prefix="jobs:", data_dir=folder
        )
        installation = Installation(settings, folder / "edit.log")
        installation.fill(OTHER_JOBS)
        installation.make_due(at=datetime.now(UTC) + timedelta(hours=5))
        stack.enter_context(installation.scheduler())
        client = stack.enter_context(Redis.from_url(servers.valkey.url))
        author = _Author(settings)
        stack.callback(author.close)
        lags = []
        for number in range(trials):
            at = datetime.now(UTC) + timedelta(seconds=DUE_IN_SECONDS)
            author.write(number, at, change=change)
            while True:
                # Two lists: the job's priority decides which one gets the message.
                popped = client.brpop(installation.queues, timeout=TIMEOUT_SECONDS)
                received_at = time.time()
                if popped is None:
                    raise RuntimeError("no message came")
                # No worker runs: the janitor sends the messages of earlier trials again.
                if author.is_of(number, json.loads(popped[1])["headers"]["id"]):
                    break
            lags.append((received_at - at.timestamp()) * 1000)
            # Avoid running in step with the scheduler's one-second wake-ups.
            time.sleep(0.07 * (number % 10))
        return lags


class _Author:
    """Writes jobs like the web process: first the row, then the Redis entry."""

    def __init__(self, settings: Settings) -> None:
        self._database = Database(settings.effective_database_url)
        self._projection = Projection(settings)
        self._app = make_celery(settings)
        self._app.loader.import_task_module("jobs_app.tasks.builtin.sleep")

    def write(self, number: int, at: datetime, *, change: bool) -> None:
        """Create a job that is due at *at*; with *change*, create it hourly, then change it."""
        final = self._definition(number, Schedule(at=at))
        first = self._definition(number, Schedule(cron="0 * * * *")) if change else final
        now = at - timedelta(seconds=DUE_IN_SECONDS)
        with self._database.session() as session:
            job = service.create(session, first, app=self._app, by="bench", at=now)
            self._projection.write([job])
            if change:
                job = service.change(
                    session, job, final, version=None, app=self._app, by="bench", at=now
                )
                self._projection.write([job])

    def is_of(self, number: int, run_id: str) -> bool:
        """Return whether the run belongs to the job that was written as *number*."""
        name = select(Job.name).join(Run, Run.job_id == Job.id).where(Run.id == UUID(run_id))
        with self._database.reading() as session:
            return session.scalars(name).one() == f"edit-{number}"

    def _definition(self, number: int, schedule: Schedule) -> Definition:
        return Definition(
            name=f"edit-{number}", task="sleep", kwargs={"duration": 0}, schedule=schedule
        )

    def close(self) -> None:
        """Close the connections to Redis and the database."""
        self._projection.close()
        self._database.close()


def theirs(servers: Servers, peer: str, trials: int, folder: Path) -> list[float]:
    """Return the lags of a peer, `redbeat` or `django`, in milliseconds."""
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
        completed = subprocess.run(
            [peers.python(), "edit.py", peer, str(trials), str(TIMEOUT_SECONDS)],
            cwd=peers.FOLDER,
            env=os.environ | environment,
            check=True,
            capture_output=True,
        )
    return [seconds * 1000 for seconds in json.loads(completed.stdout)]


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
        results = {
            "ours on postgresql, new": ours(servers, "postgresql", trials, folder, change=False),
            "ours on postgresql, changed": ours(servers, "postgresql", trials, folder, change=True),
            "ours on sqlite, new": ours(servers, "sqlite", trials, folder, change=False),
            "ours on sqlite, changed": ours(servers, "sqlite", trials, folder, change=True),
            f"redbeat ({PEERS_LONGEST_SLEEP} s), new": theirs(
                servers, "redbeat", peer_trials, folder
            ),
            "django-celery-beat, new": theirs(servers, "django", peer_trials, folder),
        }
    headings = ["system", "trials", "median lag", "worst"]
    rows = [
        [name, str(len(lags)), f"{report.median(lags):,.0f} ms", f"{max(lags):,.0f} ms"]
        for name, lags in results.items()
    ]
    print(report.table(headings, rows))
    rounded = {name: [round(value, 1) for value in lags] for name, lags in results.items()}
    report.save("edit", {"peers": peers.versions(), "lag_ms": rounded})
