"""A log that keeps its output in memory."""

from jobs_app.tasks.context import Stream


class Memory:
    """A log that keeps its output, by stream."""

    def __init__(self) -> None:
        self.out = b""
        self.err = b""

    def write(self, stream: Stream, data: bytes) -> None:
        if stream == "stdout":
            self.out += data
        else:
            self.err += data

    @property
    def lines(self) -> list[str]:
        """The lines of both streams, stdout first."""
        return (self.out + self.err).decode("utf-8", "replace").splitlines()
