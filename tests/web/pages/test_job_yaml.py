"""A job as YAML."""

from typing import Any

import pytest

from jobs_app.core.errors import FieldError
from jobs_app.web.pages.job_yaml import at_lines, read, written
from tests.web.pages.test_job_fields import DEFAULTS

JOB: dict[str, Any] = {
    "name": "nightly",
    "task": "shell",
    "kwargs": {"command": "one\ntwo\n", "on": "yes", "n": "012"},
    "retry": {"max_attempts": 2},
}


def test_a_written_job_is_read_back_with_its_defaults() -> None:
    document, prefix, lines = read(written(JOB, DEFAULTS))

    assert (prefix, lines) == ("", [])
    assert document is not None
    assert document["kwargs"] == JOB["kwargs"]
    assert document["retry"] == DEFAULTS.document["retry"] | {"max_attempts": 2}
    assert document["overlap_policy"] == "skip"
    assert list(document)[:3] == ["name", "task", "kwargs"]


def test_a_list_of_one_job_is_that_job() -> None:
    assert read("- name: x\n") == ({"name": "x"}, "/0", [])


@pytest.mark.parametrize("text", ["", "- a: 1\n- b: 2\n", "x", "a: &a [*a]", "a: [" * 60])
def test_a_text_that_is_no_job_says_so(text: str) -> None:
    document, _, lines = read(text)

    assert document is None
    assert len(lines) == 1


@pytest.mark.parametrize("prefix, indent", [("", ""), ("/0", "  ")])
def test_an_error_of_an_only_schedule_has_the_line_of_it_in_a_list(
    prefix: str, indent: str
) -> None:
    lines = ["name: x", "schedules:", "- timezone: UTC", "  cron: 61 * * * *"]
    text = "".join(f"{indent}{line}\n" for line in lines)
    text = f"- {text[2:]}" if prefix else text

    error = FieldError("/schedule/cron", "out_of_range", "It is out of range.")

    assert at_lines([error], text, prefix) == [(4, "It is out of range.")]
