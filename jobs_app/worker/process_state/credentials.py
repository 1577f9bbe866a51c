"""The rights of a process: users, groups, capabilities, root directory and session."""

import ctypes
import os
import sys
from contextlib import suppress
from typing import Any

from jobs_app.core.process import PR_SET_DUMPABLE

IS_LINUX = sys.platform == "linux"

PR_GET_DUMPABLE = 3
PR_GET_SECCOMP = 21
PR_GET_NO_NEW_PRIVS = 39

#: Version 3 of capget(2): its data are two groups of three 32-bit sets.
CAPABILITY_VERSION = 0x20080522
CAPABILITY_BYTES = 24

NAMES = (
    "user_id",
    "group_id",
    "groups",
    "capabilities",
    "dumpable",
    "system_call_filter",
    "no_new_privileges",
    "process_group",
    "session",
    "root_directory",
)
CAPABILITIES, DUMPABLE, PROCESS_GROUP = map(
    NAMES.index, ("capabilities", "dumpable", "process_group")
)

_libc = ctypes.CDLL(None)


class Credentials:
    """The saved rights; some of them cannot be regained once they are dropped."""

    def __init__(self) -> None:
        self._header = (ctypes.c_uint32 * 2)(CAPABILITY_VERSION, 0)
        self._data = ctypes.create_string_buffer(CAPABILITY_BYTES)
        self._saved = self._now()

    def restore(self) -> list[str]:
        """Restore the rights; return the names of those that stay changed."""
        if self._now() == self._saved:
            return []
        self._restore_ids()
        with suppress(OSError):
            os.setpgid(0, self._saved[PROCESS_GROUP])
        self._data.raw = self._saved[CAPABILITIES]
        if IS_LINUX:
            _libc.capset(self._header, self._data)
            _libc.prctl(PR_SET_DUMPABLE, self._saved[DUMPABLE], 0, 0, 0)
        pairs = zip(NAMES, self._now(), self._saved, strict=True)
        return [name for name, now, saved in pairs if now != saved]

    def _restore_ids(self) -> None:
        # The user first: only root may choose groups.
        user, group, groups = self._saved[:3]
        with suppress(OSError):
            os.setresuid(*user)
        with suppress(OSError):
            os.setresgid(*group)
        with suppress(OSError):
            os.setgroups(groups)

    def _now(self) -> tuple[Any, ...]:
        """Return the present rights, in the order of NAMES."""
        return (
            os.getresuid(),
            os.getresgid(),
            os.getgroups(),
            self._capabilities(),
            _flag(PR_GET_DUMPABLE),
            _flag(PR_GET_SECCOMP),
            _flag(PR_GET_NO_NEW_PRIVS),
            os.getpgid(0),
            os.getsid(0),
            _root(),
        )

    def _capabilities(self) -> bytes:
        if IS_LINUX:
            _libc.capget(self._header, self._data)
        return self._data.raw


def _flag(number: int) -> int:
    return int(_libc.prctl(number, 0, 0, 0, 0)) if IS_LINUX else 0


def _root() -> tuple[int, int] | None:
    try:
        status = os.stat("/")
    except OSError:
        return None
    return status.st_dev, status.st_ino
