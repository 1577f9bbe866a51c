"""Standard output that takes no text: closed, full, or in an encoding that lacks the character."""

import errno
import io
import os
import sys
from collections.abc import Callable
from typing import NoReturn, TextIO

FAILED = 1


class ClosedStream(io.TextIOBase):
    """Stands for a standard output that was closed before the command began."""

    encoding = "utf-8"
    errors = "strict"

    def write(self, text: str) -> int:
        """Refuse *text*, as the system does."""
        raise OSError(errno.EBADF, os.strerror(errno.EBADF))


def run_with_output(command: Callable[[], object]) -> None:
    """Call *command*; if its output cannot be written, exit with 1 and say why in a sentence.

    Characters that the encoding of the output lacks are written as escapes.
    """
    if sys.stdout is None:
        sys.stdout = ClosedStream()
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
            if isinstance(raw := stream.buffer, io.RawIOBase):
                _replace(name, stream, raw)
    try:
        try:
            command()
        finally:
            sys.stdout.flush()
    except OSError as error:
        _give_up(error)


def _replace(name: str, stream: io.TextIOWrapper, raw: io.RawIOBase) -> None:
    """Put a buffer into the standard stream *name*, which PYTHONUNBUFFERED has none in.

    Without one, a write that a full disk cuts short is no error: the rest would be lost.
    """
    encoding, errors = stream.encoding, stream.errors
    # Not closed: detached, so that the old stream does not take the descriptor with it.
    stream.detach()
    buffer = io.BufferedWriter(raw)
    buffered = io.TextIOWrapper(buffer, encoding, errors, line_buffering=True)
    setattr(sys, name, buffered)
    setattr(sys, f"__{name}__", buffered)


def _give_up(error: OSError) -> NoReturn:
    # Python flushes the streams at its end, and would fail again.
    for stream in (sys.stdout, sys.stderr):
        if stream is sys.stderr:
            _write(stream, f"jobs-app: The output cannot be written: {error.strerror or error}.\n")
        _drop(stream)
    sys.exit(FAILED)


def _write(stream: TextIO | None, text: str) -> None:
    try:
        if stream is not None:
            stream.write(text)
            stream.flush()
    except OSError:
        # Nobody can be reached.
        pass


def _drop(stream: TextIO | None) -> None:
    """Send what *stream* still holds to /dev/null."""
    if isinstance(stream, io.TextIOWrapper):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
