"""/runs: start a task; list, read, cancel and retry runs."""

from uuid import UUID

from flask import Response, jsonify
from sqlalchemy.orm import Session

from jobs_app.core import clock
from jobs_app.core.errors import Conflict, NotFound
from jobs_app.core.states import CancelMode, RunState
from jobs_app.db.models.runs import Run
from jobs_app.jobs import revisions
from jobs_app.jobs import start as job_start
from jobs_app.jobs.start import RepeatRequest, TaskStart
from jobs_app.notifications import history as notification_history
from jobs_app.runs import history, overlap
from jobs_app.runs.cancel import NO_REASON, cancel
from jobs_app.runs.same_error import same_error
from jobs_app.web import extension, job_rights
from jobs_app.web.api import pagination, preconditions
from jobs_app.web.api.jobs import accepted
from jobs_app.web.api.late_blueprint import LateBlueprint
from jobs_app.web.api.openapi import RUNS, problems
from jobs_app.web.api.preconditions import MayRepeat
from jobs_app.web.api.schemas.run_detail import MOST_NOTIFICATIONS, RunDetail, show_detail
from jobs_app.web.api.schemas.runs import (
    CancelIn,
    RunOut,
    RunPage,
    RunPath,
    RunQuery,
    RunRetryIn,
    TaskRunIn,
)
from jobs_app.web.api.shown_runs import shown_run, shown_runs
from jobs_app.web.permissions import actor
from jobs_app.web.session import reading, session

api = LateBlueprint("runs", __name__, abp_tags=[RUNS])

KIND = "runs"


@api.get("/runs", responses={200: RunPage, **problems(400)})
def list_runs(query: RunQuery) -> Response:
    """List runs, newest first, by the instant of the fire or of the manual start."""
    filters = filters_of(query)
    before = pagination.decode(KIND, query.cursor, history.Position.read)
    runs, is_cut = history.page(session(), filters, before=before, limit=query.limit + 1)
    return pagination.page(
        KIND,
        query.limit,
        runs,
        key=history.Position.of,
        show=lambda runs: shown_runs(session(), runs),
        is_cut=is_cut,
    )


def filters_of(query: RunQuery) -> history.Filter:
    """Return the conditions in *query*."""
    return history.Filter(
        job=query.job,
        tag=query.tag,
        states=query.state,
        triggers=query.trigger,
        by=query.by,
        since=query.start,
        until=query.end,
        q=query.q,
        ids=query.id_prefix,
    )


@api.post("/runs", responses={202: RunOut, **problems(409, body=True)})
def start_task(header: MayRepeat, body: TaskRunIn) -> Response:
    """Run a task once, without a job."""
    document = body.model_dump(exclude_unset=True)
    start = job_start.task_start(document, extension.current().celery)
    job_rights.check_task(start.task, start.kwargs)
    return preconditions.once(lambda: accepted(record_run(start)))


@api.get("/runs/<run_id>", responses={200: RunDetail, **problems(404)})
def read_run(path: RunPath) -> Response:
    """Read a run: its result or error, how often that came before, and its notifications."""
    run = get_run(path.run_id)
    filters = notification_history.NotificationFilter(run_id=run.id)
    notifications = notification_history.page(
        session(), filters, before=None, limit=MOST_NOTIFICATIONS
    )
    same = same_error(session(), run)
    return jsonify(
        show_detail(
            shown_run(session(), run),
            notifications,
            revision=revision_of(run),
            timezone=run.job.timezone if run.job else extension.current().settings.timezone,
            same_error=same,
        )
    )


def revision_of(run: Run) -> int | None:
    """Return the revision of the job from which *run* was made."""
    if run.job_id is None or run.retry_of is not None:
        # A repetition is made from the other run.
        return None
    return revisions.number_at(session(), run.job_id, run.created_at)


@api.post(
    "/runs/<run_id>/cancel", responses={200: RunOut, 202: RunOut, **problems(404, 409, body=True)}
)
def cancel_run(path: RunPath, body: CancelIn) -> Response:
    """Cancel a run. 200: it is cancelled; 202: it is running, and its worker will end it."""
    run = end_run(get_run(path.run_id), body.mode, body.reason)
    response = jsonify(shown_run(session(), run))
    response.status_code = 202 if run.state is RunState.RUNNING else 200
    return response


def end_run(run: Run, mode: CancelMode, reason: str | None) -> Run:
    """Cancel *run*, or ask its worker to end it; return it as it is then.

    Raises Conflict (`run_over`) if it has ended already.
    """
    at = clock.now()
    state = cancel(session(), run.id, mode=mode, by=actor(), reason=reason or NO_REASON, at=at)
    if state is RunState.CANCELLED and run.job_id is not None:
        # A run that was buffered behind the cancelled one may start now.
        promoted = overlap.promote(session(), run.job_id, at=at)
        extension.notify_redis_afterwards(messages=[promoted])
    run = history.get(session(), run.id)
    if state is None and run.state is not RunState.RUNNING:
        raise Conflict(f"The run has ended already: it {_outcome(run)}.", code="run_over")
    return run


@api.post("/runs/<run_id>/retry", responses={202: RunOut, **problems(404, 409, body=True)})
def retry_run(header: MayRepeat, path: RunPath, body: RunRetryIn) -> Response:
    """Repeat a run that has ended, as a new run that names it in `retry_of`.

    A skipped or missed run can be repeated too: it runs now. The task and the kwargs are those
    of the old run; the queue, the limits and the policies are those of its job now.
    """
    return preconditions.once(
        lambda: accepted(repeat_run(path.run_id, body)), check=lambda: get_run(path.run_id)
    )


def repeat_run(run_id: str, body: RunRetryIn) -> UUID:
    """Record a repetition of a run, send its message after the answer, and return its id."""
    with reading() as reader:
        run = get_run(run_id, reader)
    fields = {name: getattr(body, name) for name in RunRetryIn.model_fields}
    with job_rights.hidden_arguments(body.kwargs):
        started = job_start.repeat(
            session(),
            run,
            RepeatRequest(**fields),
            app=extension.current().celery,
            by=actor(),
            at=clock.now(),
            guard=lambda job: job_rights.check_retry(run, job, body.kwargs, body.overlap_policy),
        )
    extension.notify_redis_afterwards(messages=[started.message])
    return started.run.id


def record_run(start: TaskStart) -> UUID:
    """Record a run of a task, send its message after the answer, and return its id."""
    started = job_start.start_task(
        session(), start, app=extension.current().celery, by=actor(), at=clock.now()
    )
    extension.notify_redis_afterwards(messages=[started.message])
    return started.run.id


def get_run(run_id: str, reader: Session | None = None) -> Run:
    """Return the run with the id of an address; raises NotFound.

    It belongs to *reader*, or else to the session of the request.
    """
    try:
        uuid = UUID(run_id)
    except ValueError as error:
        raise NotFound(
            "There is no such run: its id is not a UUID.", code="run_not_found"
        ) from error
    return history.get(reader or session(), uuid)


def _outcome(run: Run) -> str:
    is_active_voice = run.state in {RunState.SUCCEEDED, RunState.FAILED, RunState.TIMED_OUT}
    return ("" if is_active_voice else "was ") + run.state.replace("_", " ")
