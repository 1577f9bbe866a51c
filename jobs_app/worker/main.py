"""Starts a worker: the main process of `jobs-app worker`."""

import logging
import os
import signal
import warnings
from collections.abc import Mapping

from celery import signals as celery_signals
from celery.app.defaults import NAMESPACES
from celery.exceptions import SecurityWarning

from jobs_app.celery_app import make_celery, pool_name
from jobs_app.core import json_log, process
from jobs_app.core.errors import ConfigurationError
from jobs_app.core.fork_server import plain_environment, preload
from jobs_app.core.process_log import configure_log
from jobs_app.core.settings import Settings
from jobs_app.tasks.command import SUPERVISOR
from jobs_app.tasks.command_access import check_default_account
from jobs_app.tasks.command_account import root_warning
from jobs_app.tasks.context import current_run
from jobs_app.worker.celery_hooks import signals
from jobs_app.worker.output.capture import prepare_worker

log = logging.getLogger(__name__)


def main(settings: Settings) -> int:
    """Run a worker until a signal stops it; return its exit code.

    SIGTERM lets active runs finish. SIGQUIT gives them ten seconds and then ends them; the
    retry policy decides whether they run again.
    """
    if not settings.worker_prefetch and "disable_prefetch" not in NAMESPACES["worker"]:
        raise ConfigurationError("JOBS_WORKER_PREFETCH=false needs Celery 5.6 or later.")
    configure_log(settings, process="worker")
    json_log.add_context(_log_context)
    prepare_worker()
    # Celery only logs what its own start raises: the worker would take messages in vain.
    check_default_account(settings)
    if os.geteuid() == 0:
        if text := root_warning(settings):
            log.warning("running_as_root %s", text)
        # Celery's own warning says the same in five lines.
        warnings.filterwarnings("ignore", category=SecurityWarning)
    celery_signals.worker_ready.connect(_ignore_hangup)
    app = make_celery(settings)
    app.signer.load()
    # In memory once for all commands, which then start faster.
    preload([SUPERVISOR.partition(":")[0]], plain_environment())
    worker = app.Worker(
        hostname=settings.worker_name,
        queues=list(settings.queues),
        concurrency=settings.worker_concurrency,
        autoscale=_autoscale(settings),
        pool=pool_name(settings),
        loglevel=settings.log_level,
        quiet=True,
    )
    process.resume_gc()
    process.limit_arenas()
    try:
        worker.start()
    finally:
        signals.stop_heartbeat()
    return int(worker.exitcode or 0)


def _autoscale(settings: Settings) -> tuple[int, int] | None:
    """Return the most and the fewest processes of the pool; None if their number is fixed."""
    idle = settings.worker_idle_processes
    if settings.worker_pool != "prefork" or idle is None or idle >= settings.worker_concurrency:
        return None
    return settings.worker_concurrency, idle


def _log_context() -> Mapping[str, object]:
    """Return the run that this thread works on, for lines of the log in JSON."""
    run = current_run.get(None)
    if run is None:
        return {}
    return {"run_id": run.run_id, "attempt": run.attempt, "job": run.job or ""}


def _ignore_hangup(**_: object) -> None:
    """Ignore SIGHUP where Celery would start itself anew by `exec`, without our settings."""
    if callable(signal.getsignal(signal.SIGHUP)):
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
