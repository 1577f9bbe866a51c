"""The problems that a worker knows of itself: it lives, but does not do all of its work."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from celery.worker import state

from jobs_app.broker.gate import Gate
from jobs_app.tasks.user_apps import BrokenModule, not_loaded

#: A queue that is not consumed at so many heartbeats in a row is a problem: a connection that
#: is being opened again is none.
MISSES = 2

OTHER_KEY = (
    "It refuses messages that were signed with another key than its own: give every process "
    "the same JOBS_SECRET_KEY."
)


class Problems:
    """Finds the problems of a Celery *worker* that should consume *queues*.

    *broken* are the modules of JOBS_IMPORTS that it could not load.
    """

    def __init__(
        self,
        worker: Any,
        gate: Gate,
        queues: Sequence[str],
        broken: Mapping[str, BrokenModule] = MappingProxyType({}),
    ) -> None:
        self._worker = worker
        self._broken = broken
        self._gate = gate
        self._queues = queues
        self._misses = 0

    def __call__(self) -> str | None:
        """Return the problems in sentences, None if there are none; call it at each heartbeat.

        A worker that is stopping has none: it takes no messages any more.
        """
        self._gate.report()
        if _is_stopping():
            return None
        missing = self._missing()
        self._misses = self._misses + 1 if missing else 0
        problems = []
        if self._misses >= MISSES:
            problems.append(f"It does not consume its queues: {', '.join(missing)}.")
        if self._gate.has_other_key:
            problems.append(OTHER_KEY)
        # Without the text of the error: /readyz shows it to everybody.
        problems += [f"{not_loaded(name, e.error_name)}." for name, e in self._broken.items()]
        return " ".join(problems) or None

    def _missing(self) -> list[str]:
        """Return the queues that the worker does not consume now."""
        consumer = getattr(self._worker, "consumer", None)
        tasks = getattr(consumer, "task_consumer", None)
        return [name for name in self._queues if tasks is None or not tasks.consuming_from(name)]


def _is_stopping() -> bool:
    """Tell whether this process was asked to stop: Celery notes its exit code, which may be 0."""
    codes: tuple[Any, ...] = (state.should_stop, state.should_terminate)
    return any(code is not None and code is not False for code in codes)
