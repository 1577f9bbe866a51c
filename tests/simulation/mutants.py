"""Mutants of the product: each lacks one guard, and all guards are found automatically.

There are four kinds of guard. A conjunct, or a lock, of a statement: found by watching what
the database is given. A condition of a function that decides without the database: found
in its syntax tree. A unique constraint: found in the models. The order of a commit and the
messages that follow it: found by watching both.
"""

import ast
import inspect
import re
import textwrap
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cache
from types import CodeType, FunctionType
from typing import Any, Protocol

from sqlalchemy import UniqueConstraint
from sqlalchemy.schema import (
    AddConstraint,
    CreateIndex,
    DropConstraint,
    DropIndex,
    ExecutableDDLElement,
)

from jobs_app.db.columns import Base
from jobs_app.jobs import service
from jobs_app.runs import transitions, workers
from jobs_app.runs.finish import finish
from jobs_app.runs.job_failures import count_outcome
from jobs_app.runs.rescue import finish_lost
from jobs_app.scheduler.heartbeat_monitor import HeartbeatMonitor
from jobs_app.tasks import context
from jobs_app.worker import execution
from jobs_app.worker.completer import Completer
from jobs_app.worker.liveness.cancellation import CancelListener
from jobs_app.worker.liveness.heartbeat import Heartbeat
from jobs_app.worker.liveness.lease import Lease
from jobs_app.worker.liveness.stalled_runs import StalledRuns
from tests.simulation.guards import Guard, Place, guards_of, here, without
from tests.simulation.stage import Actor
from tests.simulation.store import Store, Witness

#: Functions that decide by themselves: each of their conditions is a guard.
DECIDING: tuple[Any, ...] = (
    finish,
    count_outcome,
    context.RunContext.stop_if_asked,
    finish_lost,
    execution._claim,
    transitions.move,
    service.expect_version,
    service.lock,
    service.pause,
    service.resume,
    workers.beat,
    workers.give_up,
    Heartbeat._beat,
    Heartbeat._finish_dead,
    Heartbeat._report_stalled,
    StalledRuns.find,
    Completer.hold,
    Completer.take_own,
    execution._finish_and_claim,
    execution._finish_held,
    Lease.seconds_left,
    CancelListener._poll,
    HeartbeatMonitor.silent_workers,
)

#: Places that act on a SELECT without a conditional UPDATE, and places that lock rows.
ASKING = frozenset(
    (
        "runs.job_groups.unfinished",
        "runs.fires.record_due",
        "jobs.service.lock",
        "runs.finish._lock_job",
        "runs.finish._schedule_retry",
        "runs.claim.reclaim",
        "runs.rescue.finish_lost",
        "runs.cancel.running_on",
        "runs.overlap.promote",
        "jobs.start._first",
        "jobs.pause_end.end_pause",
    )
)

#: The function that each observed condition calls.
_HEARD = "__heard__"

_PAUSE = "it only says how soon the database is asked again"
_SENDABLE = "only a queued run has a send_at: invariants.py says so after each commit"
_HALF = "half of a whole: a run is exclusive or not, and any that is active is enough"
_ONCE_MORE = "`finish` checks the same again, and writes nothing if it does not hold"
_LOCKS_MORE = "it locks more rows than needed, so others only wait longer"
_LOGGED = "only a log line depends on it"
_ERROR_TYPE = "it chooses the type of the error"
_NOTHING_SENT = "no run has sent a task to workers elsewhere here: it words the error"
_HINT = "a message more, or later: a hint, harmless in any number"
_ASKED = "it only says how often the database is asked"
_HELD = "it only says how soon an outcome is on record"
_NO_LOGS = "runs have no logs here: tests/worker/test_completer.py is about them"
_NO_OUTPUT = "nobody hears of output here: tests/notifications/test_record.py is about that"
_PLAIN = "an outcome that counts as news takes the longer way, by `finish`"

_CHOSEN = (
    "the rows were chosen by the same conditions, and the key names them; a row that changes in"
    " between is the subject of tests/db/test_bulk_sql.py"
)

