"""Connects the worker to Celery's signals, for `jobs-app worker` and `celery worker`."""

import logging
import os
import time
from functools import partial
from typing import Any

from billiard.exceptions import TimeLimitExceeded
from celery import signals
from celery.concurrency.prefork import TaskPool
from celery.concurrency.solo import TaskPool as SoloPool
from celery.worker import state
from sqlalchemy import NullPool, make_url

from jobs_app import __version__
from jobs_app.celery_app import POOLS, RUN_TASK, JobsCelery
from jobs_app.core import reported_settings
from jobs_app.core.process import limit_programs, protect_memory
from jobs_app.core.process_tree import become_subreaper
from jobs_app.core.states import RunState
from jobs_app.db.engine import Database
from jobs_app.runs.messages import read_arguments
from jobs_app.runs.workers import Registration
from jobs_app.schedules import zone_data
from jobs_app.tasks import registry, user_apps
from jobs_app.tasks.command_access import check_default_account
from jobs_app.worker import execution
from jobs_app.worker.celery_hooks.children import allow_children
from jobs_app.worker.celery_hooks.events import EventRequest
from jobs_app.worker.celery_hooks.prefetch import PrefetchStep
from jobs_app.worker.celery_hooks.problems import Problems
from jobs_app.worker.celery_hooks.remote_control import restrict
from jobs_app.worker.celery_hooks.result_text import tolerate_results_without_text
from jobs_app.worker.celery_hooks.transport import use_channel
from jobs_app.worker.invocation import adapt_coroutine_tasks
from jobs_app.worker.liveness.forced_cancellation import ForcedCancellation
from jobs_app.worker.liveness.heartbeat import Heartbeat
from jobs_app.worker.liveness.orphans import Orphans
from jobs_app.worker.liveness.stalled_runs import StalledRuns
from jobs_app.worker.liveness.write_failures import CANNOT_WRITE
from jobs_app.worker.output.capture import adopt_user_handlers
from jobs_app.worker.output.run_logging import keep_runs_out_of
from jobs_app.worker.pool_process import Process, set_process, this_process

log = logging.getLogger(__name__)

#: Time between two checks for active runs during a soft shutdown, seconds.
SHUTDOWN_POLL_SECONDS = 0.2

#: The strategy of runs, as Celery wants it: a name.
STRATEGY = "jobs_app.worker.celery_hooks.strategy:run_strategy"

#: The reason of a run whose process could not write its finish, while this worker can.
CANNOT_WRITE_REASON = (
    "The process of the run could no longer write to the database, but its worker can. The task "
    "has closed descriptors, dropped rights or lowered limits. How the run ended is not known."
)

_heartbeat: Heartbeat | None = None


@signals.after_setup_task_logger.connect
def _on_setup_task_logger(logger: logging.Logger, **_: object) -> None:
    """Keep records of runs out of the handlers that Celery has just made."""
    keep_runs_out_of(logger)


@signals.worker_init.connect
def _on_worker_init(sender: Any, **_: object) -> None:
    """Register before the pool forks: its processes inherit the shared lease."""
    global _heartbeat
    app = sender.app
    if not isinstance(app, JobsCelery):
        return
    # For `celery worker`; `jobs-app worker` has done it.
    protect_memory()
    adopt_user_handlers()
    settings = app.settings
    limit_programs(new_privileges=settings.new_privileges)
    check_default_account(settings)
    # Without a key no message can be checked; a key of its own would fit nothing.
    app.signer.load()
    is_prefork = _is_prefork(sender.pool_cls)
    is_solo = _is_solo(sender.pool_cls)
    process = Process(app, settings, sender.hostname, is_prefork=is_prefork, is_solo=is_solo)
    if process.is_exclusive:
        become_subreaper()
    restrict(settings)
    adapt_coroutine_tasks(app.tasks.values())
    tolerate_results_without_text()
    use_channel(with_prefetch=settings.worker_prefetch)
    if settings.events:
        # A documented attribute of tasks, for Celery's own strategy; ours uses the class too.
        execution.RunTask.Request = f"{EventRequest.__module__}:{EventRequest.__name__}"
    if settings.worker_prefetch:
        _install_hooks(app)
    set_process(process)
    sender.wait_for_soft_shutdown = partial(
        _wait_for_runs, process, app.conf.worker_soft_shutdown_timeout
    )
    registration = _registration(sender, is_prefork=is_prefork)
    database = _heartbeat_database(
        settings.effective_database_url, fence_seconds=settings.fence_seconds
    )
    problems = Problems(sender, app.gate, registration.queues, user_apps.broken_modules(app))
    _heartbeat = _make_heartbeat(process, database, registration, problems)
    process.report_dead = _heartbeat.report_dead
    _heartbeat.register()
    # A connection must not be used on both sides of the fork.
    database.close()


