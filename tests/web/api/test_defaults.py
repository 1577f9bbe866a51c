"""Policies that a job leaves out are as the settings have them."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from jobs_app.core.settings import Settings
from jobs_app.web.app import create_app
from tests.web.conftest import Api, a_job, close

SET: dict[str, Any] = {
    "overlap_policy": "buffer_one",
    "starting_deadline_seconds": 7,
    "catchup_policy": "all",
    "catchup_window_seconds": 77,
    "catchup_max_runs": 3,
}


@pytest.fixture
def settings(database_url: str, tmp_path: Path) -> Settings:
    """Settings with defaults of their own."""
    defaults = {f"default_{name}": value for name, value in SET.items()}
    return Settings(
        data_dir=tmp_path / "data", database_url=database_url, default_jitter_seconds=30, **defaults
    )


@pytest.fixture
def app(settings: Settings) -> Iterator[Flask]:
    made = create_app(settings)
    yield made
    close(made)


def policies(job: dict[str, Any]) -> dict[str, Any]:
    return {name: job[name] for name in SET}


def test_a_new_job_takes_the_policies_of_the_settings(api: Api) -> None:
    job = api.make_job()

    assert policies(job) == SET
    assert job["schedule"]["jitter_seconds"] == 30


def test_a_value_in_the_request_wins_over_the_settings(api: Api) -> None:
    policy: dict[str, Any] = {"overlap_policy": "skip", "catchup_max_runs": 50}
    schedule = {"cron": "30 2 * * *", "jitter_seconds": 0}

    job = api.make_job(schedule=schedule, **policy)

    assert policies(job) == SET | policy
    assert job["schedule"]["jitter_seconds"] == 0


def test_replacing_a_job_takes_them_too_and_a_patch_keeps_what_it_does_not_name(api: Api) -> None:
    api.make_job(catchup_policy="none")

    patched = api.patch("/jobs/nightly", {"description": "x"}).json
    reset = api.patch("/jobs/nightly", {"catchup_policy": None}).json
    api.patch("/jobs/nightly", {"catchup_policy": "none"})
    replaced = api.put("/jobs/nightly", a_job()).json

    assert patched["catchup_policy"] == "none"
    assert reset["catchup_policy"] == replaced["catchup_policy"] == "all"


@pytest.mark.parametrize(
    "schedule, jitter",
    [
        ({"interval_seconds": 31}, 30),
        ({"interval_seconds": 30}, 0),
        ({"at": "2099-01-01T00:00:00Z"}, 0),
    ],
)
def test_jitter_is_left_out_where_it_would_not_fit(
    api: Api, schedule: dict[str, Any], jitter: int
) -> None:
    assert api.make_job(schedule=schedule)["schedule"]["jitter_seconds"] == jitter
