"""The progress of a run on standard error, while its output is followed."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from threading import Event, Thread

from jobs_app.cli.client import Client, Json
from jobs_app.cli.failure import Failure
from jobs_app.cli.format import how_far
from jobs_app.cli.output import print_note
from jobs_app.cli.paths import run_path
from jobs_app.core.states import RunState

#: How often a run is read, seconds.
PAUSE_SECONDS = 1.0
ANSWER_SECONDS = 2.0


@contextmanager
def progress_notes(run_id: str) -> Iterator[None]:
    """Print the progress of a run whenever it is a tenth further, for the length of the block."""
    stopped = Event()
    thread = Thread(target=_watch, args=(run_id, stopped), daemon=True)
    thread.start()
    try:
        yield
    finally:
        stopped.set()
        thread.join()


def _watch(run_id: str, stopped: Event) -> None:
    # A connection of its own: the other one carries the stream.
    with closing(Client(answer_seconds=ANSWER_SECONDS)) as client:
        last_step: tuple[int, str] | None = None
        while not stopped.wait(PAUSE_SECONDS):
            try:
                run = client.read(run_path(run_id))
            except Failure:
                # The one who follows the output reports an outage.
                continue
            step = _step(run)
            if step is not None and step != last_step and not stopped.is_set():
                print_note(f"Progress: {how_far(run['progress'])}")
                last_step = step


def _step(run: Json) -> tuple[int, str] | None:
    """Return the attempt and the tenths done, or the message without a fraction."""
    progress = run.get("progress") if run["state"] == RunState.RUNNING else None
    if not progress or not how_far(progress):
        return None
    fraction = progress.get("fraction")
    return run["attempt"], how_far(progress) if fraction is None else str(int(fraction * 10))
