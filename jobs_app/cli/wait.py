"""Waiting until a run ends, and the exit code for its outcome."""

import math
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from jobs_app.cli import INTERRUPTED
from jobs_app.cli.client import Client, Json
from jobs_app.cli.failure import FAILED, OK, TIMED_OUT, Failure, Unreachable
from jobs_app.cli.format import duration, how_far, one_line
from jobs_app.cli.output import print_note
from jobs_app.cli.paths import run_path
from jobs_app.core.states import FINAL, RunState

if TYPE_CHECKING:
    from rich.status import Status

FIRST_PAUSE_SECONDS = 0.2
LONGEST_PAUSE_SECONDS = 1.0
PAUSE_GROWTH = 1.3
# How long to retry an unreachable server: `up` restarts it in seconds.
RECONNECT_TIMEOUT_SECONDS = 60.0


def outcome_code(run: Json) -> int:
    """Return the exit code for a finished run: its command's own where it has a usable one."""
    state = run["state"]
    if state == RunState.SUCCEEDED:
        return OK
    if state == RunState.TIMED_OUT:
        return TIMED_OUT
    code = run.get("exit_code")
    # From 124 on, codes mean something else to a shell; 0 would lie.
    if state == RunState.FAILED and isinstance(code, int) and 1 <= code <= 123:
        return code
    return FAILED


def wait_for(client: Client, run: Json, *, timeout_seconds: float | None) -> Json:
    """Return the finished run; show its progress on standard error meanwhile.

    Ctrl-C ends the waiting, not the run: Failure with exit code 130. Raises
    Failure with exit code 124 when *timeout_seconds* pass first.
    """
    last = run
    try:
        with _progress() as show:
            for last, seconds in _follow(client, run, timeout_seconds=timeout_seconds):
                show(last, seconds)
    except KeyboardInterrupt:
        raise Failure(f"Stopped waiting. {how_to_look(run['id'])}", INTERRUPTED) from None
    return last


def _follow(
    client: Client, run: Json, *, timeout_seconds: float | None
) -> Iterator[tuple[Json, float]]:
    """Yield the run as it is read, with the seconds waited so far, until it has ended."""
    started = time.monotonic()
    pause = FIRST_PAUSE_SECONDS
    yield run, 0.0
    while run["state"] not in FINAL:
        waited = time.monotonic() - started
        left = math.inf if timeout_seconds is None else timeout_seconds - waited
        if left <= 0:
            message = f"Run {run['id']} is still {run['state']} after {duration(waited)}. "
            raise Failure(message + how_to_look(run["id"]), TIMED_OUT)
        time.sleep(min(pause, left))
        pause = min(pause * PAUSE_GROWTH, LONGEST_PAUSE_SECONDS)
        run = read(client, run["id"])
        yield run, time.monotonic() - started


def how_to_look(run_id: str) -> str:
    """Return the sentence for somebody who no longer waits for a run."""
    return f"The run goes on; see it with: jobs-app run show {run_id}"


def read(client: Client, run_id: str) -> Json:
    """Return a run; retry while the server is unreachable, up to the timeout. Raises Failure."""
    deadline = time.monotonic() + RECONNECT_TIMEOUT_SECONDS
    while True:
        try:
            return client.read(run_path(run_id))
        except Unreachable:
            if time.monotonic() >= deadline:
                raise
            time.sleep(LONGEST_PAUSE_SECONDS)


class _Progress:
    """Shows a run: a spinner on a terminal, else a line for each state and each tenth done."""

    def __init__(self, status: "Status | None") -> None:
        self._status = status
        self._last_step: tuple[str, int] | None = None

    def __call__(self, run: Json, seconds: float) -> None:
        line = f"Run {run['id']}: {run['state'].replace('_', ' ')}"
        if reason := run.get("reason"):
            line += f", {reason}"
        line = one_line(line)
        progress = run.get("progress") if run["state"] == RunState.RUNNING else None
        progress_text = how_far(progress)
        step = (line, int(((progress or {}).get("fraction") or 0) * 10))
        if self._status is not None:
            # Text, because a plain str would be read as rich's markup.
            from rich.text import Text

            suffix = f" · {progress_text}" if progress_text else ""
            self._status.update(Text(f"{line} · {duration(round(seconds))}{suffix}"))
        elif step != self._last_step:
            print_note(f"{line}, {progress_text}" if progress_text else line)
        self._last_step = step


@contextmanager
def _progress() -> Iterator[_Progress]:
    if not sys.stderr.isatty():
        yield _Progress(None)
        return
    from rich.console import Console

    with Console(stderr=True).status("") as status:
        yield _Progress(status)
