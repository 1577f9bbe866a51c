"""The rules that hold after every commit, checked without the code under test.

The rows before and after a commit are compared: invariants 2, 4, 5 and 6 of the design
are rules on the difference. The checker also keeps what the actors did with the runs.
"""

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any, NamedTuple, Protocol
from uuid import UUID

from jobs_app.core.states import ACTIVE, FINAL, RunState
from jobs_app.runs.fires import ERROR_PAUSE_SECONDS
from jobs_app.schedules import schedule_json
from jobs_app.schedules import union as schedules
from jobs_app.schedules.schedule import Schedule
from jobs_app.schedules.union import AnySchedule, Schedules
from tests.simulation.stage import Actor, Operation, Process, Violation

_TICK = timedelta(microseconds=1)
PAUSE = timedelta(seconds=ERROR_PAUSE_SECONDS)

FAILURES = (RunState.FAILED, RunState.TIMED_OUT, RunState.LOST)

#: Looks after which a worker has ended a stalled run: a heartbeat looks every five
#: seconds, and a run without work for fifteen seconds is lost.
MOST_LOOKS = 5

#: Fires that one advance can be checked for; simulations make no more.
MOST_FIRES = 5_000


class RunRow(NamedTuple):
    """The columns of a run that the rules need."""

    id: UUID
    job_id: int | None
    scheduled_for: datetime | None
    state: RunState
    trigger: str
    reason: str | None
    fires: int
    attempt: int
    max_attempts: int
    worker_id: UUID | None
    is_exclusive: bool
    result: Any
    queued_at: datetime | None
    finished_at: datetime | None
    cancel_mode: str | None
    concurrency_key: str | None
    concurrency_limit: int | None
    concurrency_slot: int | None
    not_before: datetime | None
    send_at: datetime | None
    progress: Any


class JobRow(NamedTuple):
    """The columns of a job that the rules need."""

    id: int
    name: str
    state: str
    version: int
    next_fire_at: datetime | None
    next_due_at: datetime | None
    scheduling_error: str | None
    updated_at: datetime
    paused_at: datetime | None
    paused_until: datetime | None
    deleted_at: datetime | None
    max_runs: int | None
    cron: str | None
    interval_seconds: int | None
    anchor_at: datetime | None
    at: datetime | None
    timezone: str
    start_at: datetime | None
    end_at: datetime | None
    jitter_seconds: int
    more_schedules: str | None
    failures_in_a_row: int
    pause_after_failures: int | None

    def schedule(self) -> AnySchedule:
        """Return the job's schedule, or its several ones as one."""
        first = Schedule(
            cron=self.cron,
            interval_seconds=self.interval_seconds,
            anchor_at=self.anchor_at,
            at=self.at,
            timezone=self.timezone,
            start_at=self.start_at,
            end_at=self.end_at,
            jitter_seconds=self.jitter_seconds,
            seed=self.name,
        )
        if self.more_schedules is None:
            return first
        return Schedules((first, *schedule_json.schedules_in(self.more_schedules, self.name)))


class WorkerRow(NamedTuple):
    """The columns of a worker that the rules need."""

    id: UUID
    beats: int
    gone_at: Any


class AttemptRow(NamedTuple):
    """The columns that the rules need of an attempt that ended while its run went on."""

    run_id: UUID
    attempt: int
    state: str
    note: Any


@dataclass
class Effect:
    """A task at work: it lives until it ends, or until its lease ends."""

    run: RunRow
    attempt: int
    process: Process
    lease_until: Callable[[], float]
    is_over: bool = False

    def is_alive(self, now: float) -> bool:
        """Tell whether the task still works: the process around it ends it with the lease."""
        return not self.is_over and not self.process.is_dead and now < self.lease_until()


class Holder(Protocol):
    """The process of a worker that has claimed an attempt."""

    @property
    def is_gone(self) -> bool:
        """Whether it will never write the outcome of the attempt."""


