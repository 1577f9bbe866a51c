"""Claim, work, finish: what a worker does with a message.

A message says `run_id, attempt` and nothing else. The claim is one conditional UPDATE;
whoever loses it drops the message. Between claim and finish no transaction is open.
"""

import contextlib
import json
import logging
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, NoReturn
from uuid import UUID

from billiard.einfo import ExceptionInfo
from billiard.pool import SIG_SOFT_TIMEOUT
from celery import Task, shared_task, states
from celery.app.trace import build_tracer
from celery.exceptions import Ignore, Retry, SoftTimeLimitExceeded
from celery.result import allow_join_result
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from jobs_app import clock, dispatch, history, runs
from jobs_app.celery_app import RUN_TASK
from jobs_app.context import (
    Cancelled,
    Fenced,
    LastLog,
    RunContext,
    TaskOutcome,
    TimedOut,
    current_run,
)
from jobs_app.db import is_refused
from jobs_app.dispatch import Message
from jobs_app.errors import BrokerUnavailable
from jobs_app.runs import Claimed, Outcome
from jobs_app.signatures import signature_of
from jobs_app.states import RunState
from jobs_app.worker.ends import End
from jobs_app.worker.injection import Injected, inject
from jobs_app.worker.log_store import SqlChunkStore
from jobs_app.worker.logs import RunLog, capture_output
from jobs_app.worker.masking import NOTHING, Mask, MaskedLog, in_use
from jobs_app.worker.process import Process, this_process
from jobs_app.worker.progress import Progress, divert_update_state
from jobs_app.worker.texts import message_of, plain, shortened
from jobs_app.worker.watch import LimitReached, Watched

log = logging.getLogger(__name__)

# Celery's own lines about a task show arguments and results; ours show neither. What stock
# RedBeat entries start is no run of ours: of that the errors are told, and by nobody else.
logging.getLogger("celery.app.trace").setLevel(logging.ERROR)
logging.getLogger("celery.app.trace").addFilter(lambda _: current_run.get(None) is None)
logging.getLogger("celery.worker.strategy").setLevel(logging.WARNING)

#: Tasks that watch the lease, the limits and the wish to cancel by themselves.
COOPERATIVE = runs.KEEPS_OWN_LIMITS

#: What a pool process exits with when a signal ends it: billiard's -(256 - number).
STOPPED_BY_SIGNAL = range(-255, -191)

#: Most of a traceback that is kept, characters; the end of it, where the error is.
TRACEBACK_CHARS = 32_768

#: Where a request notes the retries that were asked for by `self.retry(throw=False)`.
ASKED = "jobs_retries"

#: And the states that it told of by `self.update_state(state=…)`.
STATES = "jobs_states"

RETRY_DATABASE_SECONDS = 0.5

#: How long the end of a log is tried to be stored without a lease, seconds.
LOG_PATIENCE_SECONDS = 2.0

#: The pool counts a time limit from before the claim, which takes so long at most, seconds.
BEFORE_CLAIM_SECONDS = 0.5

#: How long a message waits for a heartbeat before it is left to the janitor, seconds.
LEASE_PATIENCE_SECONDS = 3.0


class RunTask(Task[[str, int], None]):
    """The task that every message names; its way to the pool is its own."""

    Strategy = "jobs_app.worker.messages:hand_to_pool"
    ignore_result = True


@shared_task(name=RUN_TASK, base=RunTask)
def run(run_id: str, attempt: int) -> None:
    """Work on one attempt of one run, if it is still to be had."""
    process = this_process()
    process.ends.meet_next()
    process.at_work.begin(UUID(run_id), int(attempt))
    try:
        with _deaf_to_limits():
            claimed = _claim(process, UUID(run_id), int(attempt))
        if claimed is None:
            process.count_dropped()
            log.debug("message_dropped run=%s attempt=%s", run_id, attempt)
        else:
            _attend(process, claimed)
    finally:
        process.at_work.end()
    process.ends.be_free()


def _attend(process: Process, claimed: Claimed) -> None:
    """Work on a run that is ours, and see to it that how it ended gets on record."""
    log.info("run_started run=%s attempt=%s job=%s", claimed.run_id, claimed.attempt, claimed.job)
    process.hold_on()
    try:
        outcome = _work(process, claimed)
    except Exception as error:  # noqa: BLE001
        # Something around the task failed; the run is ours, and nobody else would end it.
        outcome = _failed(error, traceback.format_exc())
    process.put_back()
    with _deaf_to_limits():
        end = End(claimed, _cut(outcome), clock.now())
        may_hold = process.can_hold_ends and not process.is_worn_out
        if not (may_hold and process.ends.hold(end)):
            _finish(process, end)
    if process.is_worn_out:
        # A task keeps all files open that there may be; the pool starts another process.
        log.error("process_retired run=%s reason=too_many_open_files", claimed.run_id)
        os._exit(1)


