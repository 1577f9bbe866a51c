"""Knows the run whose output a thread writes: that of its context, or the only one."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from enum import Enum
from typing import Literal
from weakref import WeakSet

from jobs_app.tasks.context import LogSink, Stream


class _Unset(Enum):
    UNSET = "unset"


_sink: ContextVar[LogSink | Literal[_Unset.UNSET] | None] = ContextVar(
    "run_log_sink", default=_Unset.UNSET
)


@dataclass(frozen=True, slots=True)
class _OnlyRun:
    """The only run of this process, and the threads that are older than it."""

    sink: LogSink
    earlier_threads: frozenset[int | None]


class _ForkedSink:
    """The sink of a forked copy of this process, in which the run's log has no thread."""

    def write(self, stream: Stream, data: bytes) -> None:
        with suppress(OSError):
            os.write(1 if stream == "stdout" else 2, data)


class _NoSink:
    """The sink of threads that outlive their run: it drops what they write."""

    def write(self, stream: Stream, data: bytes) -> None:
        pass


#: Where the output of a thread goes whose run is over: it may hold secrets of that run.
NO_SINK = _NoSink()

#: The threads that an only run has started and left behind.
_left_behind: WeakSet[threading.Thread] = WeakSet()

_only_run: _OnlyRun | None = None
_forked_sink: _ForkedSink | None = None


def sink_here() -> LogSink | None:
    """Return the log of this thread's run; None for the worker itself.

    A thread whose run is over gets NO_SINK.
    """
    if _forked_sink is not None:
        return _forked_sink
    sink, only_run = _sink.get(), _only_run
    if sink is not _Unset.UNSET:
        return sink
    if _left_behind and threading.current_thread() in _left_behind:
        return NO_SINK
    if only_run is None or threading.get_ident() in only_run.earlier_threads:
        return None
    return only_run.sink


def is_run_log(sink: LogSink) -> bool:
    """Tell whether *sink* is the log of a run in this very process.

    A forked copy must not wait for a lock that a thread of its parent has: nobody frees it.
    """
    return sink is not NO_SINK and sink is not _forked_sink


@contextmanager
def route_to(log: LogSink) -> Iterator[None]:
    """Send the output of this thread (or asyncio task) to *log* during the block."""
    token = _sink.set(log)
    try:
        yield
    finally:
        _sink.reset(token)


def leave_run_output() -> None:
    """Send the output of this thread to the worker's log, whichever run is active."""
    _sink.set(None)


def begin_only_run(log: LogSink) -> None:
    """From now on, send the output of threads that start later to *log* too."""
    global _only_run
    _only_run = _OnlyRun(log, frozenset(thread.ident for thread in threading.enumerate()))


def end_only_run() -> None:
    """Send the output of other threads to the worker's log again.

    Drop that of the threads that started in between and go on.
    """
    global _only_run
    if _only_run is not None:
        earlier = _only_run.earlier_threads
        _left_behind.update(t for t in threading.enumerate() if t.ident not in earlier)
    _only_run = None


def become_forked_copy() -> None:
    """Write to the descriptors from now on: this process is a copy that a task forked."""
    global _forked_sink
    _forked_sink = _ForkedSink()
