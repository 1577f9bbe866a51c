"""What a worker's processes share: who they are, and how long they may still work.

The main process renews the lease with each heartbeat that the database took; its pool
children, and through them the keepers of shell jobs, only look at it. CLOCK_MONOTONIC
is the same for all processes of a machine, and no change of the date moves it.
"""

import time
from multiprocessing.sharedctypes import RawArray, RawValue
from uuid import UUID


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
        self._id[:] = worker_id.bytes  # type: ignore[index]

    def renew(self, monotonic: float) -> None:
        """Count the lease from *monotonic*: when the heartbeat was begun, not when it ended."""
        self._renewed.value = monotonic

    def seconds_left(self) -> float:
        """Return how long work may go on without another heartbeat; 0 or less: not at all."""
        return self._renewed.value + self._fence_seconds - time.monotonic()
