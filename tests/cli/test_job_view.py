"""A job as text says which of its fields its task declares."""

from typing import Any

import pytest

from jobs_app.cli.job_view import job_fields, outlook
from tests.cli.canned import a_job


@pytest.mark.parametrize(
    "declared, shown",
    [
        ({"queue": "default"}, "default (declared by the task)"),
        ({"queue": "slow"}, "default"),
        ({}, "default"),
    ],
)
def test_a_field_that_the_task_declares_is_marked(declared: dict[str, Any], shown: str) -> None:
    assert job_fields(a_job(declared=declared))["Queue"] == shown


def test_an_older_server_declares_nothing() -> None:
    assert job_fields(a_job())["Queue"] == "default"


@pytest.mark.parametrize(
    "observe, does",
    [
        (False, "it runs at the next start."),
        (True, "the next start is recorded, and nothing runs."),
    ],
)
def test_a_job_of_a_start_says_what_the_next_start_does(observe: bool, does: str) -> None:
    schedule = {"on": "start", "timezone": "UTC"}
    words = "When jobs-app starts"
    job = a_job(schedule=schedule, description_of_schedule=words, next_run_at=None, observe=observe)

    assert outlook(job) == f"{words}: {does}"
