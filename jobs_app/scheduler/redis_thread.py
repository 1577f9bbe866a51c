"""A thread for the scheduler's calls to Redis, so that a Redis that hangs delays no fire."""

import threading
import time
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any, TypeVar

from jobs_app.core.errors import BrokerUnavailable

T = TypeVar("T")

#: How long a call may run before its caller goes on without its answer, seconds.
CALL_SECONDS = 0.5

#: The same after a call that failed or hung, until one succeeds; seconds.
PROBE_SECONDS = 0.1

NO_ANSWER = "Redis: no answer yet."


class Call:
    """A call to Redis: its command, and its result or its error as soon as it has ended."""

    def __init__(self, command: Callable[[], Any], seconds: float) -> None:
        self._command = command
        self._seconds = seconds
        self._due_at: float | None = None
        self._ended = threading.Event()
        self._error: BaseException | None = None
        self._value: Any = None
        #: Its caller has given up: if it has not begun, it must not begin.
        self.is_abandoned = False

    def execute(self) -> bool:
        """Run the command; return whether it succeeded."""
        self._due_at = time.monotonic() + self._seconds
        try:
            self._value = self._command()
        except BaseException as error:  # noqa: BLE001 (the caller gets it)
            self._error = error
        self._ended.set()
        return self._error is None

    def seconds_left(self) -> float:
        """Return how long its answer may still take; a call that has not begun has all its time."""
        return self._seconds if self._due_at is None else self._due_at - time.monotonic()

    def wait(self, seconds: float) -> bool:
        """Wait until the call has ended, at most *seconds*; return whether it has."""
        return self._ended.wait(seconds)

    def result(self) -> Any:
        """Return what the command returned, or raise its error."""
        if self._error is not None:
            raise self._error
        return self._value


class RedisThread:
    """Runs calls to Redis one after the other, and lets no caller wait long.

    The time-outs of sockets are no bound: a call has several of them, name resolution has
    none, and a server that sends a byte a second meets each. While a call hangs, all others
    fail at once. The call that hangs is also the probe: as soon as it ends, others may run.

    A call may take effect after its caller has given up. So a command must be harmless then.
    """

    def __init__(
        self, *, seconds: float = CALL_SECONDS, probe_seconds: float = PROBE_SECONDS
    ) -> None:
        self._seconds = seconds
        self._probe_seconds = probe_seconds
        self._is_answering = True
        self._current: Call | None = None
        self._calls: SimpleQueue[Call | None] = SimpleQueue()
        # A daemon: the process need not wait for a call that hangs when it ends.
        threading.Thread(target=self._serve, name="redis", daemon=True).start()

    @property
    def is_busy(self) -> bool:
        """Whether a call is running."""
        return self._current is not None

    def run(self, command: Callable[[], T], *, extra_seconds: float = 0.0) -> T:
        """Return the result of *command*, or raise its error.

        It may run for half a second and *extra_seconds*; then BrokerUnavailable is raised.
        """
        if self._current is not None and self._current.seconds_left() <= 0:
            raise BrokerUnavailable(NO_ANSWER)
        limit = self._seconds if self._is_answering else self._probe_seconds
        call = Call(command, limit + extra_seconds)
        self._calls.put(call)
        while not call.wait(max(0.0, self._seconds_left(call))):
            if self._seconds_left(call) <= 0:
                call.is_abandoned = True
                self._is_answering = False
                raise BrokerUnavailable(NO_ANSWER)
        # Typed Any: a queue of calls cannot know the type of each.
        value: T = call.result()
        return value

    def close(self) -> None:
        """End the thread after the calls that are waiting."""
        self._calls.put(None)

    def _seconds_left(self, call: Call) -> float:
        """Return how long *call*, or the one that it waits for, may still take."""
        return (self._current or call).seconds_left()

    def _serve(self) -> None:
        while (call := self._calls.get()) is not None:
            if call.is_abandoned:
                continue
            self._current = call
            self._is_answering = call.execute()
            self._current = None
