"""What may surprise the author of a job that is valid, as the installation stands now.

Nothing here is refused: workers come and go, and another job may be changed next.
"""

from collections.abc import Iterator, Sequence

from celery import Celery
from sqlalchemy import select
from sqlalchemy.orm import Session

from jobs_app.db.models.jobs import Job
from jobs_app.db.models.processes import Worker
from jobs_app.jobs.definition import Definition
from jobs_app.runs import outbox, status
from jobs_app.secrets import redaction, references, store
from jobs_app.tasks import registry

#: The one pool of Celery's whose processes can be killed without the worker.
KILLABLE_POOL = "prefork"


def of(session: Session, definitions: Sequence[Definition], *, app: Celery) -> list[list[str]]:
    """Return, for each of *definitions*, sentences on what may surprise its author."""
    workers = status.workers(session)
    limits = _limits(session, {each.concurrency_key for each in definitions} - {None})
    gone = store.missing(session, {name for each in definitions for name in _secrets(each)})
    return [
        [
            *_queue_caveats(each, workers),
            *_limit_caveats(each, workers),
            *_key_caveats(each, limits.get(each.concurrency_key, [])),
            *_secret_caveats(each, gone),
            *registry.warnings(app, each.task, each.kwargs),
        ]
        for each in definitions
    ]


def _queue_caveats(said: Definition, workers: Sequence[Worker]) -> Iterator[str]:
    if not any(said.queue in worker.queues for worker in workers):
        served = sorted({name for worker in workers for name in worker.queues})
        yield (
            f"No worker serves the queue {said.queue!r}: its runs will wait."
            + (f" Those that there are serve {', '.join(served)}." if served else "")
        )


def _limit_caveats(said: Definition, workers: Sequence[Worker]) -> Iterator[str]:
    """Yield which time limit nobody can enforce: a thread cannot be killed.

    There a limit is an exception, raised in the task's own thread between two steps of
    Python. What our own tasks do is ended by themselves, in every pool.
    """
    serving = [worker for worker in workers if said.queue in worker.queues]
    pools = sorted({worker.pool for worker in serving})
    if not serving or KILLABLE_POOL in pools or said.task in outbox.KEEPS_OWN_LIMITS:
        return
    if said.time_limit_seconds is not None:
        yield (
            f"The time limit of {said.time_limit_seconds} s cannot be enforced on {said.task!r}:"
            f" the workers of the queue {said.queue!r} have the pool {' or '.join(pools)}, where"
            " it interrupts Python code only, and nothing that blocks. A worker with the pool"
            f" {KILLABLE_POOL} kills."
        )


def _limits(
    session: Session, keys: set[str | None]
) -> dict[str | None, list[tuple[str, int | None]]]:
    """Return the jobs that name each of *keys*, by name, with their limits."""
    if not keys:
        return {}
    named = (
        select(Job.concurrency_key, Job.name, Job.concurrency_limit)
        .where(Job.concurrency_key.in_(keys), Job.deleted_at.is_(None))
        .order_by(Job.name)
    )
    found: dict[str | None, list[tuple[str, int | None]]] = {}
    for row in session.execute(named):
        found.setdefault(row.concurrency_key, []).append((row.name, row.concurrency_limit))
    return found


def _key_caveats(said: Definition, jobs: Sequence[tuple[str, int | None]]) -> Iterator[str]:
    others = [
        (name, limit)
        for name, limit in jobs
        if name != said.name and limit != said.concurrency_limit
    ]
    if others:
        name, limit = others[0]
        more = f", and {len(others) - 1} more" if len(others) > 1 else ""
        yield (
            f"The concurrency key {said.concurrency_key!r} has another limit elsewhere:"
            f" {limit} in the job {name!r}{more}. Each run keeps to that of its own job."
        )


def _secrets(said: Definition) -> set[str]:
    return references.names(said.task, said.kwargs)


def _secret_caveats(said: Definition, gone: set[str]) -> Iterator[str]:
    for name in sorted(_secrets(said) & gone):
        yield f"There is no secret {name!r} any more: its runs will fail."
    for place in redaction.literals(said.kwargs):
        yield (
            f"{place} looks like a secret, and whoever may read the job can read it: store it with"
            f" `jobs-app secret set NAME`, and refer to it as {references.OPENING}NAME}}."
        )