def write_held_end() -> None:
    """Write how the last run of this thread ended, if that is still to be done."""
    with _deaf_to_limits():
        _finish_own(this_process())


def perform(run_id: str, attempt: int) -> tuple[bool, ExceptionInfo | None, float]:
    """Do what `run` does and answer as Celery's tracer would: (has failed, how, seconds).

    It fails only where neither the task nor the database is to blame.
    """
    try:
        run.run(run_id, attempt)
    except Exception:  # noqa: BLE001
        # Told by the worker's main process, which also ends the run.
        return True, ExceptionInfo(), 0.0
    return False, None, 0.0


@contextlib.contextmanager
def _deaf_to_limits() -> Iterator[None]:
    """Pass over the soft time limit: it is the task's, and would tear a transaction apart.

    Celery's pool sends it as a signal, to the main thread of a pool process.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handler = signal.signal(SIG_SOFT_TIMEOUT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(SIG_SOFT_TIMEOUT, handler or signal.SIG_DFL)


def _claim(process: Process, run_id: UUID, attempt: int) -> Claimed | None:
    """Claim, however often it takes the database to answer."""
    _await_lease(process)
    at, unanswered = clock.now(), False
    while True:
        worker_id = process.lease.worker_id
        try:
            claimed = None
            if process.lease.seconds_left() > 0:
                claimed = _claim_once(process, run_id, attempt, worker_id=worker_id, at=at)
            if claimed is None and unanswered:
                # Also without a lease: a claim that took effect must be ended by somebody.
                with process.database.session() as session:
                    claimed = runs.reclaim(session, run_id, attempt, worker_id=worker_id, at=at)
            return claimed
        except SQLAlchemyError as error:
            log.warning("claim_failed run=%s error=%s", run_id, type(error).__name__)
            # A pooled connection may have been dead for hours: the next one is a new one.
            if unanswered or not _is_stale(error):
                time.sleep(RETRY_DATABASE_SECONDS)
            unanswered = True


def _is_stale(error: SQLAlchemyError) -> bool:
    return isinstance(error, DBAPIError) and error.connection_invalidated


def _claim_once(
    process: Process, run_id: UUID, attempt: int, *, worker_id: UUID, at: datetime
) -> Claimed | None:
    last = process.ends.take()
    if last is not None:
        claimed = _end_and_claim(process, last, run_id, attempt, worker_id=worker_id, at=at)
    else:
        with process.database.single() as connection:
            claimed = runs.claim_plain(connection, run_id, attempt, worker_id=worker_id, at=at)
    if claimed is not None:
        return claimed
    with process.database.session() as session:
        return runs.claim(session, run_id, attempt, worker_id=worker_id, at=at)


def _end_and_claim(
    process: Process, last: End, run_id: UUID, attempt: int, *, worker_id: UUID, at: datetime
) -> Claimed | None:
    """Claim, and write with it how another run ended; alone, if the two do not go together."""
    ended = (last.claimed.run_id, last.claimed.attempt)
    try:
        with process.database.single() as connection:
            is_awaited, claimed = runs.end_and_claim(
                connection,
                *ended,
                last.outcome,
                ended_at=last.at,
                run_id=run_id,
                attempt=attempt,
                worker_id=worker_id,
                at=at,
            )
    except Exception:
        # One of the two was refused, or nobody knows: each by itself finds out.
        _finish(process, last)
        raise
    if is_awaited is None:
        _finish(process, last)
    elif is_awaited:
        _let_next_in(process, last.claimed)
    return claimed


def _await_lease(process: Process) -> None:
    """Wait a moment for a heartbeat: a worker that was frozen has just been woken."""
    give_up_at = time.monotonic() + LEASE_PATIENCE_SECONDS
    while process.lease.seconds_left() <= 0 and time.monotonic() < give_up_at:
        # Nobody is to wait as long to see how the run before ended.
        _finish_own(process)
        time.sleep(0.1)


def _finish_own(process: Process) -> None:
    """Write the end that this thread holds back, if nobody else has."""
    end = process.ends.take_own()
    if end is not None:
        _finish(process, end)


def _finish(process: Process, end: End) -> None:
    """Write the outcome, however long the database is away; then make room for the next run."""
    claimed, outcome = end.claimed, end.outcome
    # Nobody else may write it: either it is still ours, or the guard refuses it.
    while isinstance(written := _write(process, claimed, outcome, end.at), Exception):
        kind = type(written).__name__
        log.warning("finish_failed run=%s error=%s", claimed.run_id, kind)
        if isinstance(written, SQLAlchemyError) and not is_refused(written):
            time.sleep(RETRY_DATABASE_SECONDS)
        else:
            outcome = _unstorable(outcome, kind)
            # It can hardly fail as well; if it does, it must not do so a thousand times a second.
            time.sleep(0.05)
    if written or claimed.concurrency_key is not None:
        _let_next_in(process, claimed)


def _let_next_in(process: Process, claimed: Claimed) -> None:
    """Call those who waited for the run's place; if that fails, the janitor does it."""
    try:
        messages = _next_ones(process, claimed)
        if messages:
            dispatch.publish(process.app, messages)
    except (SQLAlchemyError, BrokerUnavailable) as error:
        kind = type(error).__name__
        log.warning("next_left_to_janitor run=%s error=%s", claimed.run_id, kind)


