"""What a worker reports of a task is read again, also if another version wrote it."""

from typing import Any

import pytest

from jobs_app.tasks.task_info import MOST_SCHEMA_CHARACTERS, TaskInfo, info_of, report_of

INFO = TaskInfo(
    "t", "Adds.", {"type": "object", "properties": {"a": {}}}, ["a"], {"queue": "q"}, []
)


def test_a_report_is_the_task_again() -> None:
    assert info_of("t", report_of(INFO), has_worker=True) == INFO


@pytest.mark.parametrize("report", [{}, {"schema": [], "positional": None, "notes": 5, "new": 1}])
def test_a_report_of_another_version_lacks_what_it_lacks(report: dict[str, Any]) -> None:
    assert info_of("t", report, has_worker=False) == TaskInfo("t", "", {}, [], {}, [], False)


def test_a_very_long_schema_is_not_reported() -> None:
    schema = {"type": "object", "description": "x" * MOST_SCHEMA_CHARACTERS}

    report = report_of(TaskInfo("t", "", schema, [], {}, []))

    assert report["schema"] == {"type": "object"}
    assert "takes anything" in report["notes"][0]