_UNSENT = "runs.outbox.mark_queued_unsent: UPDATE runs"
_UNSTARTED = "runs.cancel.cancel_unstarted: UPDATE runs"
_OF_JOB = (
    "runs.job_id = ? AND runs.state = 'waiting'"
    " OR runs.job_id = ? AND runs.is_exclusive"
    " AND runs.state IN ('queued', 'running', 'retrying')"
    " OR runs.job_id = ? AND NOT runs.is_exclusive"
    " AND runs.state IN ('queued', 'running', 'retrying')"
)
_CANCELLABLE = "runs.state = ? OR runs.state = ? OR runs.state = ?"

_ENDS = "worker.liveness.heartbeat.Heartbeat._finish_dead: "

#: The guards that may be missing without harm, and the reason for each.
HARMLESS: dict[str, str] = {
    "jobs.start._record: commits before it sends": (
        "another session reads the run before it is sent, and finds only what is committed"
    ),
    "runs.job_groups.unfinished: SELECT runs: active > 0 OR waiting > 0": "it counts as none",
    "runs.job_groups.unfinished: SELECT runs: jobs.id IN (?)": "no caller asks for others",
    "runs.job_groups.unfinished: SELECT runs: jobs.id IN (SELECT …)": "the same, on SQLite",
    "runs.job_groups.unfinished: SELECT runs: runs.is_exclusive"
    " (beside runs.job_id = jobs.id, runs.state IN ('queued', 'running', 'retrying'))": _HALF,
    "runs.job_groups.unfinished: SELECT runs: NOT runs.is_exclusive"
    " (beside runs.job_id = jobs.id, runs.state IN ('queued', 'running', 'retrying'))": _HALF,
    "runs.overlap.promote: UPDATE runs: other.is_exclusive"
    " (beside other.job_id = ?, other.state IN ('queued', 'running', 'retrying'))": _HALF,
    "runs.overlap.promote: UPDATE runs: NOT other.is_exclusive"
    " (beside other.job_id = ?, other.state IN ('queued', 'running', 'retrying'))": _HALF,
    "runs.overlap.promote: SELECT jobs: jobs.id = ?": _LOCKS_MORE,
    "runs.finish._lock_job: SELECT jobs: jobs.id = ?": (
        "more is locked, and waited for, than needed"
    ),
    "runs.fires.record_due: SELECT jobs: jobs.id IN (SELECT …)": (
        "more jobs are looked at, and of each it is asked whether it is due"
    ),
    "runs.fires.record_due: SELECT jobs: jobs.id = ANY (CAST(? AS INTEGER[]))": (
        "more jobs are looked at, and of each it is asked whether it is due"
    ),
    "jobs.pause_end.end_pause: SELECT jobs: jobs.state = ?"
    " (beside jobs.id = ?, jobs.paused_until <= ?, jobs.deleted_at IS NULL)": (
        "a job has an end of its pause only while it is paused"
    ),
    "jobs.service.lock: SELECT jobs: jobs.id = ?": "it reads the name for the text of a refusal",
    "runs.overlap.make_room: UPDATE runs: runs.state = ? (beside runs.job_id = ?"
    " AND runs.is_exclusive AND runs.state IN ('queued', 'running', 'retrying')"
    " OR runs.job_id = ? AND NOT runs.is_exclusive"
    " AND runs.state IN ('queued', 'running', 'retrying'),"
    " runs.cancel_mode IS NULL OR runs.cancel_mode = ?)": (
        "what is active and does not run has been ended by the statement before"
    ),
    "runs.job_failures.count_outcome: UPDATE jobs: jobs.failures_in_a_row +"
    " jobs.failures_carried > ? OR (jobs.hears & ?) != ? (beside jobs.id = ?)": (
        "it saves writing a 0 over a 0; notifications.notify_outcome asks itself who hears"
    ),
    "runs.job_failures.count_outcome: bool(outcome.log_bytes) is taken for True": _NO_OUTPUT,
    "runs.job_failures.count_outcome: bool(outcome.log_bytes) is taken for False": _NO_OUTPUT,
    "runs.job_failures.count_outcome: bool(outcome.log_bytes) (no. 2) is taken for True": (
        _NO_OUTPUT
    ),
    "runs.job_failures.count_outcome: bool(outcome.log_bytes) (no. 2) is taken for False": (
        _NO_OUTPUT
    ),
    "jobs.service.pause: until != job.paused_until is taken for True": (
        "the same end is written once more"
    ),
    "runs.finish.finish_plain: UPDATE runs: jobs.failures_in_a_row +"
    " jobs.failures_carried > ? OR (jobs.hears & ?) != ? (beside jobs.id = runs.job_id)": _PLAIN,
    "runs.finish.finish_plain: UPDATE runs: jobs.id = runs.job_id"
    " (beside jobs.failures_in_a_row + jobs.failures_carried > ? OR (jobs.hears & ?) != ?)": _PLAIN,
    "runs.finish_and_claim.finish_and_claim: UPDATE runs: jobs.failures_in_a_row +"
    " jobs.failures_carried > ? OR (jobs.hears & ?) != ? (beside jobs.id = runs.job_id)": _PLAIN,
    "runs.finish_and_claim.finish_and_claim: UPDATE runs: jobs.id = runs.job_id"
    " (beside jobs.failures_in_a_row + jobs.failures_carried > ? OR (jobs.hears & ?) != ?)": _PLAIN,
    "runs.finish_and_claim.finish_and_claim: WITH runs: jobs.failures_in_a_row +"
    " jobs.failures_carried > ? OR (jobs.hears & ?) != ? (beside jobs.id = runs.job_id)": _PLAIN,
    "runs.finish_and_claim.finish_and_claim: WITH runs: jobs.id = runs.job_id"
    " (beside jobs.failures_in_a_row + jobs.failures_carried > ? OR (jobs.hears & ?) != ?)": _PLAIN,
    "runs.finish.finish: moved (no. 3) is taken for True": _LOGGED,
    "runs.finish.finish: moved (no. 3) is taken for False": _LOGGED,
    "runs.finish.finish: is_retried (no. 3) is taken for True": _LOGGED,
    "runs.finish.finish: is_retried (no. 3) is taken for False": _LOGGED,
    "runs.finish.finish: is_retried is taken for False": (
        "the run is retrying by then: `_write_outcome` wants a running one, and finds none"
    ),
    "runs.due_retries.queue_due_retries: UPDATE runs: runs.id IN (?)"
    " (beside runs.state = ?, runs.not_before <= ?)": "it only makes batches",
    "runs.concurrency._unpark_queue: UPDATE runs: runs.send_at IS NULL"
    " (beside runs.id IN (?), runs.state = ?)": _HINT,
    "runs.concurrency.claim_slot: UPDATE runs: other.state = 'running'"
    " (beside other.concurrency_key = runs.concurrency_key, NOT (EXISTS (SELECT …))": (
        "it is asked only while the first place is taken: then the lowest place with none"
        " above it is that of a running one, and one that has ended is no lower"
    ),
    "runs.rescue.finish_lost: SELECT runs: runs.attempt = ?"
    " (beside runs.id = ?, runs.state = ?, runs.cancel_mode IS NOT NULL)": _ONCE_MORE,
    "runs.rescue.finish_lost: SELECT runs: runs.state = ?"
    " (beside runs.id = ?, runs.attempt = ?, runs.cancel_mode IS NOT NULL)": _ONCE_MORE,
    "runs.rescue.finish_lost: SELECT runs: runs.cancel_mode IS NOT NULL"
    " (beside runs.id = ?, runs.attempt = ?, runs.state = ?)": (
        "a running one that nobody asked to end has no cancelled_by either"
    ),
    "runs.rescue.finish_lost: state is RunState.TIMED_OUT is taken for True": _ERROR_TYPE,
    "runs.rescue.finish_lost: state is RunState.TIMED_OUT is taken for False": _ERROR_TYPE,
    f"{_UNSENT}: runs.id = ? (beside runs.state = ?, runs.send_at > ?)": _CHOSEN,
    f"{_UNSENT}: runs.state = ? (beside runs.id = ?, runs.send_at > ?)": _CHOSEN,
    f"{_UNSENT}: runs.send_at > ? (beside runs.id = ?, runs.state = ?)": _CHOSEN,
    f"{_UNSENT}: runs.id = ? (beside runs.state = ?, runs.send_at > ?, runs.sends <= ?)": _CHOSEN,
    f"{_UNSENT}: runs.state = ? (beside runs.id = ?, runs.send_at > ?, runs.sends <= ?)": _CHOSEN,
    f"{_UNSENT}: runs.send_at > ? (beside runs.id = ?, runs.state = ?, runs.sends <= ?)": _CHOSEN,
    f"{_UNSENT}: runs.sends <= ? (beside runs.id = ?, runs.state = ?, runs.send_at > ?)": _CHOSEN,
    f"{_UNSTARTED}: runs.id = ? (beside {_OF_JOB}, {_CANCELLABLE})": _CHOSEN,
    f"{_UNSTARTED}: {_OF_JOB} (beside runs.id = ?, {_CANCELLABLE})": _CHOSEN,
    f"{_UNSTARTED}: {_CANCELLABLE} (beside runs.id = ?, {_OF_JOB})": _CHOSEN,
    "runs.outbox.take_unsent: UPDATE runs: runs.id IN (?)"
    " (beside runs.state = ?, runs.sends = ?, runs.send_at <= ?)": _HINT,
    "runs.outbox.take_unsent: UPDATE runs: runs.sends = ?"
    " (beside runs.id IN (?), runs.state = ?, runs.send_at <= ?)": _HINT,
    "runs.outbox.take_unsent: UPDATE runs: runs.state = ?"
    " (beside runs.id IN (?), runs.sends = ?, runs.send_at <= ?)": _SENDABLE,
    "runs.cancel.running_on: SELECT runs: runs.state = ? (beside runs.worker_id = ?)": (
        "what is over is reported in vain: `finish_lost` asks for the same once more"
    ),
    "scheduler.heartbeat_monitor.HeartbeatMonitor.silent_workers: before is taken for True": (
        "is_same says so already"
    ),
    "worker.execution._claim: _is_stale(error) is taken for True": _PAUSE,
    "worker.execution._claim: unanswered (no. 2) is taken for False": _PAUSE,
    "worker.execution._claim: unanswered or not _is_stale(error) is taken for True": _PAUSE,
    "worker.completer.Completer.hold: self._is_busy and is_plain is taken for False": _HELD,
    "worker.completer.Completer.hold: self._is_busy is taken for True": _HELD,
    "worker.completer.Completer.hold: finished_run.log is None is taken for True": _NO_LOGS,
    "worker.execution._finish_and_claim: has_waiting_run is taken for True": (
        "promote finds no run that waits"
    ),
    "worker.liveness.heartbeat.Heartbeat._report_stalled: attempt not in known is taken for True": (
        "it is reported twice, and ended once: `finish_lost` asks whether it is running"
    ),
    "worker.liveness.heartbeat.Heartbeat._report_stalled: self._stalled_runs.is_due"
    " is taken for True": _ASKED,
    "worker.liveness.cancellation.CancelListener._poll: old is taken for True": (
        "of none nothing is asked"
    ),
    "worker.liveness.cancellation.CancelListener._poll: "
    "time.monotonic() - run.began >= CANCEL_POLL_SECONDS / 2"
    " is taken for True": "it saves looking at runs that are over in a moment",
    "runs.rescue.finish_lost: run.task == CELERY is taken for False": _NOTHING_SENT,
    "runs.rescue.finish_lost: run.task == CELERY is taken for True": _NOTHING_SENT,
    _ENDS + "is_late (no. 2) is taken for False": (
        "programs that live are waited for no longer than SUPERVISOR_SECONDS either"
    ),
    _ENDS + "not is_late and self._have_programs_been_left() is taken for False": (
        "a simulated process leaves no programs: tests/worker/liveness/test_heartbeat.py"
    ),
    "runs.workers.give_up: bool(rowcount(session.execute(statement.values(gone_at=at))))"
    " is taken for True": _LOGGED,
}

