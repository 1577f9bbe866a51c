"""The settings that schedulers and workers report of themselves, for the doctor to compare.

None of them is a secret.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jobs_app.core.settings import Settings

#: Settings that all processes need alike.
OF_ALL = ("redis_prefix",)

#: Settings that schedulers need alike: each uses its own.
OF_SCHEDULERS = (
    "timezone",
    *("keep_runs", "keep_days", "keep_failed_days", "keep_log_days", "keep_audit_days"),
    *("public_url", "notify_per_minute", "notify_cool_down_seconds"),
    *("allow_private_addresses", "http_allow", "foreign_entries"),
    *("scheduler_lock_seconds", "lost_seconds"),
)

#: Those of OF_SCHEDULERS that the web server uses, too.
OF_WEB = (
    *("timezone", "public_url"),
    *("keep_runs", "keep_days", "keep_failed_days", "keep_log_days"),
)

#: Settings that workers of one queue need alike: those of the worker that gets a run hold.
OF_WORKERS = (
    *("imports", "command_tasks", "shells", "shell_users", "shell_default_user", "shell_limits"),
    *("env_files", "new_privileges", "allow_private_addresses", "http_allow", "celery_allow"),
    *("http_response_limit_bytes", "log_limit_bytes", "result_limit_bytes", "smtp_from"),
)


def of_scheduler(settings: "Settings") -> dict[str, Any]:
    """Return what a scheduler reports, as JSON."""
    return _report(settings, *OF_ALL, *OF_SCHEDULERS)


def of_worker(settings: "Settings") -> dict[str, Any]:
    """Return what a worker reports, as JSON."""
    # A worker must end its runs before a scheduler gives it up.
    return _report(settings, *OF_ALL, *OF_WORKERS, "fence_seconds")


def of_web_server(settings: "Settings") -> dict[str, Any]:
    """Return the settings of the web server that are compared with those of schedulers."""
    return _report(settings, *OF_ALL, *OF_WEB)


def _report(settings: "Settings", *names: str) -> dict[str, Any]:
    return settings.model_dump(mode="json", include=set(names))
