"""How a run ended, on one line."""

from typing import Any

import pytest

from jobs_app.cli.outcome_text import compact, error_text, outcome_line


@pytest.mark.parametrize(
    "run, line",
    [
        ({"state": "succeeded"}, "Run 1: succeeded"),
        ({"state": "timed_out", "reason": "after 5 s"}, "Run 1: timed out, after 5 s"),
        (
            {"state": "failed", "error": {"type": "KeyError", "message": "'x'", "traceback": "at"}},
            "Run 1: failed, KeyError: 'x'",
        ),
    ],
)
def test_the_outcome_has_its_reason_if_there_is_one(run: dict[str, Any], line: str) -> None:
    assert outcome_line({"id": "1"} | run) == line


def test_an_error_without_a_message_is_its_type() -> None:
    assert error_text({"type": "Timeout", "message": ""}) == "Timeout"
    assert error_text(None) is None


@pytest.mark.parametrize("value, text", [(None, None), ({}, None), ([1, "é"], '[1, "é"]')])
def test_nothing_is_no_text(value: object, text: str | None) -> None:
    assert compact(value) == text
