"""The progress of a run, while its output is followed."""

from collections.abc import Callable

import pytest
from click.testing import Result

from jobs_app.cli import progress_notes
from tests.cli.canned import RUN_ID, Canned, CannedServer, a_run
from tests.cli.test_log_follow import AT, END, served, streamed

Run = Callable[..., Result]


def test_progress_is_noted_while_the_output_is_followed(
    server: CannedServer, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The stream breaks eight times, which takes four seconds.
    monkeypatch.setattr(progress_notes, "PAUSE_SECONDS", 0.05)

    def at(fraction: float) -> Canned:
        progress = {"fraction": fraction, "message": "rows", "at": AT, "meta": None}
        return Canned(a_run("running", progress=progress))

    reads = [at(0.4), at(0.41), at(0.9), Canned(a_run("succeeded"))]
    served(server, *[streamed()] * 8, streamed(END))
    server.on("GET", f"/runs/{RUN_ID}", Canned(a_run("running")), *reads)

    result = run("run", "log", "-f", RUN_ID)

    notes = [line for line in result.stderr.splitlines() if line.startswith("Progress")]
    assert notes == ["Progress: 40 %, rows", "Progress: 90 %, rows"]
    assert result.stdout == ""