class Checker:
    """Compares the rows after each commit with those before it; raises Violation."""

    def __init__(self, rows: Callable[[str], list[tuple[Any, ...]]]) -> None:
        self._rows = rows
        self._raw: dict[str, list[tuple[Any, ...]]] = {}
        self._parsed: dict[tuple[Any, ...], tuple[tuple[Any, ...], Any]] = {}
        self.runs: dict[UUID, RunRow] = {}
        self.jobs: dict[int, JobRow] = {}
        self.workers: dict[UUID, WorkerRow] = {}
        self.attempts: dict[tuple[UUID, int], AttemptRow] = {}
        self.starts: Counter[tuple[UUID, int]] = Counter()
        self.effects: list[Effect] = []
        self._commits = 0
        #: The commit at which the latest run of each job ended.
        self._ended: dict[int | None, int] = {}
        #: The commit at which a slot of each concurrency key was last freed.
        self._left: dict[str, int] = {}
        self._may_work: dict[UUID, Callable[[], bool]] = {}
        #: The commit at which somebody asked for the end of a run.
        self._asked: dict[UUID, int] = {}
        #: The process that claimed each running attempt and has not ended it yet.
        self._holders: dict[tuple[UUID, int], Holder] = {}
        #: How often in a row a worker has seen an attempt that it does not work on.
        self._looks: dict[UUID, dict[tuple[UUID, int], int]] = {}
        #: Runs whose messages the broker did not take: they are sent again in any state.
        self.unsent: set[UUID] = set()

    def is_on_record(self, run_id: UUID, attempt: int) -> bool:
        """Tell whether a message for this attempt may exist."""
        run = self.runs.get(run_id)
        if run is None or run.state is RunState.WAITING:
            return False
        return attempt <= run.attempt

    def is_unwanted(self, run_id: UUID, attempt: int) -> bool:
        """Tell whether an attempt that works is to end: cancelled, given up, or deleted."""
        run = self.runs.get(run_id)
        is_current = run is not None and (run.attempt, run.state) == (attempt, RunState.RUNNING)
        return run is None or not is_current or run.cancel_mode is not None

    def adopted(self, worker_id: UUID, may_work: Callable[[], bool]) -> None:
        """Note the worker with an id, and the check whether it may still work."""
        # The worker before has been given up, so it may not work.
        self._may_work[worker_id] = may_work

    def count_start(self, run_id: UUID, attempt: int) -> None:
        """Count the claim of an attempt: it must be the first one."""
        self.starts[run_id, attempt] += 1
        _hold(
            self.starts[run_id, attempt] == 1,
            f"attempt {attempt} of run {short(run_id)} is started twice",
        )

    def owns(self, holder: Holder, attempt: tuple[UUID, int]) -> None:
        """Note the process that has claimed an attempt, and must write its outcome."""
        self._holders[attempt] = holder

    def leave(self, attempt: tuple[UUID, int]) -> None:
        """Note that the process that claimed an attempt is gone."""
        self._holders.pop(attempt, None)

    def expect_end(self, attempt: tuple[UUID, int]) -> None:
        """Check that the outcome of an attempt is on record: its worker has just written it."""
        run = self.runs.get(attempt[0])
        is_left = run is not None and (run.attempt, run.state) == (attempt[1], RunState.RUNNING)
        _hold(not is_left, f"run {short(attempt[0])} has ended, and is running on record")

    def count_look(self, worker_id: UUID, in_hand: set[tuple[UUID, int]]) -> None:
        """Note a look of a worker at its running runs; *in_hand* are the attempts it works on.

        A run that it neither works on nor ends may stay for a few looks that reach
        the database, and no longer: no run stays running for ever.
        """
        running = {
            (run.id, run.attempt)
            for run in self.runs.values()
            if run.state is RunState.RUNNING and run.worker_id == worker_id
        }
        looks = self._looks.get(worker_id, {})
        self._looks[worker_id] = {key: looks.get(key, 0) + 1 for key in running - in_hand}
        for (run_id, _), count in self._looks[worker_id].items():
            _hold(count <= MOST_LOOKS, f"run {short(run_id)} is running, and nobody works on it")

    def begin(self, effect: Effect, now: float) -> None:
        """Check the start of a task: no other one of its run or exclusive job may be at work.

        With a concurrency key, fewer others than the widest of their limits may be at work.
        """
        run = effect.run
        if run.concurrency_key is not None:
            mates = [
                other.run.concurrency_limit or 0
                for other in self.effects
                if other.run.concurrency_key == run.concurrency_key and other.is_alive(now)
            ]
            _hold(
                len(mates) < max(*mates, run.concurrency_limit or 0, 0),
                f"run {short(run.id)} works beside {len(mates)} others with its key",
            )
        for other in self.effects:
            is_same_job = run.job_id is not None and other.run.job_id == run.job_id
            is_rival = other.run.id == run.id or (
                is_same_job and other.run.is_exclusive and run.is_exclusive
            )
            if is_rival and other.is_alive(now):
                raise Violation(
                    f"attempt {effect.attempt} of run {short(run.id)} works beside "
                    f"attempt {other.attempt} of run {short(other.run.id)}"
                )
        self.effects.append(effect)

    def check(self, actor: Actor, touched: frozenset[str]) -> None:
        """Check what *actor* has just committed to the tables that it has *touched*."""
        self._commits += 1
        old_runs, old_jobs, old_attempts = self.runs, self.jobs, self.attempts
        old_workers = self.workers
        if self._read("workers", WorkerRow, touched):
            self.workers = {worker.id: worker for worker in self._all("workers", _worker)}
            self._check_workers(actor.operation, old_workers)
        has_other_attempts = self._read("run_attempts", AttemptRow, touched)
        if has_other_attempts:
            every = self._all("run_attempts", _attempt)
            self.attempts = {(row.run_id, row.attempt): row for row in every}
        has_other_runs = self._read("runs", RunRow, touched)
        if self._read("jobs", JobRow, touched) or has_other_runs:
            self.runs = {run.id: run for run in self._all("runs", _run)}
            self.jobs = {job.id: job for job in self._all("jobs", _job)}
            self._check_change_of_rows(actor, old_runs, old_jobs)
        if has_other_attempts:
            self._check_attempts(actor.operation, old_attempts)

    def _read(self, table: str, row: type[NamedTuple], touched: frozenset[str]) -> bool:
        """Read a table if it was touched; tell whether it has changed."""
        if table not in touched:
            return False
        key = ", ".join(row._fields[:2]) if table == "run_attempts" else "id"
        raw = self._rows(f"SELECT {', '.join(row._fields)} FROM {table} ORDER BY {key}")
        before = self._raw.get(table, [])
        self._raw[table] = raw
        return raw != before

    def _all(self, table: str, parse: Callable[[tuple[Any, ...]], Any]) -> list[Any]:
        """Return the rows of a table, of which only those that changed are parsed anew."""
        parsed = []
        for raw in self._raw.get(table, []):
            key = (table, *raw[:2])
            known = self._parsed.get(key)
            if known is None or known[0] != raw:
                known = self._parsed[key] = (raw, parse(raw))
            parsed.append(known[1])
        return parsed

    def _check_change_of_rows(
        self, actor: Actor, old_runs: dict[UUID, RunRow], old_jobs: dict[int, JobRow]
    ) -> None:
        operation = actor.operation
        self._check_uniqueness()
        moved = self._moved(old_runs)
        for old, run in moved:
            _check_move(old, run)
            _check_row(run)
            if run.state in FINAL:
                self._ended[run.job_id] = self._commits
            if old.state is RunState.RUNNING and run.state is not old.state:
                self._left[run.concurrency_key or ""] = self._commits
            if run.progress != old.progress and run.progress is not None:
                key = (run.id, run.attempt)
                is_own = key in (operation.tells, operation.ends)
                _hold(is_own, f"run {short(run.id)} makes the progress of another one")
            if run.cancel_mode != old.cancel_mode:
                self._asked.setdefault(run.id, self._commits)
            self._check_right(actor, old, run, old_jobs)
            self._check_retry(old, run, old_jobs)
            if (old.state, run.state) == (RunState.WAITING, RunState.QUEUED):
                self._check_promoted(run)
            if old.state is run.state is RunState.QUEUED and run.concurrency_key is not None:
                self._check_parking(actor, old, run)
        new = [run for run_id, run in self.runs.items() if run_id not in old_runs]
        for run in new:
            _check_new_run(run)
            _check_row(run)
            self._check_overlap_of_new_run(actor, run, old_runs)
        touched_jobs = {run.job_id for _, run in moved}
        for job_id, job in self.jobs.items():
            if job != old_jobs.get(job_id):
                _check_due(old_jobs.get(job_id), job)
            # A job that should have counted an outcome, and did not, is unchanged.
            if job != old_jobs.get(job_id) or job_id in touched_jobs:
                self._check_failures(operation, old_jobs.get(job_id), job, moved)
            self._check_job(old_jobs.get(job_id), job, new)

    def _check_attempts(
        self, operation: Operation, old_attempts: dict[tuple[UUID, int], AttemptRow]
    ) -> None:
        """Check that an attempt's row is written once, and that only its worker adds a note."""
        for key, attempt in self.attempts.items():
            name = f"attempt {attempt.attempt} of run {short(attempt.run_id)}"
            old = old_attempts.get(key)
            if old is None:
                run = self.runs[attempt.run_id]
                is_over = run.state is RunState.RETRYING
                # The last attempt gets a row when its worker comes back with something to note.
                late = _state_in(attempt.note)
                is_late = run.state in FINAL and late not in (None, run.state)
                is_late = is_late and operation.ends == key
                is_right = run.attempt == attempt.attempt and (is_over or is_late)
                _hold(is_right, f"{name} is put on record while the run is at {run}")
                _hold(is_late or attempt.note is None, f"{name} has a note from the first")
            elif attempt != old:
                is_note = old._replace(note=attempt.note) == attempt
                _hold(is_note and operation.ends == key, f"{name} is changed: {old} -> {attempt}")
                is_news = _state_in(attempt.note) != attempt.state
                _hold(is_news, f"{name} has a note of what is on record already")

    def _check_retry(self, old: RunRow, run: RunRow, old_jobs: dict[int, JobRow]) -> None:
        """Check that exactly those failures are retried that the policy and the job allow."""
        if old.state is not RunState.RUNNING or run.state is old.state:
            return
        name = f"attempt {run.attempt} of run {short(run.id)}"
        job = None if run.job_id is None else old_jobs[run.job_id]
        is_unwanted = old.cancel_mode is not None or (
            job is not None and job.deleted_at is not None
        )
        is_left = run.attempt < run.max_attempts and not is_unwanted
        if run.state is RunState.RETRYING:
            _hold(is_left, f"{name} is to be tried again")
            _hold((run.id, run.attempt) in self.attempts, f"{name} is not on record")
        elif run.state in FAILURES:
            _hold(not is_left, f"{name} is not tried again")

    def _check_promoted(self, run: RunRow) -> None:
        """Check that the oldest waiting run is promoted, and only if no run is active."""
        self._check_place(run)
        older = [
            other
            for other in self.runs.values()
            if other.job_id == run.job_id and other.state is RunState.WAITING and other.id < run.id
        ]
        _hold(not older, f"run {short(run.id)} is let in before {older}")

    def _check_overlap_of_new_run(
        self, actor: Actor, run: RunRow, old_runs: dict[UUID, RunRow]
    ) -> None:
        """Check that a new run starts alone, and waits or is skipped only beside another one."""
        name = f"run {short(run.id)}"
        others = [
            other
            for other in self.runs.values()
            if other.job_id == run.job_id is not None
            and other.id != run.id
            and other.state in (*ACTIVE, RunState.WAITING)
        ]
        if run.state is RunState.QUEUED and run.is_exclusive:
            before = [other for other in others if other.id in old_runs]
            _hold(not before, f"{name} is let in beside, or before, {before}")
        elif run.state is RunState.WAITING or run.reason == "overlap":
            # A run that ended meanwhile was active at the time of the query. So was a run that was
            # inserted and cancelled together with this one: the job is being deleted.
            has_ended = self._ended.get(run.job_id, 0) > actor.began_after or any(
                other.job_id == run.job_id and other.id not in old_runs and other.id != run.id
                for other in self.runs.values()
            )
            _hold(bool(others) or has_ended, f"{name} is {run.state}, and nobody is there")

    def _check_place(self, run: RunRow) -> None:
        others = [
            other
            for other in self.runs.values()
            if other.job_id == run.job_id is not None
            and other.id != run.id
            and other.state in ACTIVE
        ]
        _hold(not others, f"run {short(run.id)} is let in beside {others}")

    def _moved(self, old_runs: dict[UUID, RunRow]) -> list[tuple[RunRow, RunRow]]:
        moved = []
        for run_id, old in old_runs.items():
            run = self.runs.get(run_id)
            if run is None:
                raise Violation(f"run {short(run_id)} is gone from the record")
            if run != old:
                moved.append((old, run))
        return moved

    def _check_workers(self, operation: Operation, old_workers: dict[UUID, WorkerRow]) -> None:
        """Check that a worker that was given up does not work, and never returns with its id."""
        for worker_id, worker in self.workers.items():
            old = old_workers.get(worker_id)
            if old is None or worker == old:
                continue
            name = f"worker {short(worker_id)}"
            _hold(old.gone_at is None, f"{name} is gone, and is changed: {old} -> {worker}")
            is_beat = worker.beats == old.beats or operation.beats == worker_id
            _hold(is_beat, f"{name} beats with the heart of another one")
            if worker.gone_at is not None:
                may_work = self._may_work.get(worker_id, lambda: False)
                _hold(not may_work(), f"{name} is given up while it may work")

    def _check_right(
        self, actor: Actor, old: RunRow, run: RunRow, old_jobs: dict[int, JobRow]
    ) -> None:
        """Check that an actor changes no run that is not part of its operation."""
        operation = actor.operation
        name = f"run {short(run.id)}"
        if run.state is RunState.RUNNING and old.state is RunState.QUEUED:
            worker = self.workers.get(run.worker_id) if run.worker_id else None
            is_alive = worker is not None and worker.gone_at is None
            _hold(is_alive, f"{name} is claimed by a worker that was given up")
            is_named = operation.claims == (run.id, run.attempt)
            _hold(is_named, f"{name} is claimed by a message for another attempt")
            self._check_place_of_key(run)
        if old.state is RunState.RUNNING and run.state is not RunState.RUNNING:
            worker = self.workers.get(old.worker_id) if old.worker_id else None
            is_orphan = worker is not None and worker.gone_at is not None
            may_end = operation.ends == (run.id, old.attempt) or operation.buries or is_orphan
            _hold(may_end, f"{name} is ended by somebody who has no right to: {operation}")
            holder = self._holders.pop((run.id, old.attempt), None)
            is_left = holder is None or holder.is_gone or is_orphan
            _hold(is_left or not operation.buries, f"{name} is buried alive")
            if run.state is RunState.CANCELLED:
                _hold(old.cancel_mode is not None, f"{name} ends though nobody wanted that")
            elif operation.ends is None:
                # A request for the end that comes in the same moment does not count.
                is_asked = self._asked.get(run.id, self._commits) <= actor.began_after
                _hold(not is_asked, f"{name} was to end, and is {run.state}")
        is_cancelled = run.state is RunState.CANCELLED and old.state is not RunState.RUNNING
        if is_cancelled or run.cancel_mode != old.cancel_mode:
            job = None if run.job_id is None else old_jobs.get(run.job_id)
            is_superseded = (
                run.job_id is not None
                and job is not None
                and job.next_fire_at != self.jobs[run.job_id].next_fire_at
            )
            is_meant = operation.cancels == run.id or operation.changes == run.job_id is not None
            _hold(is_meant or is_superseded, f"{name} is cancelled by mistake: {operation}")

    def _check_place_of_key(self, run: RunRow) -> None:
        """Check that a claimed run finds fewer running runs of its key than its limit."""
        if run.concurrency_key is None:
            return
        others = [
            other
            for other in self.runs.values()
            if other.concurrency_key == run.concurrency_key
            and other.state is RunState.RUNNING
            and other.id != run.id
        ]
        _hold(
            len(others) < (run.concurrency_limit or 0),
            f"run {short(run.id)} is claimed beside {len(others)} others with its key,"
            f" the limit is {run.concurrency_limit}",
        )
        _hold(
            all(other.concurrency_slot != run.concurrency_slot for other in others),
            f"run {short(run.id)} has the place of another one",
        )
        _hold(run.concurrency_slot is not None, f"run {short(run.id)} has no slot of its key")

    def _check_parking(self, actor: Actor, old: RunRow, run: RunRow) -> None:
        """Check that a parked run finds no free slot, or others before it."""
        rivals = [
            other
            for other in self.runs.values()
            if other.concurrency_key == run.concurrency_key and other.id != run.id
        ]
        running = sum(other.state is RunState.RUNNING for other in rivals)
        has_room = running < (run.concurrency_limit or 0)
        if old.send_at is not None and run.send_at is None:
            is_first = not any(other.state is RunState.QUEUED for other in rivals)
            # A run that freed its slot meanwhile still had it when this transaction began.
            has_left = self._left.get(run.concurrency_key or "", 0) > actor.began_after
            is_right = not (has_room and is_first) or has_left
            _hold(is_right, f"run {short(run.id)} is parked beside {running} others")
        elif old.send_at is None and run.send_at is not None:
            is_hint = actor.operation.buries or run.id in self.unsent
            _hold(has_room or is_hint, f"run {short(run.id)} is unparked, and finds no slot")

    def _check_failures(
        self,
        operation: Operation,
        old: JobRow | None,
        job: JobRow,
        moved: list[tuple[RunRow, RunRow]],
    ) -> None:
        """Check that each failure in a row counts once, and pauses a job at its limit only."""
        expected = 0 if old is None else old.failures_in_a_row
        for before, run in moved:
            if run.job_id != job.id or before.state is not RunState.RUNNING:
                continue
            if run.state is RunState.SUCCEEDED:
                expected = 0
            elif run.state in FAILURES:
                expected += 1
        if old is not None and (old.state, job.state) == ("paused", "active"):
            expected = 0
        _hold(
            job.failures_in_a_row == expected,
            f"job {job.id} counts {job.failures_in_a_row} failures in a row, not {expected}",
        )
        if old is not None and old.state != "paused" == job.state and operation.changes != job.id:
            limit = job.pause_after_failures
            has_failed = any(
                run.job_id == job.id and run.state in FAILURES and before.state not in FINAL
                for before, run in moved
            )
            is_full = limit is not None and expected >= limit
            is_due = has_failed and is_full and old.state == "active"
            _hold(is_due, f"job {job.id} is paused by mistake")
        counted = [run for before, run in moved if run.job_id == job.id and run.state in FAILURES]
        is_followed = old is not None and old.state == job.state == "active"
        if counted and is_followed and job.deleted_at is None:
            limit, ended_at = job.pause_after_failures, counted[0].finished_at
            has_due = job.next_due_at is not None and ended_at and job.next_due_at <= ended_at
            is_full = limit is not None and expected >= limit
            _hold(bool(has_due) or not is_full, f"job {job.id} fails on and is not paused")
        if old is not None and (old.state, job.state) == ("paused", "paused"):
            _hold(job.paused_at == old.paused_at, f"job {job.id} is paused twice")

    def _check_uniqueness(self) -> None:
        fires = Counter((run.job_id, run.scheduled_for) for run in self.runs.values())
        for (job_id, fire), count in fires.items():
            _hold(fire is None or count == 1, f"job {job_id} has {count} rows for the fire {fire}")
        places = Counter(
            run.job_id
            for run in self.runs.values()
            if run.is_exclusive and run.job_id is not None and run.state in ACTIVE
        )
        for job_id, count in places.items():
            _hold(count == 1, f"the exclusive job {job_id} has {count} active runs")
        names = Counter(job.name for job in self.jobs.values() if job.deleted_at is None)
        for name, count in names.items():
            _hold(count == 1, f"{count} living jobs are called {name}")

    def _check_job(self, old: JobRow | None, job: JobRow, new: list[RunRow]) -> None:
        scheduled = [run for run in new if run.job_id == job.id and run.scheduled_for is not None]
        if old is None:
            _hold(not scheduled, f"job {job.id} fires because it was created")
            _hold(
                job.next_fire_at is None or job.next_fire_at > job.updated_at,
                f"job {job.id} is due from its birth",
            )
        elif old.version != job.version:
            _hold(job.version == old.version + 1, f"job {job.id} skips a version: {job.version}")
            self._check_change(old, job, scheduled)
        elif old.updated_at != job.updated_at:
            raise Violation(f"job {job.id} is changed, and still at version {job.version}")
        elif old.next_fire_at != job.next_fire_at:
            self._check_advance(old, job, scheduled)
        else:
            _hold(not scheduled, f"job {job.id} has new fires on record, but did not advance")

    def _check_advance(self, old: JobRow, job: JobRow, scheduled: list[RunRow]) -> None:
        """Check that the fires between the old and new due time are on record, and no others."""
        first, following = old.next_fire_at, job.next_fire_at
        if first is None:
            raise Violation(f"job {job.id} advances from nowhere to {following}")
        schedule = job.schedule()
        if following is not None:
            _hold(following > first, f"job {job.id} goes back to {following}")
            expected = schedules.next_fire(schedule, after=following - _TICK)
            _hold(expected == following, f"job {job.id} is to fire at {following}, not a fire")
            self._check_covered(job, _fires(schedule, first, following - _TICK), scheduled)
            return
        _hold(job.state == "ended", f"job {job.id} has no next fire and is {job.state}")
        last = max((run.scheduled_for or first for run in scheduled), default=first - _TICK)
        self._check_covered(job, _fires(schedule, first, last), scheduled)
        if job.max_runs is None:
            after = schedules.next_fire(schedule, after=last)
            _hold(after is None, f"job {job.id} has ended, but would fire at {after}")

    def _check_change(self, old: JobRow, job: JobRow, scheduled: list[RunRow]) -> None:
        """Check that fires due before a change are on record, and that the change starts no run."""
        is_over = (old.state, job.state) == ("ended", "paused")
        _hold(not is_over, f"job {job.id} has ended, and is paused")
        changed_at = job.updated_at
        if job.paused_at is not None and old.paused_at is None:
            changed_at = job.paused_at
        if old.paused_until is not None and (old.state, job.state) == ("paused", "active"):
            # However late it is resumed, its fires after that instant are as those of any job.
            changed_at = min(changed_at, old.paused_until)
            following = schedules.next_fire(job.schedule(), after=changed_at)
            is_next = job.next_fire_at == following or changed_at < old.paused_until
            _hold(is_next, f"job {job.id} leaves out fires after its pause")
        due = []
        if old.next_fire_at is not None:
            schedule = old.schedule()
            fires = _fires(schedule, old.next_fire_at, changed_at)
            due = [fire for fire in fires if schedules.due_at(schedule, fire) <= changed_at]
        if job.next_fire_at != old.next_fire_at:
            is_later = job.next_fire_at is None or job.next_fire_at > changed_at
            _hold(is_later, f"job {job.id} is due from its change on")
            is_used_up = old.max_runs is not None
            self._check_covered(job, [] if is_used_up else due, [])
        if (old.state, job.state) != ("paused", "active"):
            invented = [run for run in scheduled if run.scheduled_for not in due]
            _hold(not invented, f"job {job.id} fires because it was changed: {invented}")

    def _check_covered(self, job: JobRow, fires: list[datetime], scheduled: list[RunRow]) -> None:
        known = set(fires)
        invented = [run for run in scheduled if run.scheduled_for not in known]
        _hold(not invented, f"job {job.id} has rows for no fires: {invented}")
        covered: set[datetime] = set()
        for run in self.runs.values():
            if run.job_id == job.id and run.scheduled_for in known:
                at = fires.index(run.scheduled_for)
                covered.update(fires[at : at + run.fires])
        missing = [fire for fire in fires if fire not in covered]
        _hold(not missing, f"job {job.id} has passed fires that are not on record: {missing}")