_KEY_LOCK = "runs.concurrency._lock_key: SELECT a turn: pg_advisory_xact_lock"

#: Guards that matter only without the other guard, which is removed first.
BEHIND: dict[str, str] = {
    "runs.cancel.running_on: SELECT runs: runs.worker_id = ? (beside runs.state = ?)": (
        _ENDS + "is_ours is taken for True"
    ),
    "worker.liveness.stalled_runs.StalledRuns.find: attempt not in known is taken for True": (
        _ENDS + "self._stalled_runs.is_active(dead.run_id, dead.attempt) is taken for False"
    ),
    "models: uq_runs_active": "jobs.service.lock: SELECT jobs: FOR UPDATE",
    "runs.overlap.promote: UPDATE runs: NOT EXISTS (SELECT …)"
    " (beside runs.id = (SELECT …), runs.state = ?, NOT EXISTS (SELECT …))": (
        "models: uq_runs_active"
    ),
    "runs.concurrency.claim_slot: UPDATE runs: runs.attempt = ?"
    " (beside runs.id = ?, runs.state = ?, EXISTS (SELECT …))": _KEY_LOCK,
    "runs.concurrency.claim_slot: UPDATE runs: runs.attempt = ? (beside runs.id = ?,"
    " runs.state = ?, EXISTS (SELECT …), runs.concurrency_limit > (SELECT …) + ?)": _KEY_LOCK,
}

