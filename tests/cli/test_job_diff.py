"""Which fields of two definitions differ, and how a line says so."""

from typing import Any

import pytest

from jobs_app.cli.job_diff import MOST_CHARACTERS, changed_fields


@pytest.mark.parametrize(
    "before, after, lines",
    [
        ({"a": 1}, {"a": 1}, []),
        ({"a": 1}, {"a": 2}, ["a: 1 -> 2"]),
        ({"a": 1}, {}, ["a: 1 -> none"]),
        ({"a": None}, {}, []),
        ({"a": None}, {"a": False}, ["a: none -> false"]),
        ({"a": ["x"]}, {"a": []}, ['a: ["x"] -> []']),
        ({"a": {"b": 1, "c": 2}}, {"a": {"b": 1, "c": 3}}, ["a.c: 2 -> 3"]),
        ({"a": {"b": 1}}, {"a": None}, ["a.b: 1 -> none"]),
        ({"a": None}, {"a": {"b": 1}}, ["a.b: none -> 1"]),
        (
            {"schedule": {"cron": "@daily", "end_at": None}},
            {"schedules": [{"cron": "@daily"}, {"cron": "@hourly"}]},
            ['schedules: [{"cron": "@daily"}] -> [{"cron": "@daily"}, {"cron": "@hourly"}]'],
        ),
        ({"schedule": None}, {"schedules": [{"a": 1}]}, ['schedules: [] -> [{"a": 1}]']),
        ({"a": "one\ntwo"}, {"a": "x\x1b[2J"}, ['a: "one\\ntwo" -> "x\\u001b[2J"']),
    ],
)
def test_each_field_that_differs_has_a_line(
    before: dict[str, Any], after: dict[str, Any], lines: list[str]
) -> None:
    assert changed_fields(before, after) == lines


def test_a_long_value_is_cut() -> None:
    (line,) = changed_fields({"a": None}, {"a": "x" * 1000})

    assert line.endswith("…")
    assert len(line) < MOST_CHARACTERS + 20
