"""Celery's autoscaler for the pool `prefork`, which shrinks only a pool without any work.

Celery's own may end a process that has just been given a run, and its message with it.
"""

from time import monotonic
from typing import Any

from celery.worker.autoscale import Autoscaler

#: Processes beyond those that stay are ended after this time without work, seconds.
IDLE_SECONDS = 60.0


class IdleAutoscaler(Autoscaler):
    """Starts processes as work comes, and ends them once there has been none for a while."""

    pool: Any

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._busy_at = monotonic()

    def maybe_scale(self, req: Any = None) -> None:
        """Grow or shrink the pool. Celery calls it with each message, and every 30 seconds."""
        if self.qty:
            self._busy_at = monotonic()
        wanted = min(self.qty, self.max_concurrency)
        if wanted > self.processes:
            self.scale_up(wanted - self.processes)
        elif self.processes > self.min_concurrency and self._is_idle():
            self.pool.shrink(self.processes - self.min_concurrency)
        else:
            return
        # It starts the new processes at once; Celery would do it within five seconds.
        self.pool.maintain_pool()

    def _is_idle(self) -> bool:
        return monotonic() - self._busy_at > IDLE_SECONDS