def _write(process: Process, claimed: Claimed, outcome: Outcome, at: datetime) -> bool | Exception:
    """Write the outcome; return whether somebody may wait for this run's end, or what failed."""
    try:
        with process.database.single() as connection:
            is_awaited = runs.finish_plain(
                connection, claimed.run_id, claimed.attempt, outcome, at=at
            )
        if is_awaited is not None:
            return is_awaited
        with process.database.session() as session:
            runs.finish(
                session,
                claimed.run_id,
                claimed.attempt,
                outcome,
                retry=claimed.retry,
                job_id=claimed.job_id,
                at=at,
            )
    except Exception as error:  # noqa: BLE001
        # What the task left behind is a stranger too: a number, a date, a name too long.
        return error
    return True


def _unstorable(outcome: Outcome, kind: str) -> Outcome:
    """Return what is written in place of an outcome that the database does not take."""
    message = f"The run ended as {outcome.state}, but how could not be stored ({kind})."
    return Outcome(RunState.FAILED, error={"type": kind, "message": message, "traceback": None})


def _next_ones(process: Process, claimed: Claimed) -> list[Message]:
    """Make room for those that waited for the run: for its key's place, and for its job's."""
    messages: list[Message] = []
    if claimed.concurrency_key is None and claimed.job_id is None:
        return messages
    with process.database.session() as session:
        # First the key: the run that is promoted has not waited for a place of it yet.
        if claimed.concurrency_key is not None:
            messages += runs.hand_over(session, claimed.concurrency_key, at=clock.now())
        if claimed.job_id is not None:
            promoted = runs.promote(session, claimed.job_id, at=clock.now())
            messages += [] if promoted is None else [promoted]
    return messages


def _work(process: Process, claimed: Claimed) -> Outcome:
    """Run the task with its secrets, its log, its context and its watch around it."""
    injected = inject(process, claimed)
    store = SqlChunkStore(process.database, claimed.run_id, claimed.attempt)
    run_log = RunLog(store, limit_bytes=process.settings.log_limit_bytes)
    masked_log = MaskedLog(run_log, injected.mask) if injected.mask else None
    watched = Watched(
        claimed.run_id,
        claimed.attempt,
        threading.get_ident(),
        claimed.kill_grace_seconds,
        is_cooperative=claimed.task in COOPERATIVE,
        worker_id=claimed.worker_id,
        limits=_own_limits(process, claimed),
    )
    progress = Progress(
        lambda shown: _store_progress(process, claimed, shown), mask=injected.mask.json
    )
    context = RunContext(
        run_id=claimed.run_id,
        job=claimed.job,
        scheduled_for=claimed.scheduled_for,
        attempt=claimed.attempt,
        log=masked_log or run_log,
        soft_time_limit_seconds=claimed.soft_time_limit_seconds,
        time_limit_seconds=claimed.time_limit_seconds,
        kill_grace_seconds=claimed.kill_grace_seconds,
        is_cancelled=lambda: None if watched.cancel_mode is None else watched.cancel_mode.value,
        lease_seconds_left=lambda: process.lease.seconds_left(of=claimed.worker_id),
        mask=injected.mask.json,
        settings=process.settings,
        progress=progress,
        last_log=lambda job, limit_bytes: _last_log(process, job, limit_bytes),
    )
    is_python = claimed.task not in COOPERATIVE
    output = capture_output(context.log, is_python=is_python)
    with _current(context), in_use(injected.mask), output:
        process.watch.add(watched)
        outcome = _guarded(
            lambda: _call(process, claimed, injected), lambda: process.watch.remove(watched)
        )
    outcome = _at_its_limit(outcome, claimed.time_limit_seconds, watched)
    # A database that is away keeps us waiting, here or for the result, as long as the lease.
    patience = max(LOG_PATIENCE_SECONDS, process.lease.seconds_left(of=claimed.worker_id))
    unstored = None
    with contextlib.suppress(SoftTimeLimitExceeded):
        if masked_log is not None:
            masked_log.close()
        run_log.close(timeout_seconds=patience)
        unstored = progress.close()
    # Again: an interrupt may have landed in the first one.
    process.watch.remove(watched)
    if watched.is_stopped and outcome.state is RunState.CANCELLED:
        outcome = _stopped()
    return replace(_with_log(injected.cleaned(outcome), run_log), progress=unstored)


