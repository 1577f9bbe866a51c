"""Calls that are made one after the other, also if one interrupts another in its own thread.

A signal handler of a task may print while the task prints, and so may a destructor. A lock that
makes the second wait would never be free; one that lets it in would mix the two.
"""

import threading
from collections import deque
from collections.abc import Callable
from typing import Any


class _Thread(threading.local):
    #: Whether this thread is in a call of any `SerialCalls`.
    is_calling = False


_thread = _Thread()


class SerialCalls:
    """Makes calls in the order in which they come, one at a time.

    A thread waits until its call was made. Only a call from within another call returns at
    once if a call is being made: whoever makes it makes this one next. So no interrupt waits for
    the code that it interrupts, and no two threads wait for each other.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._waiting: deque[tuple[Callable[..., None], tuple[Any, ...]]] = deque()
        self._is_busy = False

    def call(self, function: Callable[..., None], *args: Any) -> None:
        """Call *function* when the calls before it were made.

        After an error, the next call makes those that still wait.
        """
        self._waiting.append((function, args))
        is_nested = _thread.is_calling
        # Before the lock is taken: an interrupt must not wait for it from then on.
        _thread.is_calling = True
        try:
            while self._waiting and not (is_nested and self._is_busy):
                # By `with`: after `acquire`, an interrupt that raises would leave it locked.
                with self._lock:
                    self._make_calls()
        finally:
            _thread.is_calling = is_nested

    def _make_calls(self) -> None:
        # A call that found it busy is in the queue by then: look again each time.
        while self._waiting:
            self._is_busy = True
            try:
                # An interrupt may have made the last one meanwhile.
                if self._waiting:
                    function, args = self._waiting.popleft()
                    function(*args)
            finally:
                self._is_busy = False