def _fires(schedule: AnySchedule, first: datetime, until: datetime) -> list[datetime]:
    """Return the fires from *first* to *until*, both included."""
    return list(islice(schedules.fires(schedule, after=first - _TICK, until=until), MOST_FIRES))


def _check_due(old: JobRow | None, job: JobRow) -> None:
    """Check that a job is due at its next fire, or a minute after its plan has failed."""
    name = f"job {job.id}"
    if old is not None and old.deleted_at is not None:
        is_same = old._replace(failures_in_a_row=job.failures_in_a_row) == job
        _hold(is_same, f"{name} was deleted, and is changed: {old} -> {job}")
    schedule = job.schedule()
    due_at = None if job.next_fire_at is None else schedules.due_at(schedule, job.next_fire_at)
    if job.scheduling_error is None or (old is not None and old.version != job.version):
        is_due = job.next_due_at == due_at or (old and old.next_due_at == job.next_due_at)
        _hold(bool(is_due), f"{name} is due at {job.next_due_at}, not at {due_at}")
    elif old is not None and old.next_due_at != job.next_due_at:
        was, until = old.next_due_at, job.next_due_at
        _hold(
            was is not None and until is not None and was <= until - PAUSE,
            f"{name} is put off to {job.next_due_at}, but was due at {old.next_due_at} only",
        )


