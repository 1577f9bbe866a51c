"""The standard streams of a worker: real text streams that write to the run of the caller.

They are one text stream for all runs, so `close` and `detach` by a task only flush them, and
`reset` takes back `reconfigure`. Output of no run goes to the worker's own stream.
"""

import io
import os
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TextIO

from jobs_app.tasks.context import LogSink, Stream
from jobs_app.worker.output.process_masking import masked_bytes
from jobs_app.worker.output.routing import sink_here

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

#: The descriptors of the streams.
NUMBERS: dict[Stream, int] = {"stdout": 1, "stderr": 2}

#: Takes output of a run: the stream, the output, and the log of the run.
Deliver = Callable[[Stream, bytes, LogSink], None]


def deliver_to_sink(stream: Stream, data: bytes, sink: LogSink) -> None:
    """Write *data* to the log of the run, and nowhere else."""
    sink.write(stream, data)


class RoutedFile(io.FileIO):
    """A descriptor of this process, 1 or 2; output that Python writes goes to the caller's run."""

    def __init__(self, stream: Stream, original: TextIO | None, deliver: Deliver) -> None:
        try:
            super().__init__(NUMBERS[stream], "w", closefd=False)
        except OSError:
            # The service has no such descriptor.
            super().__init__(os.devnull, "w")
        # FileIO has its number as its name; Python's own streams have these names.
        self.name = f"<{stream}>"
        self.stream: Stream = stream
        self.original = original
        self.deliver = deliver
        self._lock = threading.RLock()

    def write(self, data: "ReadableBuffer", /) -> int:
        text = data if isinstance(data, bytes) else bytes(memoryview(data).cast("B"))
        sink = sink_here()
        if sink is not None:
            self.deliver(self.stream, text, sink)
        elif self.original is not None:
            self._write_to_worker(self.original, masked_bytes(text))
        return len(text)

    def _write_to_worker(self, original: TextIO, text: bytes) -> None:
        buffer = getattr(original, "buffer", None)
        with self._lock:
            if buffer is None:
                original.write(text.decode("utf-8", "replace"))
                return
            original.flush()
            buffer.write(text)
            buffer.flush()

    def seekable(self) -> bool:
        # The worker's output may be a file, that of a run is a pipe.
        return False

    def isatty(self) -> bool:
        return sink_here() is None and super().isatty()

    def close(self) -> None:
        """Do nothing: the next run needs the stream."""


class RoutedBuffer(io.BufferedWriter):
    """The `buffer` of a routed stream; it holds nothing back, so runs in threads never mix."""

    raw: RoutedFile

    def write(self, data: "ReadableBuffer", /) -> int:
        return self.raw.write(data)

    def close(self) -> None:
        """Do nothing: the next run needs the stream."""

    def detach(self) -> RoutedFile:
        """Return an equal raw stream; this one stays usable."""
        return RoutedFile(self.raw.stream, self.raw.original, self.raw.deliver)


class RoutedText(io.TextIOWrapper):
    """A standard stream of the worker, as `sys.stdout` and `sys.stderr`."""

    def __init__(
        self, stream: Stream, original: TextIO | None, deliver: Deliver = deliver_to_sink
    ) -> None:
        self.raw = RoutedFile(stream, original, deliver)
        super().__init__(RoutedBuffer(self.raw), write_through=True)
        # As Python's own streams; typeshed has it read-only.
        self.__dict__["mode"] = "w"
        self.reset()

    def reset(self) -> None:
        """Take back what a run changed with `reconfigure`."""
        # A lone surrogate cannot be encoded: write it as an escape.
        self.reconfigure(
            encoding="utf-8",
            errors="backslashreplace",
            newline="\n",
            line_buffering=True,
            write_through=True,
        )

    def close(self) -> None:
        """Flush the stream only: the next run needs it."""
        self.flush()

    def detach(self) -> Any:
        """Return an equal buffer; this stream stays usable."""
        self.flush()
        return RoutedBuffer(self.raw)