def _last_log(process: Process, job: str, limit_bytes: int) -> LastLog | None:
    with process.database.reading() as session:
        return history.last_log(session, job, limit_bytes=limit_bytes)


def _store_progress(process: Process, claimed: Claimed, shown: dict[str, Any]) -> None:
    with process.database.session() as session:
        runs.report_progress(session, claimed.run_id, claimed.attempt, shown)


def _own_limits(process: Process, claimed: Claimed) -> list[tuple[float, type[Exception]]]:
    """Return the limits that nobody else keeps: Celery's pools of threads, and solo, know none."""
    if process.is_prefork or claimed.task in COOPERATIVE:
        return []
    limits = (
        (claimed.soft_time_limit_seconds, SoftTimeLimitExceeded),
        (claimed.time_limit_seconds, LimitReached),
    )
    return [(seconds, error) for seconds, error in limits if seconds is not None]


@contextlib.contextmanager
def _current(context: RunContext) -> Iterator[None]:
    token = current_run.set(context)
    try:
        yield
    finally:
        current_run.reset(token)


def _guarded(call: Callable[[], Outcome], then: Callable[[], None]) -> Outcome:
    """Return the outcome of *call*, whatever the task raises past Celery's own handling."""
    own_pid = os.getpid()
    try:
        try:
            return call()
        finally:
            if os.getpid() != own_pid:
                _leave_to_parent(sys.exc_info()[1])
            then()
    except SystemExit as error:
        if error.code in STOPPED_BY_SIGNAL:
            # The pool process was told to end, and our task with it.
            return _stopped()
        code = error.code if isinstance(error.code, int) else 0 if error.code is None else 1
        # As the system would report it of a process.
        code = int(code) & 0xFF
        state = RunState.SUCCEEDED if code == 0 else RunState.FAILED
        message = {"type": "SystemExit", "message": message_of(error.code), "traceback": None}
        return Outcome(state, error=message if code else None, exit_code=code)
    except BaseException as error:  # noqa: BLE001
        # The task is a stranger: an interrupt may land anywhere, a hook of its may raise, and
        # what is no Exception would end the process of the run, or in a thread nothing at all.
        return _failed(error, traceback.format_exc())


def _leave_to_parent(error: BaseException | None) -> None:
    """End a child that the task forked and that came back to us: the run is its parent's."""
    code = error.code if isinstance(error, SystemExit) else None if error is None else 1
    os._exit(code & 0xFF if isinstance(code, int) else 0 if code is None else 1)


def _ignored(told: Sequence[str | None]) -> Outcome:
    """Return the outcome of a task that raised Ignore, after it had told of these states."""
    if told and told[-1] in {states.FAILURE, states.REVOKED}:
        # How tutorials fail a task by hand: `self.update_state(state="FAILURE")`, then Ignore.
        said = f"The task set its state to {told[-1]} and raised Ignore."
        return Outcome(
            RunState.FAILED, error={"type": "Ignore", "message": said, "traceback": None}
        )
    return Outcome(RunState.SUCCEEDED, reason="The task raised Ignore: it has no result.")


def _stopped() -> Outcome:
    """Return the outcome of a run that ended with its worker: by policy, another attempt."""
    said = "The worker was stopped."
    told = {"type": "WorkerStopped", "message": said, "traceback": None}
    return Outcome(RunState.LOST, error=told, reason=said)


