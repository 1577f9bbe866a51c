"""The fields of a job, and the page about them."""

from pathlib import Path

from jobs_app.web.api.schemas.job_input import JobIn, RetryIn, ScheduleIn

DOCUMENT = Path(__file__).parents[3] / "docs" / "jobs.md"


def test_every_field_of_a_job_is_documented() -> None:
    text = DOCUMENT.read_text()

    fields = {*JobIn.model_fields, *RetryIn.model_fields, *ScheduleIn.model_fields}

    assert {name for name in fields if f"`{name}`" not in text} == set()
