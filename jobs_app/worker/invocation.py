"""Calls a task as Celery does, with a real request and all its hooks; returns the outcome."""

import functools
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NoReturn

from billiard.einfo import ExceptionInfo
from celery import Signature, states
from celery.app.trace import build_tracer
from celery.contrib.abortable import AbortableTask
from celery.exceptions import Ignore, Retry
from celery.result import allow_join_result

from jobs_app.core.run_error import RunError
from jobs_app.core.states import RunState
from jobs_app.runs.claim import ClaimedRun
from jobs_app.runs.outcome import Outcome
from jobs_app.tasks.any_task import AnyTask
from jobs_app.tasks.context import current_run
from jobs_app.tasks.user_apps import why_unknown
from jobs_app.worker.call_arguments import CallArguments
from jobs_app.worker.coroutines import (
    INTERRUPTS,
    awaiting,
    is_coroutine_function,
    is_in_event_loop,
    run_beside_loop,
)
from jobs_app.worker.outcomes import failed, ignored, retried
from jobs_app.worker.pool_process import Process
from jobs_app.worker.progress import divert_update_state
from jobs_app.worker.results import finished, succeeded
from jobs_app.worker.secret_injection import Injection

#: Attribute of the request: the retries that the task requested by `self.retry(throw=False)`.
RETRIES = "jobs_retries"

#: Attribute of a task: its method `run` is adapted.
ADAPTED = "jobs_adapted"

#: Methods of a task that Celery calls when the outcome is certain already.
HOOKS = ("on_failure", "on_retry", "on_success", "after_return")

#: Attribute of the request: the method `run` of its task was called.
STARTED = "jobs_started"

#: Attribute of the request: the states that the task set by `self.update_state(state=…)`.
STATES = "jobs_states"


def call(process: Process, claimed: ClaimedRun, injection: Injection) -> Outcome:
    """Run the task as Celery does, with a real request; return the outcome."""
    # A worker that was frozen since its claim must not start: another may have the run now.
    current_run.get().stop_if_asked(elapsed_seconds=0)
    task = process.app.tasks.get(claimed.task)
    if task is None:
        why = why_unknown(process.app, claimed.task)
        detail = f"This worker does not know the task {claimed.task!r}"
        detail += f". {why}" if why else ": is JOBS_IMPORTS set?"
        return Outcome(RunState.FAILED, error=RunError("NotRegistered", detail))
    try:
        arguments = CallArguments.of(task, injection.kwargs)
    except ValueError as error:
        return Outcome(RunState.FAILED, error=RunError("InvalidArguments", str(error)))
    request = _request(process, claimed, arguments)
    answer, info, *_ = _tracer(process, task)(
        str(claimed.run_id), arguments.args, arguments.kwargs, request
    )
    if request[RETRIES] and (info is None or info.state == states.FAILURE):
        # As in Celery: a requested retry counts, whatever the task did after it.
        return retried(request[RETRIES][-1], answer, arguments.for_retry)
    if info is None or isinstance(info.retval, _Replaced):
        result = answer if info is None else info.retval.result
        return succeeded(
            # Again: the result of a replacement, or of a `__call__`, was not looked at yet.
            finished(result),
            limit_bytes=process.settings.result_limit_bytes,
            mask=injection.mask,
            # The task `shell` raises unless its command exits with 0.
            exit_code=0 if claimed.task == "shell" else None,
        )
    if info.state == states.RETRY and isinstance(info.retval, Retry):
        return retried(info.retval, answer, arguments.for_retry)
    if info.state == states.IGNORED:
        return ignored(request[STATES])
    text = answer.traceback if isinstance(answer, ExceptionInfo) else None
    return failed(info.retval, text)


def _tracer(process: Process, task: AnyTask) -> Callable[..., Any]:
    """Return Celery's tracer of *task*; `eager` keeps result backends out of it."""
    tracer = process.tracers.get(task.name)
    if tracer is None:
        divert_update_state(task)
        _adapt_methods(task)
        _guard_hooks(task)
        _adapt_is_aborted(task)
        _adapt_run(task)
        tracer = build_tracer(task.name, task, eager=True, propagate=False, app=process.app)
        process.tracers[task.name] = tracer
    return tracer


def adapt_coroutine_tasks(tasks: Iterable[AnyTask]) -> None:
    """Make the tasks among *tasks* that are coroutine functions run to their end.

    Also those that a message of the user's own starts, without a run: Celery would drop
    their coroutines. Call it before Celery builds its tracers.
    """
    for task in tasks:
        if is_coroutine_function(getattr(task, _name_of_run(task))):
            _adapt_run(task)


def _name_of_run(task: AnyTask) -> str:
    """Return the name of a task's method `run`, below that of `autoretry_for`."""
    return "_orig_run" if hasattr(task, "_orig_run") else "run"


