"""The pool of the worker that `jobs-app up` starts, where the settings name none."""

from typing import Any

from jobs_app.core.settings import Settings

#: Runs at once in the pool `threads`, and in processes.
THREADS_AT_ONCE, PROCESSES_AT_ONCE = 16, 4


def pool_settings(settings: Settings) -> dict[str, Any]:
    """Return the settings of the pool, those that somebody has set as they are.

    The built-in tasks wait for a command or a server: sixteen threads take less memory than
    two processes. A Python task may need a process for itself, which can be ended alone.
    """
    pool = "prefork" if settings.import_modules else "threads"
    if "worker_pool" in settings.model_fields_set:
        pool = settings.worker_pool
    at_once = THREADS_AT_ONCE if pool == "threads" else PROCESSES_AT_ONCE
    if "worker_concurrency" in settings.model_fields_set:
        at_once = settings.worker_concurrency
    return {"worker_pool": pool, "worker_concurrency": at_once}
