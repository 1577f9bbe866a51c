"""What every process of jobs-app does at its start."""

import ctypes
import gc
import sys

PR_SET_DUMPABLE = 4


def pause_gc() -> None:
    """Turn the garbage collector off while modules are imported: that saves a fifth of the time."""
    gc.disable()


def resume_gc() -> None:
    """Turn the garbage collector on for new objects; call it before a process forks.

    It no longer touches what was imported, so that forked processes share those pages.
    """
    gc.freeze()
    gc.enable()


def become_undumpable() -> None:
    """Close this process, and those that it forks, to all others but root's (on Linux).

    A shell job runs as its worker does. Without this it could read the key of the secrets and
    the password of the database in `/proc/PID/environ`, and everything else in `/proc/PID/mem`.

    The process leaves no core dump then, and only root can attach a debugger. A program that
    it starts by `exec` is open again, as any program is.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)