def _at_its_limit(outcome: Outcome, limit: float | None, watched: Watched) -> Outcome:
    """Return *outcome*, or that the run was stopped at its time limit, if that is why it ended.

    Celery's pool ends the process of such a run with the signal that a stopped worker sends.
    """
    elapsed = time.monotonic() - watched.began
    if limit is None or elapsed < limit - BEFORE_CLAIM_SECONDS or outcome != _stopped():
        return outcome
    return _failed(TimedOut(f"The run was stopped at its time limit of {limit:g} s."), None)


def _call(process: Process, claimed: Claimed, injected: Injected) -> Outcome:
    """Run the task as Celery would, with a real request, and say how it ended."""
    # A worker that was frozen since its claim may not begin what is somebody else's by now.
    current_run.get().stop_if_asked(elapsed_seconds=0)
    task = process.app.tasks.get(claimed.task)
    if task is None:
        detail = f"This worker does not know the task {claimed.task!r}: is JOBS_IMPORTS set?"
        return Outcome(
            RunState.FAILED,
            error={"type": "NotRegistered", "message": detail, "traceback": None},
        )
    signature = signature_of(task)
    try:
        given = injected.kwargs if signature is None else signature.converted(injected.kwargs)
    except ValueError as error:
        told = {"type": "InvalidArguments", "message": str(error), "traceback": None}
        return Outcome(RunState.FAILED, error=told)

    def again(kwargs: dict[str, Any]) -> dict[str, Any]:
        if signature is None:
            return kwargs
        return signature.as_json(kwargs, given=given, stored=injected.kwargs)

    request = _request(process, claimed, injected)
    answer, info, *_ = _tracer(process, task)(str(claimed.run_id), [], given, request)
    if request[ASKED] and (info is None or info.state == states.FAILURE):
        # As with Celery: it will be tried again, whatever it does after that.
        return _retried(request[ASKED][-1], answer, again)
    if info is None or isinstance(info.retval, _Replaced):
        result = answer if info is None else info.retval.result
        return Outcome(
            RunState.SUCCEEDED,
            result=storable(result, process.settings.result_limit_bytes, injected.mask),
            # A command that did not raise ended with 0.
            exit_code=0 if claimed.task == "shell" else None,
        )
    if info.state == states.RETRY and isinstance(info.retval, Retry):
        return _retried(info.retval, answer, again)
    if info.state == states.IGNORED:
        return _ignored(request[STATES])
    text = answer.traceback if isinstance(answer, ExceptionInfo) else None
    return _failed(info.retval, text)


def _tracer(process: Process, task: Task[Any, Any]) -> Callable[..., Any]:
    """Return what calls *task* with all its hooks; `eager` keeps result backends out of it."""
    tracer = process.tracers.get(task.name)
    if tracer is None:
        divert_update_state(task)
        _adapt(task)
        tracer = build_tracer(task.name, task, eager=True, propagate=False, app=process.app)
        process.tracers[task.name] = tracer
    return tracer


class _Replaced(Ignore):
    """What a task has put in its place has done the work, in the same run."""

    def __init__(self, result: Any) -> None:
        super().__init__()
        self.result = result


def _adapt(task: Task[Any, Any]) -> None:
    """Have what a task says by Celery's own methods heard by its run.

    `self.retry(throw=False)` raises nothing that we would see: it is noted on the request.
    `self.replace(…)` would send messages: what replaces the task runs at once, in its run.
    Of `self.update_state()` the state counts if the task raises Ignore.
    """
    retry, update_state = task.retry, task.update_state

    def noting(*args: Any, **options: Any) -> Any:
        asked = retry(*args, **options)
        noted = getattr(task.request, ASKED, None)
        if noted is not None:
            noted.append(asked)
        return asked

    def stating(
        task_id: str | None = None, state: str | None = None, meta: Any = None, **options: Any
    ) -> None:
        update_state(task_id=task_id, state=state, meta=meta, **options)
        noted = getattr(task.request, STATES, None)
        if noted is not None and task_id in (None, task.request.id):
            noted.append(state)

    def replacing(signature: Any) -> NoReturn:
        with allow_join_result():
            raise _Replaced(signature.apply().get())

    task.retry = noting  # type: ignore[method-assign]
    task.update_state = stating  # type: ignore[method-assign]
    task.on_replace = replacing  # type: ignore[method-assign, assignment]