#: Functions that write under a guard, but never in a simulation, and the reason.
NOT_PLAYED: dict[str, str] = {
    "jobs.service.purge": "deletes the history of a job at rest: tests/jobs/test_service.py",
    "jobs.starts.mark": "marks a start, once: tests/jobs/test_starts.py",
    "jobs.starts._insert": "is a part of it",
    "runs.counting._begin": "counts for metrics: tests/runs/test_counting.py",
    "runs.counting._write": "counts for metrics: the same",
    "runs.finish.finish_alone": "is for data that are refused: tests/worker/test_finish_run.py",
    "runs.finish.finish_unreadable": "is for rows that cannot be read: the same",
    "runs.fires.put_off_job": "is for rows that cannot be read: tests/scheduler/test_tick.py",
    "runs.finish.plain_finish_statement": "makes the statement of finish_plain",
    "runs.pruning.prune_runs": "deletes what has ended long ago: tests/runs/test_retention.py",
    "runs.pruning.prune_logs": "deletes what has ended long ago: tests/runs/test_retention.py",
    "runs.cancel.purge": "deletes what its caller chose: tests/runs/test_transitions.py",
    "runs.reported_tasks.reported": "reads what workers report: tests/runs/test_reported_tasks.py",
    "runs.sent_task.keep_sent": "keeps what was sent elsewhere: tests/runs/test_sent_task.py",
    "runs.transitions.end_unfinished": "is for a copy that nobody uses: tests/jobs/test_restore.py",
    "runs.transitions.move": "is the way of the others",
    "runs.transitions.queue_runs": "is the way of those that queue",
    "runs.transitions.cancel_runs": "is the way of those that cancel",
    "runs.transitions.request_cancel": "is the way of those that cancel",
}

