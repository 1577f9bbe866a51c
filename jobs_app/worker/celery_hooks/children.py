"""Allows the tasks of a pool process to use multiprocessing.

Celery's pool marks its processes as daemons, and Python refuses children to a daemon. The
children of a run are ended with it (worker/run_programs.py), so nothing is left behind.
"""

from multiprocessing.process import AuthenticationString  # type: ignore[attr-defined]  # not in the stubs
from typing import Any

import billiard


def allow_children() -> None:
    """Let this pool process have children by multiprocessing, of each start method."""
    current: Any = billiard.current_process()
    current.daemon = False
    # The start method `spawn` passes the key on, and pickles only Python's own class of it.
    key = bytes(current.authkey)
    current._config["authkey"] = AuthenticationString(key)