def _request(process: Process, claimed: Claimed, injected: Injected) -> dict[str, Any]:
    return {
        "id": str(claimed.run_id),
        "root_id": str(claimed.run_id),
        "task": claimed.task,
        "args": [],
        "kwargs": injected.kwargs,
        "retries": claimed.attempt - 1,
        # Eager: `self.retry()` then raises without publishing; the row is where retries live.
        "is_eager": True,
        ASKED: [],
        STATES: [],
        "hostname": process.name,
        "timelimit": [claimed.time_limit_seconds, claimed.soft_time_limit_seconds],
        "delivery_info": {
            "exchange": "",
            "routing_key": claimed.queue,
            "priority": claimed.priority,
            "redelivered": False,
        },
    }


def _failed(error: BaseException, text: str | None) -> Outcome:
    """Return the outcome that *error* means."""
    told = {
        "type": "Cancelled" if isinstance(error, Cancelled) else type(error).__name__,
        "message": message_of(error),
        # How our own tasks look inside helps nobody to mend a command.
        "traceback": None if isinstance(error, TaskOutcome) else plain(text),
    }
    exit_code = error.exit_code if isinstance(error, TaskOutcome) else None
    match error:
        case Cancelled():
            return Outcome(RunState.CANCELLED, error=told, exit_code=exit_code)
        case Fenced():
            return Outcome(RunState.LOST, error=told, reason="fenced")
        case TimedOut() | SoftTimeLimitExceeded():
            return Outcome(RunState.TIMED_OUT, error=told, exit_code=exit_code)
        case _:
            return Outcome(RunState.FAILED, error=told, exit_code=exit_code)


def _retried(
    retry: Retry, info: Any, as_json: Callable[[dict[str, Any]], dict[str, Any]]
) -> Outcome:
    """Return the outcome of a task that asked, by `self.retry()`, to be tried again.

    *as_json* makes of the arguments that it wants what can be stored.
    """
    cause = retry.exc or retry
    told = {
        "type": type(cause).__name__,
        "message": message_of(cause),
        "traceback": plain(getattr(info, "traceback", None)),
    }
    when = retry.when
    if isinstance(when, datetime):
        # Celery takes an instant without a zone as one of its own, which is UTC here.
        when = when if when.tzinfo else when.replace(tzinfo=UTC)
        seconds = (when - clock.now()).total_seconds()
    else:
        seconds = float(when or 0)
    wanted = getattr(retry, "sig", None)
    return Outcome(
        RunState.FAILED,
        error=told,
        retry_after_seconds=max(seconds, 0.0),
        retry_kwargs=None if wanted is None else as_json(dict(wanted.kwargs)),
    )


def _cut(outcome: Outcome) -> Outcome:
    """Return *outcome* with its error shortened; a secret cut in two could not be masked."""
    error = outcome.error
    if error is None:
        return outcome
    traceback_ = error["traceback"]
    short = {
        "message": shortened(error["message"]),
        "traceback": None if traceback_ is None else traceback_[-TRACEBACK_CHARS:],
    }
    return replace(outcome, error=error | short)


def _with_log(outcome: Outcome, run_log: RunLog) -> Outcome:
    if run_log.total_bytes == 0:
        return outcome
    return replace(outcome, log_bytes=run_log.total_bytes, log_truncated=run_log.cut_bytes > 0)


def storable(value: Any, limit_bytes: int, mask: Mask = NOTHING) -> Any:
    """Return *value* as JSON can hold it, without the secrets that *mask* knows.

    What JSON does not know is stored as its text; what is larger than
    *limit_bytes* as `{"truncated": true, "bytes": …, "head": …}`.
    """
    try:
        text = json.dumps(value, allow_nan=False)
    except Exception:  # noqa: BLE001  # what is in it may have methods of its own
        try:
            text = json.dumps(value, default=str, allow_nan=False, skipkeys=True)
        except Exception:  # noqa: BLE001
            text = json.dumps(message_of(value))
    if mask:
        text = json.dumps(mask.json(json.loads(text)))
    if len(text) > limit_bytes:
        return {"truncated": True, "bytes": len(text), "head": text[:1024]}
    if "\\u0000" in text or "\\ud" in text:
        return json.loads(_plain_json(text))
    return json.loads(text)


def _plain_json(text: str) -> str:
    """Return JSON *text* whose strings every database stores."""
    return json.dumps(_plain_value(json.loads(text)))


def _plain_value(value: Any) -> Any:
    match value:
        case str():
            return plain(value)
        case list():
            return [_plain_value(item) for item in value]
        case dict():
            return {plain(key): _plain_value(item) for key, item in value.items()}
        case _:
            return value
