"""Warnings about jobs that are valid but may not run as their authors expect.

They depend on the present state of the installation, so nothing here is refused:
workers come and go, and other jobs change.
"""

from collections.abc import Iterator, Sequence

from celery import Celery
from sqlalchemy import select
from sqlalchemy.orm import Session

from jobs_app.db.models.jobs import Job
from jobs_app.db.models.processes import Worker
from jobs_app.jobs.document import Definition
from jobs_app.runs import outbox, status
from jobs_app.secrets import references, store
from jobs_app.secrets.command_secrets import plain_secrets
from jobs_app.tasks import registry

#: Arguments of a task that runs commands on which the effect of the command depends.
COMMAND_CONTEXT = frozenset({"cwd", "env"})

#: Arguments that say where a task sends the others.
DESTINATIONS = {
    "http": frozenset({"url"}),
    "email": frozenset({"to", "cc", "bcc"}),
    "celery": frozenset({"broker", "task", "queue"}),
}

#: The only pool of Celery whose processes can be killed without the worker.
KILLABLE_POOL = "prefork"


#: Stands for the warnings that quote arguments, for a reader who may not see those.
HIDDEN = "There is a warning about its arguments: whoever may change the job sees it."


def warnings_for(
    session: Session,
    definitions: Sequence[Definition],
    *,
    app: Celery,
    with_arguments: bool = True,
) -> list[list[str]]:
    """Return the warnings about each of *definitions*, as sentences.

    Without *with_arguments* one sentence stands for all that quote arguments or secrets.
    """
    workers = status.workers(session)
    limits = _limits(session, {job.concurrency_key for job in definitions} - {None})
    names = {name for job in definitions for name in _secrets(job)}
    deleted = store.missing(session, names)
    return [
        [
            *_queue_warnings(job, workers),
            *_place_warnings(job, workers, app),
            *_limit_warnings(job, workers),
            *_wait_warnings(job),
            *_key_warnings(job, limits.get(job.concurrency_key, [])),
            *_run_argument_warnings(job, app),
            *registry.task_warnings(app, job.task),
            *_shown(_argument_warnings(job, deleted, app), with_arguments),
        ]
        for job in definitions
    ]


def _shown(texts: list[str], with_arguments: bool) -> list[str]:
    return [HIDDEN] if texts and not with_arguments else texts


def _argument_warnings(job: Definition, deleted: set[str], app: Celery) -> list[str]:
    return [
        *_secret_warnings(job, deleted),
        *_destination_warnings(job),
        *registry.argument_warnings(app, job.task, job.kwargs),
    ]


def _queue_warnings(job: Definition, workers: Sequence[Worker]) -> Iterator[str]:
    if not any(job.queue in worker.queues for worker in workers):
        served = sorted({name for worker in workers for name in worker.queues})
        yield (
            f"No worker serves the queue {job.queue!r}: its runs will wait."
            + (
                f" The running workers serve: {', '.join(served)} (JOBS_WORKER_QUEUES)."
                if served
                else ""
            )
        )


def _place_warnings(job: Definition, workers: Sequence[Worker], app: Celery) -> Iterator[str]:
    """Yield a warning if no worker of the job's queue has its task, and one serves the queue."""
    if job.task not in app.tasks or registry.is_built_in(app, job.task):
        return
    # One of an older version does not say which tasks it has.
    having = [worker for worker in workers if worker.tasks is None or job.task in worker.tasks]
    is_served = any(job.queue in worker.queues for worker in workers)
    if not is_served or any(job.queue in worker.queues for worker in having):
        return
    queues = ", ".join(sorted({name for worker in having for name in worker.queues}))
    yield f"No worker of the queue {job.queue!r} has the task {job.task!r}: its runs fail." + (
        f" Workers that have it serve: {queues}." if queues else ""
    )


