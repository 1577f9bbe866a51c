"""Scheduled jobs you can edit at run time and trust afterwards."""

import os
import sys

if sys.argv[:1] == ["-m"] and sys.path[0] in ("", os.getcwd()) and not sys.flags.safe_path:
    # `python -m` puts the working directory before the standard library; `-P` is better still.
    del sys.path[0]

from jobs_app.tasks.context import RunInfo, current_run_info, progress

__all__ = ["RunInfo", "__version__", "current_run", "progress"]

__version__ = "0.1.0"

current_run = current_run_info
