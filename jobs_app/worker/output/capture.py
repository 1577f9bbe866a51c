"""Captures the output of a run: standard streams, loggers and file descriptors."""

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

from billiard.exceptions import SoftTimeLimitExceeded

from jobs_app.tasks.context import LogSink, Stream
from jobs_app.worker.output import routing, run_logging
from jobs_app.worker.output.fd_capture import FdCapture
from jobs_app.worker.output.routing import sink_here
from jobs_app.worker.output.streams import RoutedText

#: The names of the standard streams in `sys`.
STREAMS = ("stdout", "stderr", "__stdout__", "__stderr__")

_install_lock = threading.Lock()
_fd_capture: FdCapture | None = None
_is_installed = False


def prepare_worker() -> None:
    """Install the streams of a worker; call it before the user's modules are imported.

    So loggers and libraries that keep `sys.stdout` at their import are heard in each pool.
    """
    run_logging.note_own_handlers()
    with _install_lock:
        _install_streams(sys.stdout, sys.stderr)


def adopt_user_handlers() -> None:
    """Make handlers of the user's modules heard in runs; call it when these are imported."""
    with _install_lock:
        streams = _streams()
    run_logging.adopt_user_handlers(streams)


def capture_descriptors() -> frozenset[int]:
    """From now on, also capture writes to descriptors 1 and 2 during a run.

    Return their copies, such as that of a user's `open("/dev/stderr")`: they are captured too.

    Only for a process that works on one run at a time. The worker's own log is not affected.
    """
    global _fd_capture
    try:
        _fd_capture = FdCapture()
    except OSError:
        # The service has no output: nothing to capture.
        return frozenset()
    own_streams = _fd_capture.own_streams()
    for handler in run_logging.worker_handlers():
        run_logging.keep_runs_out(handler)
        handler.setStream(own_streams[run_logging.number_of(handler.stream) - 1])
    with _install_lock:
        _install_streams(*own_streams)
    return _fd_capture.copies


@contextmanager
def capture_output(log: LogSink, *, is_python: bool = True) -> Iterator[None]:
    """Send the output and the log records of the block to *log*, and nowhere else.

    This covers only this thread (or asyncio task), so that runs in a pool of threads never
    mix. Output of other threads, C code and child processes goes to the worker's log. In a
    process with one run at a time (`capture_descriptors`) it is captured too, unless
    *is_python* is false: our own tasks write to their log directly.
    """
    _install()
    streams = {name: vars(sys)[name] for name in STREAMS}
    fd_capture = _fd_capture if is_python else None
    with routing.route_to(log):
        try:
            if fd_capture is not None:
                routing.begin_only_run(log)
                fd_capture.redirect(log)
            yield
        finally:
            # The task may have put other streams in their place.
            vars(sys).update(streams)
            if fd_capture is not None:
                _end_capture(fd_capture)


def _end_capture(fd_capture: FdCapture) -> None:
    routing.end_only_run()
    try:
        fd_capture.restore()
    except SoftTimeLimitExceeded:
        # The limit fires once, and the task has ended: ignore it.
        fd_capture.restore()


def _deliver(stream: Stream, data: bytes, sink: LogSink) -> None:
    """Write *data* to the log of the run, after the output that its programs wrote before."""
    if _fd_capture is not None and routing.is_run_log(sink):
        _fd_capture.write(stream, data, sink)
    else:
        sink.write(stream, data)


def _write_record(text: str) -> None:
    sink = sink_here()
    if sink is not None:
        _deliver("stderr", text.encode("utf-8", "backslashreplace"), sink)


def _install() -> None:
    """Install the routed streams and handlers; again if other code replaced sys.stdout."""
    global _is_installed
    with _install_lock:
        if not _is_installed:
            os.register_at_fork(after_in_child=routing.become_forked_copy)
            for handler in run_logging.worker_handlers():
                run_logging.keep_runs_out(handler)
            _is_installed = True
        for stream in _streams().values():
            stream.reset()
    run_logging.install_handler(_write_record)


def _streams() -> dict[int, RoutedText]:
    """Return the routed streams by descriptor; install those that are missing."""
    if not isinstance(sys.stdout, RoutedText):
        sys.stdout = RoutedText("stdout", sys.stdout, _deliver)
    if not isinstance(sys.stderr, RoutedText):
        sys.stderr = RoutedText("stderr", sys.stderr, _deliver)
    return {1: sys.stdout, 2: sys.stderr}


def _install_streams(out: TextIO | None, err: TextIO | None) -> None:
    """Make *out* and *err* the worker's own streams, below `sys.stdout` and `sys.stderr`."""
    for number, original in ((1, out), (2, err)):
        stream = _streams()[number]
        if original is not stream:
            stream.raw.original = original
    vars(sys).update(__stdout__=sys.stdout, __stderr__=sys.stderr)
