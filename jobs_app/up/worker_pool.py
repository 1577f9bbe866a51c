"""The pool of the worker that `jobs-app up` starts, where the settings name none."""

from typing import Any

from jobs_app.core.settings import Settings

#: Runs at once, as cron would start them.
AT_ONCE = 16

#: Processes of the pool `prefork` that stay while there is no work.
IDLE_PROCESSES = 2


def pool_settings(settings: Settings) -> dict[str, Any]:
    """Return the settings of the pool, those that somebody has set as they are.

    The built-in tasks wait for a command or a server: sixteen threads take less memory than
    two processes. A Python task may need a process for itself, which can be ended alone: such
    processes start as runs come.
    """
    defaults = {
        "worker_pool": "prefork" if settings.import_modules else "threads",
        "worker_concurrency": AT_ONCE,
        "worker_idle_processes": IDLE_PROCESSES,
    }
    return {
        name: getattr(settings, name) if name in settings.model_fields_set else default
        for name, default in defaults.items()
    }
