"""The lease that a worker's processes share: the worker's id and how long they may still work.

The main process renews the lease with each heartbeat that the database accepted. Its pool
processes, and through them the supervisors of commands, only read it. The clock is monotonic
and shared by all processes of a machine. On Linux (CLOCK_BOOTTIME) it also counts suspend.
"""

import time
from multiprocessing.sharedctypes import RawArray, RawValue
from uuid import UUID

_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def now() -> float:
    """Return the time of the lease's clock, seconds."""
    return time.clock_gettime(_CLOCK)


class Lease:
    """A worker's id and the time of its last heartbeat, in shared memory.

    Create it before the pool forks. It counts as run out until `renew` is called.
    """

    def __init__(self, fence_seconds: float) -> None:
        self._fence_seconds = fence_seconds
        self._renewed = RawValue("d", float("-inf"))
        self._id = RawArray("B", 16)

    @property
    def worker_id(self) -> UUID:
        """The id under which this worker is registered; it gets a new one after it was given up."""
        return UUID(bytes=bytes(self._id))

    def adopt(self, worker_id: UUID) -> None:
        """Use *worker_id* from now on."""
        self._id[:] = worker_id.bytes

    def renew(self, begun: float) -> None:
        """Start the lease at *begun*: the `now()` before the heartbeat, not after it."""
        self._renewed.value = begun

    @property
    def is_fresh(self) -> bool:
        """Whether heartbeats arrive: the last one is younger than half the lease."""
        return self.seconds_left() > self._fence_seconds / 2

    def was_renewed_within(self, seconds: float) -> bool:
        """Tell whether a heartbeat arrived within the last *seconds*."""
        return now() - float(self._renewed.value) < seconds

    def seconds_left(self, *, of: UUID | None = None) -> float:
        """Return how many seconds work may continue without a heartbeat; 0 or less: stop.

        *of* is the worker id of a claim. The answer is 0 if the worker has another id now:
        it was given up since that claim.
        """
        if of is not None and of != self.worker_id:
            return 0.0
        return float(self._renewed.value) + self._fence_seconds - now()
