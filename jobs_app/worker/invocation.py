"""Calls a task as Celery would, with a real request and all its hooks, and says how it ended."""

from collections.abc import Callable
from typing import Any, NoReturn

from billiard.einfo import ExceptionInfo
from celery import Task, states
from celery.app.trace import build_tracer
from celery.exceptions import Ignore, Retry
from celery.result import allow_join_result

from jobs_app.core.run_error import RunError
from jobs_app.core.states import RunState
from jobs_app.runs.claim import ClaimedRun
from jobs_app.runs.outcome import Outcome
from jobs_app.tasks.arguments import arguments_of
from jobs_app.tasks.context import current_run
from jobs_app.worker.outcomes import failed, ignored, retried, storable
from jobs_app.worker.pool_process import Process
from jobs_app.worker.progress import divert_update_state
from jobs_app.worker.secret_injection import Injected

#: Where a request notes the retries that were asked for by `self.retry(throw=False)`.
ASKED = "jobs_retries"

#: And the states that it told of by `self.update_state(state=…)`.
STATES = "jobs_states"


def call(process: Process, claimed: ClaimedRun, injected: Injected) -> Outcome:
    """Run the task as Celery would, with a real request, and say how it ended."""
    # A worker that was frozen since its claim may not begin what is somebody else's by now.
    current_run.get().stop_if_asked(elapsed_seconds=0)
    task = process.app.tasks.get(claimed.task)
    if task is None:
        detail = f"This worker does not know the task {claimed.task!r}: is JOBS_IMPORTS set?"
        return Outcome(RunState.FAILED, error=RunError("NotRegistered", detail))
    arguments = arguments_of(task)
    try:
        given = injected.kwargs if arguments is None else arguments.converted(injected.kwargs)
    except ValueError as error:
        return Outcome(RunState.FAILED, error=RunError("InvalidArguments", str(error)))

    def again(kwargs: dict[str, Any]) -> dict[str, Any]:
        if arguments is None:
            return kwargs
        return arguments.as_json(kwargs, given=given, stored=injected.kwargs)

    request = _request(process, claimed, injected)
    answer, info, *_ = _tracer(process, task)(str(claimed.run_id), [], given, request)
    if request[ASKED] and (info is None or info.state == states.FAILURE):
        # As with Celery: it will be tried again, whatever it does after that.
        return retried(request[ASKED][-1], answer, again)
    if info is None or isinstance(info.retval, _Replaced):
        result = answer if info is None else info.retval.result
        return Outcome(
            RunState.SUCCEEDED,
            result=storable(result, process.settings.result_limit_bytes, injected.mask),
            # A command that did not raise ended with 0.
            exit_code=0 if claimed.task == "shell" else None,
        )
    if info.state == states.RETRY and isinstance(info.retval, Retry):
        return retried(info.retval, answer, again)
    if info.state == states.IGNORED:
        return ignored(request[STATES])
    text = answer.traceback if isinstance(answer, ExceptionInfo) else None
    return failed(info.retval, text)


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


def _request(process: Process, claimed: ClaimedRun, injected: Injected) -> dict[str, Any]:
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