def _limit_warnings(job: Definition, workers: Sequence[Worker]) -> Iterator[str]:
    """Yield a warning about a time limit that no worker can enforce.

    A thread cannot be killed: there the limit is an exception, raised between two steps of
    Python. Our built-in tasks keep their own limits in every pool.
    """
    serving = [worker for worker in workers if job.queue in worker.queues]
    pools = sorted({worker.pool for worker in serving})
    if not serving or KILLABLE_POOL in pools or job.task in outbox.ENFORCES_OWN_LIMITS:
        return
    limit = job.limits.time_limit_seconds
    if limit is not None:
        yield (
            f"The time limit of {limit} s cannot be enforced on {job.task!r}:"
            f" the workers of the queue {job.queue!r} have the pool {' or '.join(pools)}, where"
            " it interrupts Python code only, and nothing that blocks. A worker with the pool"
            f" {KILLABLE_POOL} kills."
        )


def _wait_warnings(job: Definition) -> Iterator[str]:
    """Yield a warning if a run may wait for ever for the result of a task of other workers."""
    limits = (job.limits.time_limit_seconds, job.limits.soft_time_limit_seconds)
    if job.task == "celery" and job.kwargs.get("result_backend") and not any(limits):
        yield (
            "There is no time limit: if one of your workers is killed during the task, its run"
            " waits until somebody cancels it."
        )


def _limits(
    session: Session, keys: set[str | None]
) -> dict[str | None, list[tuple[str, int | None]]]:
    """Return the names and limits of the jobs that use each of *keys*, by name."""
    if not keys:
        return {}
    named = (
        select(Job.concurrency_key, Job.name, Job.concurrency_limit)
        .where(Job.concurrency_key.in_(keys), Job.deleted_at.is_(None))
        .order_by(Job.name)
    )
    jobs: dict[str | None, list[tuple[str, int | None]]] = {}
    for row in session.execute(named):
        jobs.setdefault(row.concurrency_key, []).append((row.name, row.concurrency_limit))
    return jobs


def _key_warnings(job: Definition, jobs: Sequence[tuple[str, int | None]]) -> Iterator[str]:
    others = [
        (name, limit) for name, limit in jobs if name != job.name and limit != job.concurrency_limit
    ]
    if others:
        name, limit = others[0]
        more = f", and {len(others) - 1} more" if len(others) > 1 else ""
        yield (
            f"The concurrency key {job.concurrency_key!r} has another limit elsewhere:"
            f" {limit} in the job {name!r}{more}. Each run keeps to that of its own job."
        )


def _run_argument_warnings(job: Definition, app: Celery) -> Iterator[str]:
    names = [name for name in job.run_arguments if name in COMMAND_CONTEXT]
    if names and registry.runs_commands(app, job.task):
        yield (
            f"Whoever may start the job can set {' and '.join(names)}, and so may change what its"
            " command does."
        )


def _destination_warnings(job: Definition) -> Iterator[str]:
    destinations = DESTINATIONS.get(job.task, frozenset())
    names = [name for name in job.run_arguments if name in destinations]
    if names and _secrets(job):
        yield (
            f"Whoever may start the job can set {' and '.join(names)}, and so may send its secrets"
            " elsewhere."
        )


def _secrets(job: Definition) -> set[str]:
    return references.names(job.task, job.kwargs)


def _secret_warnings(job: Definition, deleted: set[str]) -> Iterator[str]:
    for name in sorted(_secrets(job) & deleted):
        yield f"There is no secret {name!r} any more: its runs will fail."
    places, in_command = plain_secrets(job.task, job.kwargs)
    for place in places:
        yield (
            f"{place} looks like a secret, or has one in an address, and whoever may read the job"
            " can read it: store it with `jobs-app secret set NAME`, and refer to it as"
            f" {references.OPENING}NAME}}."
        )
    if in_command:
        yield (
            f"The command has a secret in plain text ({', '.join(in_command)}), and whoever may"
            " read the job can read it: store it with `jobs-app secret set NAME`, give it to the"
            f' command as env {{"VARIABLE": "{references.OPENING}NAME}}"}}, and write $VARIABLE in'
            " it."
        )
