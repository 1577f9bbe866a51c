"""Judges which workers are lost, by their heartbeat counters and our own monotonic clock."""

from uuid import UUID


class HeartbeatMonitor:
    """Finds workers whose heartbeat counter stands still.

    Only the time between two successful looks counts, and at most `most_step_seconds`
    of it. So a frozen janitor or an unreachable database does not make a worker look
    lost, and no wall clock is asked. A counter may be read later than its look began, by
    as much as one step. The step must therefore fit between the end of a worker's lease
    and `lost_seconds`.
    """

    def __init__(self, *, lost_seconds: float, most_step_seconds: float = 5.0) -> None:
        self._lost_seconds = lost_seconds
        self._most_step_seconds = most_step_seconds
        self._counters: dict[UUID, tuple[int, float]] = {}
        self._looked_at: float | None = None

    def silent_workers(self, beats: dict[UUID, int], *, monotonic: float) -> dict[UUID, int]:
        """Take the counters of the living workers; return those that stood still too long."""
        step = 0.0
        if self._looked_at is not None:
            step = min(monotonic - self._looked_at, self._most_step_seconds)
        self._looked_at = monotonic
        counters = {}
        for worker_id, count in beats.items():
            before = self._counters.get(worker_id)
            is_same = before is not None and before[0] == count
            counters[worker_id] = (count, before[1] + step if before and is_same else 0.0)
        self._counters = counters
        return {
            worker_id: count
            for worker_id, (count, silent_seconds) in counters.items()
            if silent_seconds >= self._lost_seconds
        }
