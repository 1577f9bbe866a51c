"""The problems that a worker knows of itself: it lives, but does not do all of its work."""

from collections.abc import Sequence
from typing import Any

from jobs_app.broker.gate import Gate

#: A queue that is not consumed at so many heartbeats in a row is a problem: a connection that
#: is being opened again is none.
MISSES = 2

OTHER_KEY = (
    "It refuses messages that were signed with another key than its own: give every process "
    "the same JOBS_SECRET_KEY."
)


class Problems:
    """Finds the problems of a Celery *worker* that should consume *queues*."""

    def __init__(self, worker: Any, gate: Gate, queues: Sequence[str]) -> None:
        self._worker = worker
        self._gate = gate
        self._queues = queues
        self._misses = 0

    def __call__(self) -> str | None:
        """Return the problems in sentences, None if there are none; call it at each heartbeat."""
        self._gate.report()
        missing = self._missing()
        self._misses = self._misses + 1 if missing else 0
        problems = []
        if self._misses >= MISSES:
            problems.append(f"It does not consume its queues: {', '.join(missing)}.")
        if self._gate.has_other_key:
            problems.append(OTHER_KEY)
        return " ".join(problems) or None

    def _missing(self) -> list[str]:
        """Return the queues that the worker does not consume now."""
        consumer = getattr(self._worker, "consumer", None)
        tasks = getattr(consumer, "task_consumer", None)
        return [name for name in self._queues if tasks is None or not tasks.consuming_from(name)]
