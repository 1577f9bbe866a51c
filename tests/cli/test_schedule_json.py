"""The schedules that an answer has, one or several, and the list that must not wait for more."""

import subprocess
import sys

import pytest

from jobs_app.cli.client import Json
from jobs_app.cli.schedule_json import schedules_in, without_empty_fields

DAILY, HOURLY = {"cron": "@daily"}, {"cron": "@hourly"}


@pytest.mark.parametrize(
    "job, schedules",
    [
        ({"schedule": DAILY, "schedules": None}, [DAILY]),
        ({"schedule": None, "schedules": [DAILY, HOURLY]}, [DAILY, HOURLY]),
        ({"schedule": None, "schedules": None}, []),
    ],
    ids=["one", "several", "by hand"],
)
def test_the_schedules_of_a_job_are_one_list(job: Json, schedules: list[Json]) -> None:
    assert schedules_in(job) == schedules


def test_empty_fields_of_schedules_are_left_out() -> None:
    empty = {"cron": "@daily", "start_at": None}

    assert without_empty_fields({"schedule": empty}) == {"schedule": {"cron": "@daily"}}
    assert without_empty_fields({"schedules": [empty]}) == {"schedules": [{"cron": "@daily"}]}
    assert without_empty_fields({"schedule": None}) == {"schedule": None}


def test_a_list_of_jobs_needs_no_code_that_checks_jobs() -> None:
    program = (
        "import sys, jobs_app.cli.commands.job_reading\n"
        "assert 'jobs_app.jobs.document' not in sys.modules, 'a tenth of a second'"
    )

    subprocess.run([sys.executable, "-c", program], check=True)
