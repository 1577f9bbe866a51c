"""What a run that has not started waits for."""

from collections.abc import Iterable

from sqlalchemy.orm import Session

from jobs_app.core.states import RunState, Wait
from jobs_app.db.models.runs import Run
from jobs_app.runs import status

_BY_STATE = {RunState.WAITING: Wait.RUN, RunState.RETRYING: Wait.RETRY}


def waits_for(run: Run, *, is_served: bool) -> Wait | None:
    """Return what *run* waits for; None if it has started. *is_served*: a worker has its queue."""
    if run.state is not RunState.QUEUED:
        return _BY_STATE.get(run.state)
    if not is_served:
        return Wait.WORKER
    # The reason of a queued run says why it was parked.
    is_parked = run.concurrency_key is not None and run.reason is not None
    return Wait.KEY if is_parked else Wait.SLOT


def served_queues(session: Session, runs: Iterable[Run]) -> set[str]:
    """Return the queues that a living worker serves; asked only if one of *runs* is queued."""
    if not any(run.state is RunState.QUEUED for run in runs):
        return set()
    return {queue for worker in status.workers(session) for queue in worker.queues}
