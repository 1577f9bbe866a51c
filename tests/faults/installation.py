"""An installation to be damaged: its processes can be made to die, and its history is judged."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import psutil
from sqlalchemy import text

from jobs_app.core import clock
from jobs_app.core.states import OverlapPolicy, RunState
from jobs_app.db.models.jobs import Job
from jobs_app.db.models.runs import Run
from jobs_app.runs.retry import RetryPolicy
from tests.faults.checker import (
    FINAL,
    ON_TIME_SECONDS,
    Effect,
    Fault,
    Owed,
    Row,
    Verdict,
    check,
    interval_fires,
    read_effects,
    recording_command,
)
from tests.forking import Process
from tests.integration.system import System
from tests.servers import crowding, wait_until

#: An attempt that is lost is tried again at once, as often as the tests kill.
AGAIN = RetryPolicy(max_attempts=4, delay_seconds=0, jitter=False)


@dataclass
class Installation(System):
    """A system whose jobs leave traces outside of it, and the judgement of them.

    `faults` are the disturbances so far; a check excuses what they explain.
    """

    faults: list[Fault] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.effects_file = self.directory / "effects"
        self.crash_points = self.directory / "crash_points"
        self.crash_points.mkdir(exist_ok=True)

    def start_crashing(self, name: str, crash_points: str, *, whom: str = "self") -> Process:
        """Start a process that dies at *crash_points*: `STEP:NUMBER` (see crash_points.py)."""
        command = name.partition("-")[0]
        return self.spawn(
            name, "tests.faults.crash_points", str(self.crash_points), whom, crash_points, command
        )

    def was_reached(self, step: str) -> bool:
        """Tell whether a process has died at *step*."""
        return (self.crash_points / f"{step}.reached").exists()

    def freeze_at(self, step: str, name: str) -> list[psutil.Process]:
        """Freeze a process that was started to wait at *step* (see crash_points.py).

        Thawed, it goes on from there.
        """
        wait_until(lambda: self.was_reached(step), f"{name} is at {step}")
        frozen = self.freeze(name)
        (self.crash_points / f"{step}.released").touch()
        return frozen

    def record(self, *, seconds: float = 0.0, **given: Any) -> Job:
        """Create a shell job that records what it does; it runs for *seconds* or a bit longer."""
        given.setdefault("interval_seconds", 1)
        given.setdefault("overlap_policy", OverlapPolicy.ALLOW_ALL)
        given.setdefault("retry", AGAIN)
        command = recording_command(self.effects_file, seconds=seconds)
        return self.create(task="shell", kwargs={"command": command}, **given)

    def effects(self) -> list[Effect]:
        """Return what the jobs wrote so far."""
        return read_effects(self.effects_file)

    @contextmanager
    def fault(
        self, name: str, *, recovery_seconds: float, excuses: Sequence[str] = ()
    ) -> Iterator[None]:
        """Note a disturbance that lasts as long as the block."""
        began_at = clock.now()
        yield
        over = (began_at, clock.now(), recovery_seconds * crowding(), frozenset(excuses))
        self.faults.append(Fault(name, *over))

    def freeze(self, name: str, *, with_jobs: bool = False) -> list[psutil.Process]:
        """Stop a process and its pool with SIGSTOP, and the jobs under it if they are meant too.

        None of them is in the middle of a write: see `between_writes`.
        """
        main = psutil.Process(self.processes[name].pid)
        everybody = [main, *main.children(recursive=True)]
        group = self.processes[name].pid
        frozen = [each for each in everybody if with_jobs or _group(each) == group]
        with self.between_writes():
            for process in frozen:
                # A command may end just now.
                with suppress(psutil.NoSuchProcess):
                    process.suspend()
            wait_until(lambda: all(map(_is_stopped, frozen)), f"{name} stands still")
        return frozen

    @contextmanager
    def between_writes(self) -> Iterator[None]:
        """Hold SQLite's write lock for the length of the block, so that nobody else has it.

        SQLite cannot take it away from a process that is frozen with it: whoever wants to
        write, to take over or to notice the freeze, would wait until it goes on or dies.
        PostgreSQL locks rows, and ends such a transaction by itself.
        """
        if self.database.engine.dialect.name != "sqlite":
            yield
            return
        with self.database.session() as session:
            session.execute(text("SELECT 1"))
            yield

    def thaw(self, frozen: Sequence[psutil.Process]) -> None:
        """Let frozen processes go on; some may be dead by now."""
        for process in frozen:
            with suppress(psutil.NoSuchProcess):
                process.resume()

    def verdict(self, *jobs: Job, settle_seconds: float = 30.0, **options: Any) -> Verdict:
        """Stop the clock of *jobs*, wait until all they owe has ended, and judge it."""
        until = self.settle(*jobs, seconds=settle_seconds)
        rows = [row for job in jobs for row in map(as_row, self.runs(job))]
        owed = [self.owed(job, until) for job in jobs]
        options["on_time_seconds"] = options.get("on_time_seconds", ON_TIME_SECONDS) * crowding()
        return check(owed, rows, self.effects(), faults=self.faults, **options)

    def assert_right(self, *jobs: Job, **options: Any) -> Verdict:
        """Judge the history of *jobs* and fail with the counterexamples if there are any."""
        verdict = self.verdict(*jobs, **options)
        assert verdict.owed > 0, "nothing was owed: the test proves nothing"
        assert not verdict.findings, f"{verdict}\n{self.logs()}"
        return verdict

    def settle(self, *jobs: Job, seconds: float) -> datetime:
        """Wait until every fire up to now is on record and has ended; return that instant."""
        until = clock.now()
        with suppress(AssertionError):
            # What is still open then is the checker's to tell.
            wait_until(
                lambda: all(self._is_settled(job, until) for job in jobs),
                "the jobs settle",
                timeout_seconds=seconds,
            )
        return until

    def _is_settled(self, job: Job, until: datetime) -> bool:
        found = [run for run in self.runs(job) if run.scheduled_for and run.scheduled_for <= until]
        recorded = {run.scheduled_for for run in found}
        return recorded.issuperset(self.owed(job, until).fires) and all(
            run.state in FINAL for run in found
        )

    def owed(self, job: Job, until: datetime) -> Owed:
        """Return what an interval job owes from its creation to *until*."""
        assert job.interval_seconds is not None
        assert job.anchor_at is not None
        fires = interval_fires(
            job.anchor_at, job.interval_seconds, after=job.created_at, until=until
        )
        return Owed(
            job.id,
            job.name,
            fires,
            max_attempts=int(job.retry.get("max_attempts", 1)),
            is_exclusive=job.overlap_policy is not OverlapPolicy.ALLOW_ALL,
            key=job.concurrency_key if job.concurrency_limit == 1 else None,
        )

    def logs(self) -> str:
        """Return the ends of all logs, for a failure's message."""
        return "\n".join(
            f"--- {file.name}\n{file.read_text(errors='replace')[-2500:]}"
            for file in sorted(self.directory.glob("*.log"))
        )

    def succeeded(self, job: Job) -> int:
        """Return how many runs of *job* have succeeded."""
        return sum(run.state is RunState.SUCCEEDED for run in self.runs(job))

    def wait_for_runs(self, job: Job, more: int, *, seconds: float = 20.0) -> None:
        """Return once *more* further runs of *job* have succeeded."""
        goal = self.succeeded(job) + more
        try:
            wait_until(
                lambda: self.succeeded(job) >= goal,
                f"{more} more runs succeed",
                timeout_seconds=seconds,
            )
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.logs()}") from error


def as_row(run: Run) -> Row:
    """Return a run as the checker knows it."""
    return Row(
        str(run.id),
        run.job_id,
        run.scheduled_for,
        str(run.state),
        run.attempt,
        run.reason,
        run.finished_at,
        run.fires,
    )


def _is_stopped(process: psutil.Process) -> bool:
    """Whether a process stands still for good: it was stopped, or it has ended."""
    try:
        return process.status() in (psutil.STATUS_STOPPED, psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True


def _group(process: psutil.Process) -> int | None:
    try:
        return os.getpgid(process.pid)
    except ProcessLookupError:
        return None
