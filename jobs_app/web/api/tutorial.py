"""/start-task and /task-status: the two routes of every Flask and Celery tutorial."""

from typing import Annotated, Any
from uuid import UUID

from flask import Response, jsonify
from flask_openapi3 import Tag
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import func, select

from jobs_app.core.errors import Conflict, FieldError, NotFound, refuse
from jobs_app.core.states import UNFINISHED, RunState
from jobs_app.db.models.runs import Run
from jobs_app.jobs.start import TaskStart
from jobs_app.runs import history
from jobs_app.web.api import preconditions
from jobs_app.web.api.late_blueprint import LateBlueprint
from jobs_app.web.api.openapi import problems
from jobs_app.web.api.preconditions import MayRepeat
from jobs_app.web.api.responses import located
from jobs_app.web.api.runs import record_run
from jobs_app.web.api.schemas.base import Input, Query
from jobs_app.web.auth import ANONYMOUS
from jobs_app.web.permissions import principal
from jobs_app.web.session import session

api = LateBlueprint(
    "tutorial", __name__, abp_tags=[Tag(name="tutorial", description="As the tutorials have it.")]
)

#: Celery's names of the states. A task without a record is PENDING, as in Celery.
CELERY_STATES = {
    RunState.WAITING: "PENDING",
    RunState.QUEUED: "PENDING",
    RunState.RUNNING: "STARTED",
    RunState.RETRYING: "RETRY",
    RunState.SUCCEEDED: "SUCCESS",
    RunState.FAILED: "FAILURE",
    RunState.TIMED_OUT: "FAILURE",
    RunState.LOST: "FAILURE",
    RunState.CANCELLED: "REVOKED",
    RunState.SKIPPED: "REVOKED",
    RunState.MISSED: "REVOKED",
    RunState.OBSERVED: "REVOKED",
}

#: Longest `long_task`, seconds: a day.
MOST_SECONDS = 86_400

#: The same without a token, and how many such tasks may be unfinished: a worker has other runs.
MOST_OPEN_SECONDS = 60
MOST_OPEN_TASKS = 3


class StartTaskIn(Input):
    """How long the task sleeps, seconds."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"duration": 10}]})

    duration: Annotated[float, Field(ge=0, le=MOST_SECONDS, allow_inf_nan=False)] = 10.0


class StartedOut(BaseModel):
    """The task's id, for the status route."""

    task_id: UUID
    status: str


class StatusOut(BaseModel):
    """Celery's state of a task, and its result; the result of a failed task is text."""

    task_id: str
    status: str
    result: Any


class TaskPath(Query):
    """The id of the task."""

    task_id: str


@api.post("/start-task", responses={202: StartedOut, **problems(409, body=True)})
def start_task(header: MayRepeat, body: StartTaskIn) -> Response:
    """Start the tutorials' `long_task`, which sleeps."""
    return preconditions.once(lambda: _start(body))


@api.get("/task-status/<task_id>", responses={200: StatusOut, **problems()})
def task_status(path: TaskPath) -> Response:
    """Return the state of a task. An unknown id is PENDING, as in Celery."""
    try:
        run = history.get(session(), UUID(path.task_id))
    except (ValueError, NotFound):
        return jsonify({"task_id": path.task_id, "status": "PENDING", "result": None})
    status = CELERY_STATES[run.state]
    return jsonify({"task_id": path.task_id, "status": status, "result": _result(run)})


def _start(body: StartTaskIn) -> Response:
    if principal() == ANONYMOUS:
        _check_open(body)
    duration = int(body.duration) if body.duration.is_integer() else body.duration
    run_id = record_run(TaskStart(task="sleep", kwargs={"duration": duration}))
    response = jsonify({"task_id": str(run_id), "status": "Task started"})
    return located(response, 202, f"/task-status/{run_id}")


def _check_open(body: StartTaskIn) -> None:
    """Raise InvalidInput or Conflict for a task that needs a token."""
    if body.duration > MOST_OPEN_SECONDS:
        sentence = f"Without a token a task sleeps at most {MOST_OPEN_SECONDS} s."
        refuse([FieldError("/duration", "too_long", sentence)])
    statement = select(func.count()).where(
        Run.triggered_by == ANONYMOUS.name, Run.state.in_(UNFINISHED)
    )
    if (session().scalar(statement) or 0) >= MOST_OPEN_TASKS:
        raise Conflict(
            f"Without a token at most {MOST_OPEN_TASKS} tasks may be unfinished: wait for one.",
            code="too_many_tasks",
        )


def _result(run: Run) -> Any:
    if run.state is RunState.SUCCEEDED:
        return run.result
    if CELERY_STATES[run.state] in {"FAILURE", "REVOKED", "RETRY"}:
        error = run.error or {}
        return str(error.get("message") or run.reason or run.state)
    return None