#: Constraints that hold an invariant, rather than the shape of a row.
CONSTRAINTS = ("uq_runs_fire", "uq_runs_active", "uq_jobs_living_name")


class Mutant(Protocol):
    """The product without one of its guards."""

    @property
    def name(self) -> str:
        """The missing guard, as the table of kills names it."""

    def on(self, store: Store) -> Any:
        """Return a context in which plays on *store* run without the guard."""


class Observer(Witness):
    """Learns which guards the statements of a simulation have, and what is sent when.

    `answers` are those that the conditions of deciding functions had.
    """

    def __init__(self, actor: Callable[[], Actor | None]) -> None:
        self.guards: set[Guard] = set()
        self.answers: set[tuple[str, bool]] = set()
        self.sends: set[Place] = set()
        self.places: set[Place] = set()
        self._actor = actor
        self._committed: dict[Actor | None, Place] = {}
        self._known: set[tuple[Place, str]] = set()

    def statement(self, statement: str) -> str:
        place = here()
        if place is not None and (place, statement) not in self._known:
            self._known.add((place, statement))
            guards = guards_of(place, statement, is_deciding=str(place) in ASKING)
            self.guards.update(guards)
            self.places.add(place)
        return statement

    def commits(self) -> bool:
        place = here()
        if place is not None:
            self._committed[self._actor()] = place
        return True

    def publishes(self) -> None:
        place = self._committed.pop(self._actor(), None)
        if place is not None:
            self.sends.add(place)


