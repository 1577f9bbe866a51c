"""What a worker's processes share: who they are, and how long they may still work.

The main process renews the lease with each heartbeat that the database took; its pool
children, and through them the supervisors of shell jobs, only look at it. The clock is the
same for all processes of a machine, no change of the date moves it, and where there is
CLOCK_BOOTTIME (Linux) it also counts the time that a suspended machine slept.
"""

import time
from multiprocessing.sharedctypes import RawArray, RawValue
from uuid import UUID

_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def now() -> float:
    """Return the seconds of the lease's clock."""
    return time.clock_gettime(_CLOCK)


class Lease:
    """The identity of a worker and the instant of its last heartbeat, in shared memory.

    Make it before the pool forks. Until `renew` is called the lease has run out.
    """

    def __init__(self, fence_seconds: float) -> None:
        self._fence_seconds = fence_seconds
        self._renewed = RawValue("d", float("-inf"))
        self._id = RawArray("B", 16)

    @property
    def worker_id(self) -> UUID:
        """The id under which this worker is registered now; it changes when it was given up."""
        return UUID(bytes=bytes(self._id))

    def adopt(self, worker_id: UUID) -> None:
        """Work under *worker_id* from now on."""
        self._id[:] = worker_id.bytes

    def renew(self, begun: float) -> None:
        """Count the lease from *begun*: the `now()` before the heartbeat, not after it."""
        self._renewed.value = begun

    @property
    def is_fresh(self) -> bool:
        """Whether heartbeats come: half of the lease without one means that they do not."""
        return self.seconds_left() > self._fence_seconds / 2

    def seconds_left(self, *, of: UUID | None = None) -> float:
        """Return how long work may go on without another heartbeat; 0 or less: not at all.

        With *of*, how long what was claimed under that id may: not at all once the worker
        has another one, since it was given up in between.
        """
        if of is not None and of != self.worker_id:
            return 0.0
        return float(self._renewed.value) + self._fence_seconds - now()
