"""What the Tab key offers."""

from collections.abc import Callable

import pytest
from click.testing import Result

from tests.cli.canned import RUN_ID, CannedServer, a_job, a_run, page
from tests.cli.commands.test_jobs import complete

Run = Callable[..., Result]

OTHER_ID = "0193583e-8f4a-7cc1-b7c3-5a3f6a8e2d11"


def test_tab_offers_runs_and_jobs(
    server: CannedServer, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.on("GET", "/runs", page(a_run(), a_run(id=OTHER_ID)))
    server.on("GET", "/jobs", page(a_job()))

    assert complete(monkeypatch, run, "jobs-app run show hel") == ["hello"]
    assert complete(monkeypatch, run, "jobs-app run log 01") == [RUN_ID, OTHER_ID]
    assert complete(monkeypatch, run, "jobs-app run cancel 01") == [RUN_ID, OTHER_ID]
    assert server.requests[-1].query["state"] == "waiting,queued,running,retrying"


def test_tab_offers_time_zones(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    typed = "jobs-app job create x --timezone europe/par"

    assert complete(monkeypatch, run, typed) == ["Europe/Paris"]
