"""A jobs-app installation for a benchmark: many jobs, and the scheduler as a process."""

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

from sqlalchemy import ColumnElement, Integer, column, func, insert, select, true, update, values
from sqlalchemy.orm import Session

from jobs_app.core.settings import Settings
from jobs_app.db.columns import UTCDateTime
from jobs_app.db.engine import Database
from jobs_app.db.models.jobs import Job
from jobs_app.db.models.processes import SchedulerProcess
from jobs_app.db.models.runs import Run
from jobs_app.jobs.redbeat_entries import Projection

#: The schedules of the jobs: mixed, most of them cron, at most four fires an hour.
SCHEDULES: tuple[dict[str, Any], ...] = (
    {"cron": "0 * * * *", "timezone": "UTC"},
    {"cron": "30 2 * * 1-5", "timezone": "Europe/Paris"},
    {"cron": "*/15 * * * *", "timezone": "America/New_York"},
    {"cron": "0 6 * * *", "timezone": "Asia/Tokyo"},
    {"interval_seconds": 3600, "anchor_at": datetime(2026, 1, 1, tzinfo=UTC)},
)
#: A small burst comes this long before the measured one, so that the process is warm; seconds.
WARM_SECONDS = 4
PRIORITY_SUFFIX = "\x06\x163"


@dataclass(frozen=True)
class SchedulerChild:
    """A scheduler process, and the seconds from its start to the end of its first tick."""

    pid: int
    ready_seconds: float


@dataclass(frozen=True)
class Installation:
    """One installation: its settings, and the log file of its scheduler."""

    settings: Settings
    log: Path

    @property
    def queues(self) -> list[str]:
        """The Redis keys of its messages: one list per priority."""
        return [f"{self.settings.redis_prefix}default{end}" for end in ("", PRIORITY_SUFFIX)]

    def fill(self, count: int, *, every_seconds: int | None = None) -> None:
        """Insert *count* jobs that are not due yet: mixed, or all with one interval."""
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
        """Make all jobs due at *at*, or an equal share of them in each of *seconds* seconds.

        The first *warm_up* jobs are due WARM_SECONDS earlier.
        """
        database = Database(self.settings.effective_database_url)
        with database.session() as session:
            self._spread(session, at=at, seconds=seconds)
            if warm_up:
                self._set_fire(session, Job.id <= warm_up, at - timedelta(seconds=WARM_SECONDS))
            session.commit()
            if session.get_bind().dialect.name == "postgresql":
                session.connection().exec_driver_sql("ANALYZE")
                session.commit()
        self._project(database)
        database.close()

    def _spread(self, session: Session, *, at: datetime, seconds: int) -> None:
        if seconds == 1:
            self._set_fire(session, true(), at)
            return
        # One statement: one for each second would read all jobs each time.
        rows = [(second, at + timedelta(seconds=second)) for second in range(seconds)]
        columns = (column("second", Integer), column("fire", UTCDateTime))
        shares = values(*columns).data(rows).cte("shares")
        self._set_fire(
            session, Job.id % seconds == shares.c.second, shares.c.fire, moves_anchor=True
        )

    def _set_fire(
        self,
        session: Session,
        condition: ColumnElement[bool],
        fire: Any,
        *,
        moves_anchor: bool = False,
    ) -> None:
        changes = {"next_fire_at": fire, "next_due_at": fire}
        if moves_anchor:
            changes["anchor_at"] = fire
        statement = update(Job).where(condition).values(changes)
        session.execute(statement.execution_options(synchronize_session=False))

    def _project(self, database: Database) -> None:
        projection, last_id = Projection(self.settings), 0
        with database.session() as session:
            while jobs := list(
                session.scalars(select(Job).where(Job.id > last_id).order_by(Job.id).limit(5000))
            ):
                projection.rebuild(jobs)
                last_id = jobs[-1].id
                session.expunge_all()
        projection.close()

    @contextmanager
    def scheduler(self) -> Iterator[SchedulerChild]:
        """Run the scheduler, and yield it after its first tick."""
        environment = os.environ | {
            "JOBS_DATABASE_URL": self.settings.effective_database_url,
            "JOBS_REDIS_URL": str(self.settings.redis_url),
            "JOBS_LOG_LEVEL": "WARNING",
        }
        started = time.monotonic()
        with self.log.open("ab") as output:
            child = subprocess.Popen(
                [sys.executable, "-P", "-m", "jobs_app", "scheduler"],
                env=environment,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
            try:
                self._wait_until_active()
                yield SchedulerChild(child.pid, time.monotonic() - started)
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
        """Return the number of runs recorded for the fire *at*, and of jobs advanced beyond it."""
        database = Database(self.settings.effective_database_url)
        with database.reading() as session:
            runs = session.scalar(select(func.count()).where(Run.scheduled_for == at)) or 0
            advanced = session.scalar(select(func.count()).where(Job.next_fire_at > at)) or 0
        database.close()
        return runs, advanced
