"""What a worker's processes and threads work on: a table that its main process can read.

Celery's main process knows what it was told, and that can be lost: with a connection to Redis
it forgets what it has given out and not heard of since. What works on a run says so itself.
"""

import os
import threading
from collections.abc import Iterator
from multiprocessing.sharedctypes import RawArray, RawValue
from struct import Struct
from uuid import UUID

Attempt = tuple[UUID, int]

#: More processes than that no pool has. Of those beyond, nothing is known.
SLOTS = 1024

#: A slot in the table: the process (0: none), the attempt, the run.
SLOT = Struct("=qq16s")

_EMPTY_SLOT = bytes(SLOT.size)


class ActiveRuns:
    """The attempts that are being worked on, in shared memory. Make it before the pool forks.

    An attempt is in it from before its claim until its end is on record, or held back.
    """

    def __init__(self) -> None:
        self._table = memoryview(RawArray("B", SLOTS * SLOT.size)).cast("B")
        self._used = RawValue("L", 0)
        # None for a process without children, whose threads work.
        self._slot: int | None = None
        self._threads: dict[int, Attempt] = {}

    def take_slot(self, slot: int) -> None:
        """Note under *slot*, from 0, what this process works on; the one before it is gone."""
        self._threads.clear()
        self._slot = slot
        self._used.value = max(self._used.value, slot + 1)
        self.end()

    @property
    def is_complete(self) -> bool:
        """Whether what is not in the table is not being worked on."""
        return bool(self._used.value <= SLOTS)

    def begin(self, run_id: UUID, attempt: int) -> None:
        """Note that this process, or this thread of it, works on an attempt from now on."""
        if self._slot is None:
            self._threads[threading.get_ident()] = (run_id, attempt)
        elif self._slot < SLOTS:
            where = self._slot * SLOT.size
            SLOT.pack_into(self._table, where, os.getpid(), attempt, run_id.bytes)

    def end(self) -> None:
        """Note that it does no longer."""
        if self._slot is None:
            self._threads.pop(threading.get_ident(), None)
        elif self._slot < SLOTS:
            where = self._slot * SLOT.size
            self._table[where : where + SLOT.size] = _EMPTY_SLOT

    def attempts(self) -> dict[Attempt, int]:
        """Return the attempts that are being worked on, each with its process.

        One that begins or ends just now may be missing.
        """
        return dict(self._entries())

    def is_active(self, run_id: UUID, attempt: int) -> bool:
        """Tell whether a process that lives is about to claim an attempt, or works on it."""
        return any(_lives(pid) for each, pid in self._entries() if each == (run_id, attempt))

    def _entries(self) -> Iterator[tuple[Attempt, int]]:
        for each in list(self._threads.values()):
            yield each, os.getpid()
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
        # It has become somebody else, and is there.
        return True
    return True
