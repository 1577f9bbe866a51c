"""The output of the newest finished run of a job. Reads only."""

from sqlalchemy import select
from sqlalchemy.orm import Session

from jobs_app.db.models.jobs import Job
from jobs_app.db.models.runs import Run
from jobs_app.runs.history import log
from jobs_app.tasks.context import LastLog


def last_log(session: Session, job: str, *, limit_bytes: int) -> LastLog | None:
    """Return the end of the output of the newest finished run of *job*, which is not deleted.

    The output is that of the last attempt. None if no run of that job ever started.
    """
    statement = (
        select(Run)
        .join(Job, Job.id == Run.job_id)
        .where(Job.name == job, Job.deleted_at.is_(None))
        .where(Run.started_at.is_not(None), Run.finished_at.is_not(None))
        .order_by(Run.id.desc())
        .limit(1)
    )
    run = session.scalars(statement).one_or_none()
    if run is None or run.finished_at is None:
        return None
    text = "".join(chunk.text for chunk in log(session, run.id, attempt=run.attempt))
    data = text.encode()
    return LastLog(
        run_id=run.id,
        job=job,
        state=run.state,
        finished_at=run.finished_at,
        text=data[-limit_bytes:].decode("utf-8", "ignore"),
        is_cut=run.log_truncated or len(data) > limit_bytes,
    )
