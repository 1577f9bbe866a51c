"""A whole installation for tests: real scheduler and worker processes on real servers."""

import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import psutil
from sqlalchemy import select

from jobs_app.celery_app import make_celery
from jobs_app.core import clock
from jobs_app.core.settings import Settings
from jobs_app.db.engine import Database
from jobs_app.db.models.jobs import Job
from jobs_app.db.models.processes import SchedulerProcess
from jobs_app.db.models.runs import Run
from jobs_app.jobs import service
from jobs_app.jobs.redbeat_entries import Projection
from jobs_app.jobs.start import TaskStart, start_task
from jobs_app.runs import messages
from jobs_app.up.parent_death import ParentDeathPipe
from tests.factories import definition
from tests.forking import Process, start
from tests.servers import wait_until


@dataclass
class System:
    """Settings, database and Redis of one installation, and the processes that run on them."""

    settings: Settings
    directory: Path
    death_pipe: ParentDeathPipe = field(default_factory=ParentDeathPipe)
    processes: dict[str, Process] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.database = Database(self.settings.effective_database_url)
        self.projection = Projection(self.settings)
        self.app = make_celery(self.settings)
        # As `up` does; a worker makes no key.
        self.app.signer.load(makes_key=True)
        self.app.loader.import_default_modules()

    def start(self, name: str, *arguments: str) -> Process:
        """Start `jobs-app NAME`; a name may carry a number (`scheduler-2`)."""
        return self.spawn(name, "jobs_app", name.partition("-")[0], *arguments)

    def start_ready(self, name: str) -> Process:
        """Start a scheduler or a worker and return once it takes part."""
        process = self.start(name)
        self.wait_until_ready(name)
        return process

    def wait_until_ready(self, name: str) -> None:
        """Return once the process that was started as *name* takes part."""
        process = self.processes[name]
        if name.startswith("scheduler"):
            wait_until(lambda: process.pid in self.schedulers(), f"{name} ticks")
        else:
            wait_until(lambda: " ready." in self.log(name), f"{name} is ready", timeout_seconds=20)

    def spawn(self, name: str, module: str, *arguments: str) -> Process:
        """Start `python -m MODULE ARGUMENTS` as the process *name* of this installation."""
        with (self.directory / f"{name}.log").open("ab") as output:
            process = start(
                module,
                arguments,
                environment=self.surroundings() | self.death_pipe.environment(),
                output=output,
                death_pipe_fd=self.death_pipe.read_fd,
            )
        self.processes[name] = process
        return process

    def surroundings(self) -> dict[str, str]:
        """Return the environment of a process: ours, with the settings of this installation."""
        values = {name: getattr(self.settings, name) for name in self.settings.model_fields_set}
        variables = {f"JOBS_{key.upper()}": str(v) for key, v in values.items() if v is not None}
        addresses = {
            "JOBS_DATA_DIR": str(self.settings.data_dir),
            "JOBS_DATABASE_URL": self.settings.effective_database_url,
            "JOBS_REDIS_URL": self.settings.effective_redis_url,
        }
        return os.environ | variables | addresses | self.environment

    def kill(self, name: str) -> None:
        """kill -9 one process, without its children."""
        process = self.processes.pop(name)
        process.kill()
        process.wait()

    def signal(self, name: str, number: signal.Signals) -> None:
        """Send a signal to one process."""
        self.processes[name].send_signal(number)

    def stop(self) -> None:
        """End every process at once, and close the connections."""
        for process in self.processes.values():
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        self.processes.clear()
        self.death_pipe.close()
        self.projection.close()
        self.database.close()

    def log(self, name: str) -> str:
        """Return what a process has written."""
        return (self.directory / f"{name}.log").read_text(errors="replace")

    def create(self, **fields: Any) -> Job:
        """Create a job and tell Redis, as the API does."""
        with self.database.session() as session:
            job = service.create(
                session, definition(**fields), app=self.app, by="tester", at=clock.now()
            )
        self.projection.write([job])
        return job

    def start_run(self, task: str, **kwargs: Any) -> UUID:
        """Start a task without a job."""
        with self.database.session() as session:
            started = start_task(
                session, TaskStart(task, kwargs), app=self.app, by="tester", at=clock.now()
            )
        if started.message is not None:
            messages.publish(self.app, [started.message])
        return started.run.id

    def schedulers(self) -> dict[int, bool]:
        """Return the schedulers on record by process id, and whether each is active."""
        with self.database.reading() as session:
            rows = session.execute(select(SchedulerProcess.pid, SchedulerProcess.is_active))
            return {row.pid: row.is_active for row in rows}

    def run(self, run_id: UUID) -> Run:
        """Return a run as the database has it now."""
        with self.database.reading() as session:
            return session.get_one(Run, run_id)

    def runs(self, job: Job | None = None) -> list[Run]:
        """Return the runs of *job*, or all, by fire."""
        statement = select(Run).order_by(Run.scheduled_for, Run.id)
        if job is not None:
            statement = statement.where(Run.job_id == job.id)
        with self.database.reading() as session:
            return list(session.scalars(statement))

    def wait_for(
        self, run_id: UUID, claim: Callable[[Run], bool], what: str, *, seconds: float = 20
    ) -> Run:
        """Wait until *claim* holds of a run, and return it."""
        try:
            wait_until(lambda: claim(self.run(run_id)), what, timeout_seconds=seconds)
        except AssertionError as error:
            run = self.run(run_id)
            logs = "\n".join(f"--- {n}\n{self.log(n)[-3000:]}" for n in self.processes)
            raise AssertionError(f"{error}; it is {run.state} {run.reason}\n{logs}") from error
        return self.run(run_id)

    def wait_for_end(self, run_id: UUID, *, seconds: float = 20) -> Run:
        """Wait until a run has finished, and return it."""
        return self.wait_for(
            run_id, lambda run: run.finished_at is not None, "the run ends", seconds=seconds
        )


def since(instant: datetime) -> float:
    """Return the seconds since *instant*."""
    return (clock.now() - instant).total_seconds()


def pause(seconds: float) -> None:
    """Wait in real time, for claims about a span of it."""
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        time.sleep(min(left, 0.1))


def pool_processes_of(worker: Process) -> list[int]:
    """Return the process ids of the pool processes of a worker."""
    main = psutil.Process(worker.pid)
    # Its other child is the process that forks others.
    return [child.pid for child in main.children() if child.cmdline() == main.cmdline()]


def pool_process_of(worker: Process) -> int:
    """Return the process id of the pool process of a worker that has one."""
    [pool_process] = pool_processes_of(worker)
    return pool_process
