"""Steps at the start of a process: garbage collection, protection, limits of its programs."""

import ctypes
import gc
import resource
import sys
from contextlib import suppress

PR_SET_DUMPABLE = 4
PR_SET_NO_NEW_PRIVS = 38

#: The option of glibc's mallopt for the most arenas (malloc.h).
M_ARENA_MAX = -8

#: Heaps of memory that the threads of a process share: with one for each, the web server takes
#: 18 MB more, and a worker of 16 threads 4 MB.
ARENAS = 2


def pause_gc() -> None:
    """Turn the garbage collector off during imports, which saves a fifth of their time."""
    gc.disable()


def resume_gc() -> None:
    """Turn the garbage collector on for new objects; call this before a fork.

    The collector skips the imported objects, so that forked processes share their pages.
    """
    gc.freeze()
    gc.enable()


def limit_arenas(most: int = ARENAS) -> None:
    """Let the threads of this process share *most* heaps of the C library (glibc only).

    By default each thread gets one of its own, and keeps what it once needed.
    """
    with suppress(AttributeError, OSError):
        ctypes.CDLL(None).mallopt(M_ARENA_MAX, most)


def protect_memory() -> None:
    """Let only root read the memory of this process and of those that it forks (on Linux).

    A shell job runs under the same user as its worker. Without this it could read the secret
    key and the password of the database in `/proc/PID/environ` and `/proc/PID/mem`.

    The process writes no core dump then, and only root can attach a debugger. A program that
    it starts by `exec` is not protected.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)


def limit_programs(*, new_privileges: bool) -> None:
    """Limit this process and all programs that it will start, for good: no core dumps.

    Without *new_privileges*, a program gains no rights from a setuid file or from file
    capabilities (on Linux): `sudo` fails then.
    """
    # A core dump of a job would have its secrets, and fill the disk.
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux" and not new_privileges:
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
