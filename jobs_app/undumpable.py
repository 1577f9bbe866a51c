"""Keeps a process's environment and memory from other processes of the same user.

A shell job runs as its worker does. Without this it could read the key of the secrets and
the password of the database in `/proc/PID/environ`, and everything else in `/proc/PID/mem`.
"""

import ctypes
import sys

PR_SET_DUMPABLE = 4


def become_undumpable() -> None:
    """Close this process, and those that it forks, to all others but root's (on Linux).

    It leaves no core dump then, and only root can attach a debugger. What it starts by
    `exec` is open again, as any program is.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)