@dataclass(frozen=True)
class WithoutConjunct:
    """A statement without one of its conjuncts or locks."""

    guard: Guard

    @property
    def name(self) -> str:
        return self.guard.name

    @contextmanager
    def on(self, store: Store) -> Iterator[None]:
        with _witness(store, _Rewriting(store.witness, self.guard)):
            yield


class _Rewriting(Witness):
    def __init__(self, beneath: Witness, guard: Guard) -> None:
        self._beneath = beneath
        self._guard = guard

    def statement(self, statement: str) -> str:
        statement = self._beneath.statement(statement)
        place = here()
        return statement if place is None else without(self._guard, place, statement)

    def commits(self) -> bool:
        return self._beneath.commits()


@dataclass(frozen=True)
class SentFirst:
    """A place that sends its messages before it commits."""

    place: str

    @property
    def name(self) -> str:
        return f"{self.place}: commits before it sends"

    @contextmanager
    def on(self, store: Store) -> Iterator[None]:
        with _witness(store, _HoldingBack(self.place)):
            yield


class _HoldingBack(Witness):
    def __init__(self, place: str) -> None:
        self._place = place

    def commits(self) -> bool:
        return str(here()) != self._place


@contextmanager
def watching(store: Store) -> Iterator[Observer]:
    """Observe the plays on *store*."""
    observer = Observer(lambda: None if store.stage is None else store.stage.current)
    with _witness(store, observer), ExitStack() as stack:
        for function in DECIDING:
            stack.enter_context(_hearing(function, observer.answers))
        yield observer


@contextmanager
def _hearing(function: FunctionType, answers: set[tuple[str, bool]]) -> Iterator[None]:
    """Note which answers the conditions of a function have."""
    tree, place = _tree(function), str(_place(function))

    def heard(name: str, answer: Any) -> Any:
        answers.add((name, bool(answer)))
        return answer

    _Hearing(place).visit(tree)
    function.__globals__[_HEARD] = heard
    try:
        with _instead(function, tree):
            yield
    finally:
        function.__globals__.pop(_HEARD, None)


@contextmanager
def _witness(store: Store, witness: Witness) -> Iterator[None]:
    before, store.witness = store.witness, witness
    try:
        yield
    finally:
        store.witness = before


@dataclass(frozen=True)
class WithoutConstraint:
    """The schema without one of its unique constraints (PostgreSQL)."""

    constraint: str

    @property
    def name(self) -> str:
        return f"models: {self.constraint}"

    @contextmanager
    def on(self, store: Store) -> Iterator[None]:
        table, columns, drop, restore = _unique(self.constraint)
        with store.engine.begin() as connection:
            connection.execute(drop)
        try:
            with _witness(store, _WithoutConflict(store.witness, columns)):
                yield
        finally:
            with store.engine.begin() as connection:
                connection.exec_driver_sql(f"TRUNCATE {table} CASCADE")
                connection.execute(restore)


