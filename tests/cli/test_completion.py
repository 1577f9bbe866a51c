"""What the Tab key offers."""

from collections.abc import Callable
from typing import Any

import pytest
from click.testing import Result

from tests.cli.canned import RUN_ID, Canned, CannedServer, a_job, a_run, page
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
    assert any(
        request.query.get("state") == "waiting,queued,running,retrying"
        for request in server.requests
    )
    assert complete(monkeypatch, run, "jobs-app run retry 0193583e") == [RUN_ID, OTHER_ID]
    assert server.requests[-2].query["id_prefix"] == "0193583e"


def test_tab_offers_time_zones(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    typed = "jobs-app job create x --timezone europe/par"

    assert complete(monkeypatch, run, typed) == ["Europe/Paris"]


TAGS: dict[str, Any] = {
    "items": [],
    "next_cursor": None,
    "facets": {"tags": {"night": 2, "noon": 1, "day": 1}},
}

# What is typed, and what is offered for its end.
VALUES = {
    "jobs-app job list --tag n": ["night", "noon"],
    "jobs-app run list --tag ni": ["night"],
    "jobs-app job create x --retry-on f": ["failed"],
    "jobs-app job edit x --retry-on failed,": ["failed,timed_out", "failed,lost"],
    "jobs-app channel add x --events failed,re": ["failed,recovered"],
    "jobs-app run list --state timed": ["timed_out"],
    "jobs-app job list --last-state lo": ["lost"],
}


@pytest.mark.parametrize("typed", VALUES)
def test_tab_offers_the_values_of_options(
    server: CannedServer, run: Run, monkeypatch: pytest.MonkeyPatch, typed: str
) -> None:
    server.on("GET", "/jobs", Canned(TAGS))

    assert complete(monkeypatch, run, typed) == VALUES[typed]


def test_an_answer_of_another_shape_leaves_the_prompt_alone(
    server: CannedServer, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.on("GET", "/jobs", Canned({"items": [3]}))
    server.on("GET", "/runs", Canned([]))

    assert complete(monkeypatch, run, "jobs-app job list --tag n") == []
    assert complete(monkeypatch, run, "jobs-app run show h") == []