def _check_row(run: RunRow) -> None:
    """Check that only a queued run has a message to send, and that only a worker reports progress.

    A run has an end if it has ended: the indexes of lists know it by that.
    """
    name = f"run {short(run.id)}"
    _hold(
        (run.finished_at is not None) == (run.state in FINAL),
        f"{name} is {run.state}, its end {run.finished_at}",
    )
    has_message, is_queued = run.send_at is not None, run.state is RunState.QUEUED
    # A parked run has no message.
    is_parked = is_queued and run.concurrency_key is not None and not has_message
    _hold(is_parked or has_message == is_queued, f"{name} is {run.state}, {run.send_at}")
    _hold(
        run.progress is None or run.progress["attempt"] == run.attempt,
        f"{name} is at attempt {run.attempt}, its progress is {run.progress}",
    )


def _check_new_run(run: RunRow) -> None:
    # A change may record a fire and cancel it: the job is deleted, or a newer run wins.
    born = (
        RunState.QUEUED,
        RunState.WAITING,
        RunState.SKIPPED,
        RunState.MISSED,
        RunState.CANCELLED,
    )
    _hold(run.state in born, f"run {short(run.id)} is born {run.state}")
    _hold(run.attempt == 1, f"run {short(run.id)} begins with attempt {run.attempt}")