class _WithoutConflict(Witness):
    """Remove the constraint from ON CONFLICT too: it cannot be named once it is gone."""

    def __init__(self, beneath: Witness, columns: str) -> None:
        self._beneath = beneath
        self._conflict = f" ON CONFLICT ({columns}) DO NOTHING"

    def statement(self, statement: str) -> str:
        statement = self._beneath.statement(statement)
        return re.sub(r"\s+", " ", statement).replace(self._conflict, "")

    def commits(self) -> bool:
        return self._beneath.commits()


def _unique(name: str) -> tuple[str, str, ExecutableDDLElement, ExecutableDDLElement]:
    """Return the table and columns of the constraint *name*, and how to drop and restore it."""
    for table in Base.metadata.sorted_tables:
        for index in table.indexes:
            if index.name == name:
                columns = ", ".join(column.name for column in index.columns)
                return table.name, columns, DropIndex(index), CreateIndex(index)
        for constraint in table.constraints:
            if constraint.name == name and isinstance(constraint, UniqueConstraint):
                columns = ", ".join(column.name for column in constraint.columns)
                # Else it would be missing from every table that is created after this.
                drop = DropConstraint(constraint)
                restore = AddConstraint(constraint, isolate_from_table=False)
                return table.name, columns, drop, restore
    raise LookupError(name)


@dataclass(frozen=True)
class Decided:
    """A function in which one condition always has the same answer."""

    function: FunctionType
    number: int
    condition: str
    answer: bool | None

    @property
    def name(self) -> str:
        fate = "has no limit" if self.answer is None else f"is taken for {self.answer}"
        return f"{_place(self.function)}: {self.condition} {fate}"

    @contextmanager
    def on(self, _store: Store) -> Iterator[None]:
        tree = _tree(self.function)
        _Deciding(self.number, self.answer).visit(tree)
        with _instead(self.function, tree):
            yield

    def matters(self, answers: set[tuple[str, bool]]) -> bool:
        """Tell whether *answers*, those of an observed play, include another one than ours."""
        heard = f"{_place(self.function)} {self.number}"
        revealing = (True, False) if self.answer is None else (not self.answer,)
        return any((heard, answer) in answers for answer in revealing)


@contextmanager
def _instead(function: FunctionType, tree: ast.Module) -> Iterator[None]:
    """Replace the code of a function by *tree*."""
    ast.fix_missing_locations(tree)
    before = function.__code__
    compiled = compile(tree, before.co_filename, "exec")
    code = next(constant for constant in compiled.co_consts if isinstance(constant, CodeType))
    # A method goes by the same name as before: it is a place of guards and cues.
    function.__code__ = code.replace(co_qualname=before.co_qualname)
    try:
        yield
    finally:
        function.__code__ = before