def _adapt_run(task: AnyTask) -> None:
    """Make the method `run` of a task await its coroutine, and refuse work not done yet.

    Below `autoretry_for`, which then sees the errors of the coroutine. User code that calls
    the task as a function gets from it what the function returns.
    """
    if hasattr(task, ADAPTED):
        return
    setattr(task, ADAPTED, True)
    name = _name_of_run(task)
    run = getattr(task, name)
    is_coroutine = is_coroutine_function(run)
    run_to_end = awaiting(run) if is_coroutine else run

    def run_with(request: Any, args: Any, kwargs: Any) -> Any:
        task.request_stack.push(request)
        return run_to_end(*args, **kwargs)

    @functools.wraps(run)
    def run_and_check(*args: Any, **kwargs: Any) -> Any:
        request: Any = task.request
        is_called_again = getattr(request, STARTED, False)
        if request.called_directly or (is_called_again and is_in_event_loop()):
            return run(*args, **kwargs)
        setattr(request, STARTED, True)
        try:
            if is_coroutine and is_in_event_loop():
                # `apply`, `replace` or an eager `delay` in a coroutine: nobody awaits this one.
                result = run_beside_loop(lambda: run_with(request, args, kwargs))
            else:
                result = run_to_end(*args, **kwargs)
        except _Replaced as replaced:
            if hasattr(task.request, RETRIES):
                raise
            # This is itself a replacement, which Celery would call ignored, without a result.
            result = replaced.result
        return result if current_run.get(None) is None else finished(result)

    setattr(task, name, run_and_check)


class _Replaced(Ignore):
    """Raised by `self.replace(…)`: the replacement has run, in the same run."""

    def __init__(self, result: Any) -> None:
        super().__init__()
        self.result = result


def _adapt_methods(task: AnyTask) -> None:
    """Make Celery's methods of a task act on its run.

    `self.retry(throw=False)` raises nothing, so it is noted on the request. `self.replace(…)`
    would send messages, so the replacement runs at once, in the same run. The states of
    `self.update_state()` are noted: they count if the task raises Ignore.
    """
    retry, update_state = task.retry, task.update_state

    def noting_retry(*args: Any, **options: Any) -> Any:
        requested = retry(*args, **options)
        retries = getattr(task.request, RETRIES, None)
        if retries is not None:
            retries.append(requested)
        return requested

    def noting_state(
        task_id: str | None = None, state: str | None = None, meta: Any = None, **options: Any
    ) -> None:
        update_state(task_id=task_id, state=state, meta=meta, **options)
        states_ = getattr(task.request, STATES, None)
        if states_ is not None and task_id in (None, task.request.id):
            states_.append(state)

    def run_replacement(signature: Any) -> NoReturn:
        for part in _parts_of(signature):
            _adapt_run(part.type)
            _adapt_is_aborted(part.type)
        with allow_join_result():
            raise _Replaced(signature.apply().get())

    # The ignores: Celery allows these per task; the stubs take methods for constants.
    task.retry = noting_retry  # type: ignore[method-assign]  # as said
    task.update_state = noting_state  # type: ignore[method-assign]  # as said
    task.on_replace = run_replacement  # type: ignore[method-assign, assignment]  # as said


def _guard_hooks(task: AnyTask) -> None:
    """Make an error of a hook change no outcome: it is written to the log of the run.

    Celery would report it in place of the task's own error, or of its result.
    """
    for name in HOOKS:
        setattr(task, name, _guarded(getattr(task, name), f"{name} of {task.name}"))


def _guarded(hook: Callable[..., Any], name: str) -> Callable[..., Any]:
    @functools.wraps(hook)
    def guarded(*args: Any, **kwargs: Any) -> None:
        try:
            hook(*args, **kwargs)
        except INTERRUPTS:
            raise
        except Exception:  # noqa: BLE001  # whatever user code raises
            sys.stderr.write(f"{name} raised an error, which changes no outcome:\n")
            traceback.print_exc()

    return guarded


def _adapt_is_aborted(task: AnyTask) -> None:
    """Make `self.is_aborted()` of an AbortableTask tell whether its run was cancelled.

    About the task of another id Celery asks the result backend, which may be none.
    """
    if not isinstance(task, AbortableTask) or hasattr(task.is_aborted, ADAPTED):
        return
    ask_backend = task.is_aborted

    @functools.wraps(ask_backend)
    def is_aborted(**options: Any) -> bool:
        context = current_run.get(None)
        own_id = task.request.id
        if context is not None and options.get("task_id", own_id) in (own_id, str(context.run_id)):
            return context.is_aborted()
        return bool(ask_backend(**options))

    setattr(is_aborted, ADAPTED, True)
    task.is_aborted = is_aborted  # type: ignore[method-assign]  # as in `_adapt_methods`


def _parts_of(signature: Any) -> Iterator[Any]:
    """Yield the signatures of single tasks in *signature*, a chain, group or chord of them."""
    parts = getattr(signature, "tasks", None)
    if parts is None:
        yield signature
    # The header of a chord may be a group, which is a dictionary.
    for part in [parts] if isinstance(parts, Signature) else parts or ():
        yield from _parts_of(part)
    if (body := getattr(signature, "body", None)) is not None:
        yield from _parts_of(body)


def _request(process: Process, claimed: ClaimedRun, arguments: CallArguments) -> dict[str, Any]:
    return {
        "id": str(claimed.run_id),
        "root_id": str(claimed.run_id),
        "task": claimed.task,
        "args": arguments.stored_args,
        "kwargs": arguments.stored_kwargs,
        "retries": claimed.attempt - 1,
        # Eager: `self.retry()` raises and publishes nothing; retries are in the database.
        "is_eager": True,
        RETRIES: [],
        STATES: [],
        "hostname": process.name,
        "timelimit": [claimed.limits.time_limit_seconds, claimed.limits.soft_time_limit_seconds],
        "delivery_info": {
            "exchange": "",
            "routing_key": claimed.queue,
            "priority": claimed.priority,
            "redelivered": False,
        },
    }
