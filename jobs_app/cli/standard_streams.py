"""Standard output that takes no text: closed, full, or in an encoding that lacks the character."""

import errno
import io
import os
import sys
from collections.abc import Callable
from typing import Any, NoReturn, TextIO

FAILED = 1


class _Output(io.RawIOBase):
    """A standard stream below its buffer: it may forget what cannot be written, and goes on.

    `stream` is None for one that was closed before the command began.
    """

    def __init__(self, stream: io.RawIOBase | None) -> None:
        self._stream = stream
        self.is_kept_going = False
        self.error: OSError | None = None

    def write(self, data: Any) -> int | None:
        """Write *data*; raises OSError, unless it is remembered."""
        try:
            if self._stream is None:
                raise OSError(errno.EBADF, os.strerror(errno.EBADF))
            return self._stream.write(data)
        except OSError as error:
            if not self.is_kept_going:
                raise
            self.error = self.error or error
            return len(data)

    def writable(self) -> bool:
        """Say that it takes text, as a buffer asks."""
        return True

    def fileno(self) -> int:
        """Return the descriptor; raises OSError without one."""
        return super().fileno() if self._stream is None else self._stream.fileno()

    def isatty(self) -> bool:
        """Tell whether it is a terminal."""
        return self._stream is not None and self._stream.isatty()


def go_on_without_output() -> None:
    """From now on, do the work also if nobody reads the output; the command still ends with 1.

    For commands that change several things: one that is stopped halfway helps nobody.
    """
    _drop(sys.stdout)


def _output_of(stream: TextIO | None) -> _Output | None:
    raw = getattr(getattr(stream, "buffer", None), "raw", None)
    return raw if isinstance(raw, _Output) else None


def run_with_output(command: Callable[[], object]) -> None:
    """Call *command*; if its output cannot be written, exit with 1 and say why in a sentence.

    Characters that the encoding of the output lacks are written as escapes.
    """
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if isinstance(stream, io.TextIOWrapper):
            _replace(name, stream)
        elif stream is None and name == "stdout":
            sys.stdout = _text(_Output(None), "utf-8", is_line_buffered=True)
    output = _output_of(sys.stdout)
    code: str | int | None = None
    try:
        try:
            command()
        except SystemExit as end:
            code = end.code
        finally:
            sys.stdout.flush()
        if output is not None and output.error is not None:
            raise output.error
    except OSError as error:
        _give_up(error, code)
    sys.exit(code)


def _replace(name: str, stream: io.TextIOWrapper) -> None:
    """Put an _Output into the standard stream *name*, and a buffer where it has none.

    Without one, as with PYTHONUNBUFFERED, a write that a full disk cuts short is no error: the
    rest would be lost.
    """
    encoding, is_line_buffered = stream.encoding, stream.line_buffering
    buffer: object = stream.buffer
    raw = buffer if isinstance(buffer, io.RawIOBase) else getattr(buffer, "raw", None)
    if not isinstance(raw, io.RawIOBase):
        return
    # Not closed: detached, so that the old stream does not take the descriptor with it.
    stream.detach()
    if isinstance(buffer, io.BufferedWriter):
        buffer.detach()
    replaced = _text(_Output(raw), encoding, is_line_buffered=is_line_buffered or buffer is raw)
    setattr(sys, name, replaced)
    setattr(sys, f"__{name}__", replaced)


def _text(output: _Output, encoding: str, *, is_line_buffered: bool) -> io.TextIOWrapper:
    buffer = io.BufferedWriter(output)
    return io.TextIOWrapper(buffer, encoding, "backslashreplace", line_buffering=is_line_buffered)


def _give_up(error: OSError, code: str | int | None) -> NoReturn:
    """Say why output is lost, and exit with *code*, or with 1 if that means success."""
    # Python flushes the streams at its end, and would fail again.
    for stream in (sys.stdout, sys.stderr):
        if stream is sys.stderr:
            _write(stream, f"jobs-app: The output cannot be written: {error.strerror or error}.\n")
        _drop(stream)
    sys.exit(code or FAILED)


def _write(stream: TextIO | None, text: str) -> None:
    try:
        if stream is not None:
            stream.write(text)
            stream.flush()
    except OSError:
        # Nobody can be reached.
        pass


def _drop(stream: TextIO | None) -> None:
    """Forget from now on what *stream* cannot write."""
    if (output := _output_of(stream)) is not None:
        output.is_kept_going = True
