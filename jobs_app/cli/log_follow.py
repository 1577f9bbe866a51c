"""Following the output of a run, from the server's event stream to the terminal."""

import json
import math
import os
import re
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime

import click

from jobs_app.cli import INTERRUPTED
from jobs_app.cli.client import Client, Json
from jobs_app.cli.failure import TIMED_OUT, Failure, Unreachable
from jobs_app.cli.format import coloured, duration, unfinished
from jobs_app.cli.output import print_note
from jobs_app.cli.paths import run_path
from jobs_app.cli.progress_notes import progress_notes
from jobs_app.cli.wait import RECONNECT_TIMEOUT_SECONDS, how_to_look, read
from jobs_app.cli.zones import show_in, shown_zone
from jobs_app.core.escape_sequences import plain
from jobs_app.core.text import counted

# The server sends an event or a comment at least every five seconds.
SILENCE_SECONDS = 15.0
PAUSE_SECONDS = 0.5
RESET_COLOURS = "\x1b[0m"
LINE = re.compile(r"[^\n]*\n|[^\n]+")


@dataclass(frozen=True, slots=True)
class StreamEvent:
    """One server-sent event; `id` is where a new connection resumes, None if it cannot."""

    name: str
    data: Json
    id: str | None


def follow(
    client: Client, run: Json, *, timestamps: bool = False, timeout_seconds: float | None = None
) -> Json:
    """Print the output of a run until the run ends, and return the finished run.

    Its standard output and error go to ours. After a broken connection, following
    resumes where it was; it gives up after a minute without a server. Ctrl-C ends the
    following, not the run: Failure with exit code 130. Raises Failure with exit code
    124 when *timeout_seconds* pass first.
    """
    run_id = run["id"]
    show_in(run.get("timezone"))
    printer = _Printer(timestamps=timestamps)
    follower = _Follower(client, run_id, timeout_seconds=timeout_seconds)
    try:
        with progress_notes(run_id):
            for event in follower.events():
                printer.show(event)
    except KeyboardInterrupt:
        message = f"Stopped following. {how_to_look(run_id)}"
        raise Failure(message, INTERRUPTED) from None
    finally:
        printer.close()
    return read(client, run_id)


class _Follower:
    """Reads the log of a run; knows its position and when the server last sent something."""

    def __init__(self, client: Client, run_id: str, *, timeout_seconds: float | None) -> None:
        self._client = client
        self._run_id = run_id
        self._started_at = self._last_sent_at = time.monotonic()
        self._timeout_seconds = math.inf if timeout_seconds is None else timeout_seconds
        self._last_id: str | None = None
        self._has_noted_outage = False

    def events(self) -> Iterator[StreamEvent]:
        """Yield each event of the log once, until the run ends."""
        while True:
            try:
                for event in _parsed(self._lines()):
                    if event.name == "end":
                        return
                    yield event
                    self._last_id = event.id or self._last_id
            except Unreachable as error:
                self._note_outage(error)
            self._seconds_left()
            time.sleep(PAUSE_SECONDS)

    def _lines(self) -> Iterator[str]:
        headers = {"Last-Event-ID": self._last_id} if self._last_id else {}
        silence = min(SILENCE_SECONDS, self._seconds_left())
        path = f"{run_path(self._run_id)}/log/stream"
        for line in self._client.lines(path, headers=headers, silence_seconds=silence):
            self._last_sent_at = time.monotonic()
            self._has_noted_outage = False
            self._seconds_left()
            yield line

    def _seconds_left(self) -> float:
        """Return the seconds until the timeout; raises Failure after it."""
        waited = time.monotonic() - self._started_at
        if waited >= self._timeout_seconds:
            message = f"Run {self._run_id} has not ended after {duration(waited)}. "
            raise Failure(message + how_to_look(self._run_id), TIMED_OUT)
        return self._timeout_seconds - waited

    def _note_outage(self, error: Unreachable) -> None:
        """Print a note once per outage; raise *error* if the outage is too long."""
        self._seconds_left()
        if time.monotonic() - self._last_sent_at >= RECONNECT_TIMEOUT_SECONDS:
            raise error
        if not self._has_noted_outage:
            print_note(f"{error.message} Trying again.")
            self._has_noted_outage = True


def _parsed(lines: Iterable[str]) -> Iterator[StreamEvent]:
    fields: dict[str, str] = {}
    for line in lines:
        if line:
            name, _, value = line.partition(":")
            fields[name] = value.removeprefix(" ")
            continue
        if "data" in fields:
            yield StreamEvent(fields.get("event", ""), json.loads(fields["data"]), fields.get("id"))
        fields = {}


class _Printer:
    """Prints the output of a run; attempts and cuts are noted on standard error."""

    def __init__(self, *, timestamps: bool) -> None:
        self._attempt = 1
        self._writers = {
            "stdout": _Writer(is_error=False, timestamps=timestamps),
            "stderr": _Writer(is_error=True, timestamps=timestamps),
        }

    def show(self, event: StreamEvent) -> None:
        if (attempt := event.data.get("attempt", self._attempt)) != self._attempt:
            self._attempt = attempt
            print_note(f"Attempt {attempt}:")
        if event.name == "chunk":
            self._writers[event.data["stream"]].write(event.data["text"], event.data["at"])
        elif event.name == "cut":
            size = event.data.get("bytes")
            print_note(f"… {'something' if size is None else counted(size, 'byte')} cut …")

    def close(self) -> None:
        for writer in self._writers.values():
            writer.close()


class _Writer:
    """Writes one stream of a run to one of ours.

    A program gets every byte. A terminal gets no control characters except colours,
    if it supports them.
    """

    def __init__(self, *, is_error: bool, timestamps: bool) -> None:
        self._is_error = is_error
        self._timestamps = timestamps
        self._is_terminal = (sys.stderr if is_error else sys.stdout).isatty()
        self._has_colours = (
            self._is_terminal
            and not os.environ.get("NO_COLOR")
            and os.environ.get("TERM", "dumb") != "dumb"
        )
        self._is_coloured = False
        self._is_line_start = True
        self._unfinished = ""

    def write(self, text: str, at: str) -> None:
        if self._is_terminal:
            # A chunk may end in the middle of an escape sequence.
            text = self._unfinished + text
            self._unfinished = unfinished(text)
            text = self._harmless(text.removesuffix(self._unfinished))
        if self._timestamps:
            text = "".join(self._stamped(line, at) for line in LINE.findall(text))
        self._emit(text)

    def close(self) -> None:
        """Leave the terminal as it was."""
        if self._is_coloured:
            self._emit(RESET_COLOURS)

    def _harmless(self, text: str) -> str:
        if not self._has_colours:
            return plain(text)
        text = coloured(text)
        self._is_coloured = self._is_coloured or "\x1b" in text
        return text

    def _stamped(self, line: str, at: str) -> str:
        if self._is_terminal:
            at = (
                datetime.fromisoformat(at)
                .astimezone(shown_zone())
                .isoformat(" ", "milliseconds")[:23]
            )
        stamp = f"{at} " if self._is_line_start else ""
        self._is_line_start = line.endswith("\n")
        return stamp + line

    def _emit(self, text: str) -> None:
        # As bytes where a program reads: line ends included.
        out = text if self._is_terminal else text.encode("utf-8", "surrogatepass")
        click.echo(out, nl=False, err=self._is_error)