#: The states that a run may have after each state, as `jobs_app.core.states` draws them.
MOVES: dict[RunState, frozenset[RunState]] = {
    RunState.WAITING: frozenset({RunState.QUEUED, RunState.CANCELLED}),
    RunState.QUEUED: frozenset({RunState.RUNNING, RunState.CANCELLED}),
    RunState.RUNNING: frozenset(
        {
            RunState.SUCCEEDED,
            RunState.FAILED,
            RunState.TIMED_OUT,
            RunState.CANCELLED,
            RunState.LOST,
            RunState.RETRYING,
        }
    ),
    RunState.RETRYING: frozenset({RunState.QUEUED, RunState.CANCELLED}),
} | dict.fromkeys(FINAL, frozenset())


def _check_move(old: RunRow, run: RunRow) -> None:
    name = f"run {short(run.id)}"
    _hold(old.state not in FINAL, f"{name} was {old.state}, and is changed: {old} -> {run}")
    if run.state is not old.state:
        _hold(run.state in MOVES[old.state], f"{name} goes from {old.state} to {run.state}")
    is_next = (old.state, run.state) == (RunState.RETRYING, RunState.QUEUED)
    _hold(
        run.attempt == old.attempt + is_next,
        f"{name} goes from attempt {old.attempt} to {run.attempt} as {run.state}",
    )
    if is_next:
        is_due = run.queued_at is not None and old.not_before and run.queued_at >= old.not_before
        _hold(bool(is_due), f"{name} is tried again at {run.queued_at}, not {old.not_before}")
    if run.progress != old.progress:
        may_report = old.state is run.state is RunState.RUNNING or (is_next and not run.progress)
        _hold(may_report, f"{name} is {run.state}, and makes progress: {run.progress}")
    if run.state is RunState.RUNNING:
        _hold(
            old.state is not RunState.RUNNING or old.worker_id == run.worker_id,
            f"{name} is taken from the worker that runs it",
        )
    if old.cancel_mode == "kill":
        _hold(run.cancel_mode == "kill", f"{name} was to be killed, and is to end gently")
    if run.state is RunState.SUCCEEDED:
        _hold(
            run.result == run.attempt,
            f"{name} ends with the result of attempt {run.result}, not of {run.attempt}",
        )


