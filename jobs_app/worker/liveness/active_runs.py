"""The runs that a worker's processes and threads work on, in a table in shared memory.

Celery's main process can lose this knowledge: when its connection to Redis breaks, it forgets
the messages that no process has accepted yet. So each process notes its own run here.
"""

import os
import threading
from collections.abc import Iterator
from multiprocessing.sharedctypes import RawArray, RawValue
from struct import Struct
from uuid import UUID

Attempt = tuple[UUID, int]

#: A pool has at most this many processes; those beyond are not tracked.
SLOTS = 1024

#: A slot of the table: process id (0: idle), attempt number, run id.
SLOT = Struct("=qq16s")

_EMPTY_SLOT = bytes(SLOT.size)


class ActiveRuns:
    """The active attempts, in shared memory. Create it before the pool forks.

    An attempt is active from before its claim until its finish is written or held.
    """

    def __init__(self) -> None:
        self._table = memoryview(RawArray("B", SLOTS * SLOT.size)).cast("B")
        self._used = RawValue("L", 0)
        # None in a pool of threads: they share this process.
        self._slot: int | None = None
        self._threads: dict[int, Attempt] = {}

    def take_slot(self, slot: int) -> None:
        """Use *slot* (from 0) for this process; the process that had it before is dead."""
        self._threads.clear()
        self._slot = slot
        self._used.value = max(self._used.value, slot + 1)
        self.end()

    @property
    def is_complete(self) -> bool:
        """Whether the table holds every active attempt."""
        return bool(self._used.value <= SLOTS)

    def begin(self, run_id: UUID, attempt: int) -> None:
        """Mark this process, or this thread of it, as working on an attempt."""
        if self._slot is None:
            self._threads[threading.get_ident()] = (run_id, attempt)
        elif self._slot < SLOTS:
            offset = self._slot * SLOT.size
            SLOT.pack_into(self._table, offset, os.getpid(), attempt, run_id.bytes)

    def end(self) -> None:
        """Mark this process, or this thread of it, as idle."""
        if self._slot is None:
            self._threads.pop(threading.get_ident(), None)
        elif self._slot < SLOTS:
            offset = self._slot * SLOT.size
            self._table[offset : offset + SLOT.size] = _EMPTY_SLOT

    def attempts(self) -> dict[Attempt, int]:
        """Return the active attempts, each with its process id.

        One that begins or ends at this moment may be missing.
        """
        return dict(self._entries())

    def is_active(self, run_id: UUID, attempt: int) -> bool:
        """Tell whether a living process works on an attempt or is about to claim it."""
        return any(_lives(pid) for active, pid in self._entries() if active == (run_id, attempt))

    def _entries(self) -> Iterator[tuple[Attempt, int]]:
        for active in list(self._threads.values()):
            yield active, os.getpid()
        size = min(self._used.value, SLOTS) * SLOT.size
        for pid, attempt, run_id in SLOT.iter_unpack(bytes(self._table[:size])):
            if pid:
                yield (UUID(bytes=run_id), attempt), pid


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        # It exists and belongs to another user.
        return True
    return True