def _registration(sender: Any, *, is_prefork: bool) -> Registration:
    app: JobsCelery = sender.app
    return Registration(
        name=sender.hostname,
        pid=os.getpid(),
        queues=tuple(app.amqp.queues.consume_from),
        concurrency=sender.concurrency or 1,
        pool="prefork" if is_prefork else str(app.settings.worker_pool),
        tasks=registry.own_tasks(app),
        tzdata=zone_data.version(),
        version=__version__,
        settings=reported_settings.of_worker(app.settings),
    )


def _make_heartbeat(
    process: Process, database: Database, registration: Registration, problems: Problems
) -> Heartbeat:
    return Heartbeat(
        database,
        process.lease,
        registration,
        seconds=process.settings.heartbeat_seconds,
        stalled_runs=StalledRuns(process.active_runs),
        # Without a pool of processes there is none that could be killed alone.
        forced_cancellation=ForcedCancellation(
            process.lease, process.active_runs.attempts if process.is_prefork else dict
        ),
        take_dropped=process.take_dropped,
        problem=problems,
        orphans=Orphans() if process.is_prefork else None,
        on_failure=process.repair,
    )


def _heartbeat_database(url: str, *, fence_seconds: float) -> Database:
    """Return a database with one own connection: an exhausted pool must not stop the heartbeat.

    A connection without an answer must not either: its time-out leaves time for two more tries
    before the worker is fenced.
    """
    if make_url(url).get_backend_name() == "sqlite":
        # No connection between two heartbeats: a forked process must not inherit one.
        return Database(url, poolclass=NullPool)
    return Database(url, pool_size=1, max_overflow=0, answer_seconds=fence_seconds / 4)


def _install_hooks(app: JobsCelery) -> None:
    """Hook prefetch into private parts of Celery and kombu; without it Celery's stock way runs."""
    app.steps["consumer"].add(PrefetchStep)
    execution.RunTask.Strategy = STRATEGY


def _is_prefork(pool: Any) -> bool:
    return pool in ("prefork", "processes", POOLS["prefork"]) or (
        isinstance(pool, type) and issubclass(pool, TaskPool)
    )


def _is_solo(pool: Any) -> bool:
    return pool == "solo" or (isinstance(pool, type) and issubclass(pool, SoloPool))


def _wait_for_runs(process: Process, seconds: float) -> None:
    """Wait until no run is active, *seconds* at most.

    Celery's own wait always takes the whole time, even if all runs have ended.
    """
    if not state.active_requests:
        return
    log.warning("Soft Shutdown: active runs have %g seconds", seconds)
    give_up_at = time.monotonic() + seconds
    while time.monotonic() < give_up_at:
        time.sleep(SHUTDOWN_POLL_SECONDS)
        if not _is_busy(process):
            return


def _is_busy(process: Process) -> bool:
    # In a signal handler the main process does not learn which tasks have ended. Runs are in
    # the shared table; other tasks count as active. A request's own name is a shadow.
    return bool(process.active_runs.attempts()) or any(
        request.task.name != RUN_TASK for request in state.active_requests
    )


@signals.worker_process_init.connect
def _on_process_init(**_: object) -> None:
    this_process().after_fork()
    allow_children()


@signals.worker_ready.connect
def _on_worker_ready(**_: object) -> None:
    if _heartbeat is not None:
        _heartbeat.start()


@signals.worker_shutdown.connect
def _on_worker_shutdown(**_: object) -> None:
    stop_heartbeat()


def stop_heartbeat() -> None:
    """Stop the heartbeat, once. Celery sends no signal when a worker must stop at once."""
    global _heartbeat
    heartbeat, _heartbeat = _heartbeat, None
    if heartbeat is not None:
        heartbeat.stop()


@signals.task_failure.connect
def _on_task_failure(
    sender: Any = None,
    args: Any = None,
    exception: BaseException | None = None,
    **_: object,
) -> None:
    """Finish the run whose pool process died; runs in the worker's main process."""
    if getattr(sender, "name", None) != RUN_TASK or _heartbeat is None:
        return
    try:
        run_id, attempt = read_arguments(args)
    except ValueError:
        # The message named no attempt, so no run was started.
        return
    if isinstance(exception, TimeLimitExceeded):
        _heartbeat.report_dead(run_id, attempt, "The time limit was reached.", RunState.TIMED_OUT)
    elif f"exitcode {CANNOT_WRITE} " in f"{exception} ":
        log.error("process_left run=%s reason=cannot_write", run_id)
        _heartbeat.report_dead(run_id, attempt, CANNOT_WRITE_REASON)
    else:
        _heartbeat.report_dead(run_id, attempt, f"The process of the run died: {exception}")
