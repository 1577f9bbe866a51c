"""Scheduled jobs you can edit at run time and trust afterwards."""

from jobs_app.tasks.context import RunInfo, current_run_info, progress

__all__ = ["RunInfo", "__version__", "current_run", "progress"]

__version__ = "0.1.0"

current_run = current_run_info
