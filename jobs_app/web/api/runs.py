"""/runs: start a task, find, read, cancel and repeat."""

from uuid import UUID

from flask import Response, jsonify
from flask_openapi3 import APIBlueprint, Tag

from jobs_app.core import clock
from jobs_app.core.errors import Conflict, NotFound
from jobs_app.core.states import RunState
from jobs_app.db.models.runs import Run
from jobs_app.jobs import start as job_start
from jobs_app.jobs.start import Again, TaskStart
from jobs_app.notifications import history as notification_history
from jobs_app.runs import history, overlap
from jobs_app.runs.cancel import cancel
from jobs_app.web import auth, extension
from jobs_app.web.api import pagination, preconditions
from jobs_app.web.api.jobs import accepted
from jobs_app.web.api.openapi import problems
from jobs_app.web.api.preconditions import MayRepeat
from jobs_app.web.api.schemas.runs import (
    MOST_NOTIFICATIONS,
    AgainIn,
    CancelIn,
    RunDetail,
    RunOut,
    RunPage,
    RunPath,
    RunQuery,
    TaskRunIn,
    show_detail,
    show_run,
)
from jobs_app.web.session import session

api = APIBlueprint("runs", __name__, abp_tags=[Tag(name="runs", description="What happened.")])

KIND = "runs"


@api.get("/runs", responses={200: RunPage, **problems(400)})
def list_runs(query: RunQuery) -> Response:
    """List runs, those of the newest instants first: the fire, or the start by hand."""
    wanted = history.Filter(
        job=query.job,
        states=tuple(RunState(name) for name in query.state),
        trigger=query.trigger,
        since=query.start,
        until=query.end,
        q=query.q,
    )
    before = pagination.decode(KIND, query.cursor, history.Position.read)
    found = history.page(session(), wanted, before=before, limit=query.limit + 1)
    return pagination.page(
        KIND,
        found,
        limit=query.limit,
        key=history.Position.of,
        show=lambda shown: [show_run(run) for run in shown],
    )


@api.post("/runs", responses={202: RunOut, **problems(409, body=True)})
def start_task(header: MayRepeat, body: TaskRunIn) -> Response:
    """Run a task once, without a job."""
    start = TaskStart(**{name: getattr(body, name) for name in TaskRunIn.model_fields})
    return preconditions.once(lambda: accepted(record(start)))


@api.get("/runs/<run_id>", responses={200: RunDetail, **problems(404)})
def read_run(path: RunPath) -> Response:
    """Read a run, with its result or its error, and the notifications about it."""
    run = named(path.run_id)
    wanted = notification_history.Filter(run_id=run.id)
    told = notification_history.page(session(), wanted, before=None, limit=MOST_NOTIFICATIONS)
    return jsonify(show_detail(run, told))


@api.post(
    "/runs/<run_id>/cancel", responses={200: RunOut, 202: RunOut, **problems(404, 409, body=True)}
)
def cancel_run(path: RunPath, body: CancelIn) -> Response:
    """Cancel a run. 200: it is cancelled; 202: it is running, and its worker was told."""
    run = named(path.run_id)
    by, at = auth.principal().name, clock.now()
    reason = body.reason or "cancelled"
    found = cancel(session(), run.id, mode=body.mode, by=by, reason=reason, at=at)
    if found is RunState.CANCELLED and run.job_id is not None:
        # Its place is free: a run that waited behind it goes on.
        promoted = overlap.promote(session(), run.job_id, at=at)
        extension.notify_redis_afterwards(messages=[promoted])
    run = history.get(session(), run.id)
    if found is None and run.state is not RunState.RUNNING:
        raise Conflict(f"The run has ended already: it {_ended(run)}.", code="run_over")
    response = jsonify(show_run(run))
    response.status_code = 202 if run.state is RunState.RUNNING else 200
    return response


@api.post("/runs/<run_id>/retry", responses={202: RunOut, **problems(404, 409, body=True)})
def retry_run(header: MayRepeat, path: RunPath, body: AgainIn) -> Response:
    """Do once more what a run did that has ended, as a new run that names it in `retry_of`.

    Also of one that was skipped or missed: it is run now. The task and the arguments are the
    old run's; queue, limits and policies those of its job as it is now.
    """
    return preconditions.once(lambda: _repeat(path.run_id, body))


def _repeat(run_id: str, body: AgainIn) -> Response:
    started = job_start.repeat(
        session(),
        named(run_id),
        Again(**{name: getattr(body, name) for name in AgainIn.model_fields}),
        app=extension.current().celery,
        by=auth.principal().name,
        at=clock.now(),
    )
    extension.notify_redis_afterwards(messages=[started.message])
    return accepted(started.run.id)


def record(start: TaskStart) -> UUID:
    """Record a run of a task, have its message sent, and return its id."""
    started = job_start.start_task(
        session(), start, app=extension.current().celery, by=auth.principal().name, at=clock.now()
    )
    extension.notify_redis_afterwards(messages=[started.message])
    return started.run.id


def named(run_id: str) -> Run:
    """Return the run that an address names; raises NotFound."""
    try:
        found = UUID(run_id)
    except ValueError as error:
        raise NotFound(
            "There is no such run: its id is not a UUID.", code="run_not_found"
        ) from error
    return history.get(session(), found)


def _ended(run: Run) -> str:
    return {
        RunState.SUCCEEDED: "succeeded",
        RunState.FAILED: "failed",
        RunState.TIMED_OUT: "timed out",
        RunState.LOST: "was lost",
        RunState.SKIPPED: "was skipped",
        RunState.MISSED: "was missed",
    }.get(run.state, "was cancelled")