class _Deciding(ast.NodeTransformer):
    """Finds the conditions of a function, and replaces one of them by an answer."""

    def __init__(self, number: int | None = None, answer: bool | None = None) -> None:
        self.conditions: list[tuple[str, tuple[bool | None, ...]]] = []
        self._number = number
        self._answer = answer

    def visit_If(self, node: ast.If) -> ast.AST:
        return self._visit_test(node)

    def visit_IfExp(self, node: ast.IfExp) -> ast.AST:
        return self._visit_test(node)

    def visit_While(self, node: ast.While) -> ast.AST:
        # A missing guard must not make an endless loop.
        return self._visit_test(node, (False,))

    def visit_comprehension(self, node: ast.comprehension) -> ast.AST:
        self.generic_visit(node)
        node.ifs = [self._condition(condition, (True, False)) for condition in node.ifs]
        return node

    def visit_BoolOp(self, node: ast.BoolOp) -> ast.AST:
        removed = isinstance(node.op, ast.And)
        node.values = [self._condition(value, (removed,)) for value in node.values]
        return node

    def visit_Call(self, node: ast.Call) -> ast.AST:
        if isinstance(node.func, ast.Name) and node.func.id == "bool":
            return self._atom(node, (True, False))
        self.generic_visit(node)
        if isinstance(node.func, ast.Name) and node.func.id == "min" and len(node.args) > 1:
            # A limit is a guard too: without it, only the limited value stays.
            return self._atom(node, (None,), node.args[0])
        return node

    def _visit_test(self, node: Any, answers: tuple[bool, ...] = (True, False)) -> ast.AST:
        node.test = self._condition(node.test, answers)
        for name, value in ast.iter_fields(node):
            if name != "test":
                for child in value if isinstance(value, list) else [value]:
                    self.visit(child)
        return node

    def _condition(self, node: ast.expr, answers: tuple[bool, ...]) -> ast.expr:
        if isinstance(node, ast.BoolOp):
            self.visit_BoolOp(node)
            # Its operands give the whole one answer when they are removed; this is the other one.
            return self._atom(node, (not isinstance(node.op, ast.And),))
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            node.operand = self._condition(node.operand, tuple(not answer for answer in answers))
            return node
        if isinstance(node, ast.Constant) or _is_narrowing(node):
            return node
        return self._atom(node, answers)

    def _atom(
        self, node: ast.expr, answers: tuple[bool | None, ...], instead: ast.expr | None = None
    ) -> ast.expr:
        self.conditions.append((" ".join(ast.unparse(node).split()), answers))
        if len(self.conditions) - 1 == self._number:
            return instead or ast.Constant(self._answer)
        return node


class _Hearing(_Deciding):
    """Makes every condition report its answer."""

    def __init__(self, place: str) -> None:
        super().__init__()
        self._place = place

    def _atom(
        self, node: ast.expr, answers: tuple[bool | None, ...], instead: ast.expr | None = None
    ) -> ast.expr:
        super()._atom(node, answers, instead)
        name = ast.Constant(f"{self._place} {len(self.conditions) - 1}")
        return ast.Call(ast.Name(_HEARD, ast.Load()), [name, node], [])


def _is_narrowing(node: ast.expr) -> bool:
    """Tell whether a condition only compares a name with None, for the type checker."""
    return (
        isinstance(node, ast.Compare)
        and isinstance(node.left, ast.Name)
        and isinstance(node.ops[0], ast.Is | ast.IsNot)
        and ast.unparse(node.comparators[0]) == "None"
    )


def _tree(function: FunctionType) -> ast.Module:
    tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    definition = tree.body[0]
    assert isinstance(definition, ast.FunctionDef)
    definition.decorator_list = []
    return tree


def _place(function: FunctionType) -> Place:
    return Place(function.__module__.removeprefix("jobs_app."), function.__qualname__)


@cache
def decided() -> tuple[Decided, ...]:
    """Return the deciding functions, each without one of its conditions."""
    mutants: list[Decided] = []
    for function in DECIDING:
        finder = _Deciding()
        finder.visit(_tree(function))
        texts = _numbered([text for text, _ in finder.conditions])
        mutants += [
            Decided(function, number, texts[number], answer)
            for number, (_, answers) in enumerate(finder.conditions)
            for answer in answers
        ]
    return tuple(mutants)


def unconstrained() -> list[Mutant]:
    """Return the schema without each of the constraints that hold an invariant."""
    return [WithoutConstraint(name) for name in CONSTRAINTS]


def observed(observer: Observer) -> dict[str, Mutant]:
    """Return the observed product without each conjunct, and with each commit too late."""
    mutants: list[Mutant] = [WithoutConjunct(guard) for guard in observer.guards]
    mutants += [SentFirst(str(place)) for place in observer.sends]
    mutants += [mutant for mutant in decided() if mutant.matters(observer.answers)]
    return {mutant.name: mutant for mutant in mutants}


def _numbered(texts: list[str]) -> list[str]:
    """Return *texts*, with a number added to each repeated one."""
    seen: Counter[str] = Counter()
    numbered = []
    for text in texts:
        seen[text] += 1
        numbered.append(text if seen[text] == 1 else f"{text} (no. {seen[text]})")
    return numbered
