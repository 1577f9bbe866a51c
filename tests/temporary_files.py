"""Where the tests write: into memory where there is room, since each commit waits for a disk."""

import os
import tempfile
from pathlib import Path

import psutil

MEMORY = Path("/dev/shm")
#: What a run of all tests needs at most, and what the machine needs beside it, bytes.
ROOM_BYTES = 2 * 1024**3


def use_memory() -> None:
    """Let this process, and all that it starts, keep temporary files in memory.

    Not if TMPDIR names another place, if there is too little room, or if no program may be run
    from there: then they are kept where they always are.
    """
    if "TMPDIR" in os.environ or not os.access(MEMORY, os.W_OK | os.X_OK):
        return
    status = os.statvfs(MEMORY)
    has_room = status.f_bavail * status.f_frsize >= ROOM_BYTES
    if has_room and _has_memory() and not status.f_flag & os.ST_NOEXEC:
        # Python may have looked for its place before.
        os.environ["TMPDIR"] = tempfile.tempdir = str(MEMORY)


def _has_memory() -> bool:
    return psutil.virtual_memory().available >= 2 * ROOM_BYTES
