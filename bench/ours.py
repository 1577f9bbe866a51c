"""jobs-app as a benchmark runs it: many jobs, and the scheduler as a process."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import func, insert, select, update

from jobs_app.core.settings import Settings
from jobs_app.db.engine import Database
from jobs_app.db.models.jobs import Job
from jobs_app.db.models.processes import SchedulerProcess
from jobs_app.db.models.runs import Run
from jobs_app.jobs.redbeat_entries import Projection

#: What the jobs of a benchmark look like: mixed, most of them cron, all of them hourly or less.
SCHEDULES: tuple[dict[str, Any], ...] = (
    {"cron": "0 * * * *", "timezone": "UTC"},
    {"cron": "30 2 * * 1-5", "timezone": "Europe/Paris"},
    {"cron": "*/15 * * * *", "timezone": "America/New_York"},
    {"cron": "0 6 * * *", "timezone": "Asia/Tokyo"},
    {"interval_seconds": 3600, "anchor_at": datetime(2026, 1, 1, tzinfo=UTC)},
)
#: A burst is preceded by a small one: nobody measures the first second of a process's life.
WARM_SECONDS = 4
PRIORITY_SUFFIX = "\x06\x163"


@dataclass(frozen=True)
class Running:
    """A scheduler process, and how long after its start its first tick was done, seconds."""

    pid: int
    ready_seconds: float


@dataclass(frozen=True)
class Installation:
    """One installation: its settings, and how its scheduler is started."""

    settings: Settings
    log: Path

    @property
    def queues(self) -> list[str]:
        """The keys in which its messages lie."""
        return [f"{self.settings.redis_prefix}default{end}" for end in ("", PRIORITY_SUFFIX)]

    def fill(self, count: int, *, every_seconds: int | None = None) -> None:
        """Insert *count* jobs, none of them due so far: mixed, or all with one interval."""
        now = datetime.now(UTC)
        columns = {"anchor_at": None, "interval_seconds": None, "cron": None, "timezone": "UTC"}
        common: dict[str, Any] = {
            "task": "shell",
            "kwargs": {"command": "python report.py --all"},
            "retry": {"max_attempts": 3, "delay_seconds": 30, "backoff": "exponential"},
            "created_at": now,
            "updated_at": now,
        }
        schedules = SCHEDULES
        if every_seconds is not None:
            schedules = ({"interval_seconds": every_seconds},)
        database = Database(self.settings.effective_database_url)
        with database.session() as session:
            for start in range(0, count, 5000):
                rows = [
                    common
                    | columns
                    | schedules[number % len(schedules)]
                    | {"name": f"job-{number}"}
                    for number in range(start, min(start + 5000, count))
                ]
                session.execute(insert(Job), rows)
            session.commit()
        database.close()

    def make_due(self, *, at: datetime, seconds: int = 1, warm_up: int = 0) -> None:
        """Make all jobs due at *at*, or one share of them in each of so many *seconds*.

        The first *warm_up* of them are due WARM_SECONDS before that.
        """
        database = Database(self.settings.effective_database_url)
        with database.session() as session:
            shares = [
                (Job.id % seconds == second, at + timedelta(seconds=second))
                for second in range(seconds)
            ]
            if warm_up:
                shares.append((Job.id <= warm_up, at - timedelta(seconds=WARM_SECONDS)))
            for share, fire in shares:
                values = {"next_fire_at": fire, "next_due_at": fire}
                if seconds > 1:
                    values["anchor_at"] = fire
                mine = update(Job).where(share).values(values)
                session.execute(mine.execution_options(synchronize_session=False))
            session.commit()
            if session.get_bind().dialect.name == "postgresql":
                session.connection().exec_driver_sql("ANALYZE")
                session.commit()
        self._project(database)
        database.close()

    def _project(self, database: Database) -> None:
        projection, last = Projection(self.settings), 0
        with database.session() as session:
            while jobs := list(
                session.scalars(select(Job).where(Job.id > last).order_by(Job.id).limit(5000))
            ):
                projection.rebuild(jobs)
                last = jobs[-1].id
                session.expunge_all()
        projection.close()

    @contextmanager
    def scheduler(self) -> Iterator["Running"]:
        """Run the scheduler, and lend it when its first tick is done."""
        environment = os.environ | {
            "JOBS_DATABASE_URL": self.settings.effective_database_url,
            "JOBS_REDIS_URL": str(self.settings.redis_url),
            "JOBS_LOG_LEVEL": "WARNING",
        }
        started = time.monotonic()
        with self.log.open("ab") as output:
            child = subprocess.Popen(
                [sys.executable, "-m", "jobs_app", "scheduler"],
                env=environment,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
            try:
                self._wait_until_active()
                yield Running(child.pid, time.monotonic() - started)
            finally:
                child.kill()
                child.wait()

    def _wait_until_active(self) -> None:
        database = Database(self.settings.effective_database_url)
        active = select(func.count()).where(SchedulerProcess.is_active)
        deadline = time.monotonic() + 30
        while True:
            with database.reading() as session:
                if session.scalar(active):
                    break
            if time.monotonic() > deadline:
                raise RuntimeError(
                    f"no active scheduler within 30 s: {self.log.read_text()[-2000:]}"
                )
            time.sleep(0.02)
        database.close()

    def recorded(self, *, at: datetime) -> tuple[int, int]:
        """Return how many runs of the fire *at* are on record, and how many jobs moved on."""
        database = Database(self.settings.effective_database_url)
        with database.reading() as session:
            runs = session.scalar(select(func.count()).where(Run.scheduled_for == at)) or 0
            moved = session.scalar(select(func.count()).where(Job.next_fire_at > at)) or 0
        database.close()
        return runs, moved