def _state_in(note: Any) -> str | None:
    """Return the state that a late result names; None without a late result."""
    outcome = json.loads(note) if isinstance(note, str) else note
    return None if outcome is None else str(outcome["state"])


def _hold(claim: bool, otherwise: str) -> None:
    if not claim:
        raise Violation(otherwise)


def short(run_id: UUID) -> str:
    """Return the name of a run or worker in a trace: its number."""
    return f"#{run_id.int >> 64}"


def _run(raw: tuple[Any, ...]) -> RunRow:
    row = RunRow(*raw)
    return row._replace(
        id=_uuid(row.id),
        scheduled_for=_instant(row.scheduled_for),
        state=RunState(row.state),
        worker_id=None if row.worker_id is None else _uuid(row.worker_id),
        is_exclusive=bool(row.is_exclusive),
        result=_json(row.result),
        queued_at=_instant(row.queued_at),
        finished_at=_instant(row.finished_at),
        not_before=_instant(row.not_before),
        send_at=_instant(row.send_at),
        progress=_json(row.progress),
    )


def _job(raw: tuple[Any, ...]) -> JobRow:
    row = JobRow(*raw)
    return row._replace(
        updated_at=instant(row.updated_at),
        next_fire_at=_instant(row.next_fire_at),
        next_due_at=_instant(row.next_due_at),
        paused_at=_instant(row.paused_at),
        paused_until=_instant(row.paused_until),
        deleted_at=_instant(row.deleted_at),
        anchor_at=_instant(row.anchor_at),
        at=_instant(row.at),
        start_at=_instant(row.start_at),
        end_at=_instant(row.end_at),
    )


def _worker(raw: tuple[Any, ...]) -> WorkerRow:
    row = WorkerRow(*raw)
    return row._replace(id=_uuid(row.id))


def _attempt(raw: tuple[Any, ...]) -> AttemptRow:
    row = AttemptRow(*raw)
    return row._replace(run_id=_uuid(row.run_id), note=_json(row.note))


def _json(value: Any) -> Any:
    """Return what a JSON column holds: SQLite's driver hands out text."""
    return json.loads(value) if isinstance(value, str) else value


def _uuid(value: Any) -> UUID:
    return value if isinstance(value, UUID) else UUID(value)


def instant(value: Any) -> datetime:
    """Return an instant as a driver hands it out, aware and in UTC."""
    at: datetime = datetime.fromisoformat(value) if isinstance(value, str) else value
    return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)


def _instant(value: Any) -> datetime | None:
    return None if value is None else instant(value)
