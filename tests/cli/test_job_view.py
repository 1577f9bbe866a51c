"""A job as text says which of its fields its task declares."""

from typing import Any

import pytest

from jobs_app.cli.job_view import job_fields
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
