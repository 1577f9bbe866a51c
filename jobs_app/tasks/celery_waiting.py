"""Says what a run of the task `celery` waits for, once it has waited for long."""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

from jobs_app.tasks.celery_message import TaskMessage
from jobs_app.tasks.context import ProgressSink

T = TypeVar("T")

#: After this long a message that nobody has taken is a line in the log, seconds.
UNTAKEN_SECONDS = 30.0

#: After this long a task without a result is a line in the log; then after twice as long, and so
#: on; seconds.
LONG_SECONDS = 300.0


class Waiting:
    """The wait for the result of one task.

    *is_untaken* tells whether the message lies in its queue; it may raise. *write* adds a line to
    the log of the run, whose progress gets the same.
    """

    def __init__(
        self,
        message: TaskMessage,
        is_untaken: Callable[[], bool],
        write: Callable[[str], None],
        progress: ProgressSink | None,
    ) -> None:
        self._message = message
        self._is_untaken = is_untaken
        self._write = write
        self._progress = progress
        self._looks_at = UNTAKEN_SECONDS
        self._writes_at = LONG_SECONDS

    def look(self, seconds: float, *, has_state: bool) -> None:
        """Say what is to be said after *seconds*; a task that *has_state* reports by itself."""
        message = self._message
        if not has_state and seconds >= self._looks_at:
            self._looks_at = float("inf")
            if self._is_untaken():
                text = f"nobody has taken the message from the queue {message.queue!r} yet"
                self._write(f"After {seconds:.0f} s {text}: do your workers consume it?")
                self._report(text)
        if seconds >= self._writes_at:
            self._writes_at *= 2
            text = f"waiting for the result of {message.task}"
            self._write(
                f"Still {text}, sent as {message.id}, after {seconds / 60:.0f} min. A worker that"
                " was killed stores none. celery inspect active shows what your workers do; a"
                " cancel or a time limit ends the wait."
            )
            if not has_state:
                self._report(text)

    def _report(self, text: str) -> None:
        if self._progress is not None:
            self._progress.report(None, text, None)


def in_thread(call: Callable[[], T]) -> Future[T]:
    """Call *call* in a thread of its own: a server may hold it longer than the run may take."""
    future: Future[T] = Future()

    def work() -> None:
        try:
            future.set_result(call())
        except BaseException as error:  # noqa: BLE001  # it is raised in the waiting thread
            future.set_exception(error)

    threading.Thread(target=work, name="celery-client", daemon=True).start()
    return future
