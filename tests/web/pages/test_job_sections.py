"""The sections of the form: what is at its defaults is closed, and says so."""

from typing import Any

import pytest

from jobs_app.web.pages.job_sections import Section, sections
from tests.web.pages.test_job_fields import DEFAULTS


def shown(
    document: dict[str, Any], errors: dict[str, list[str]] | None = None
) -> dict[str, Section]:
    """Return the sections of *document* by their keys."""
    return {one.key: one for one in sections({}, document, DEFAULTS, errors or {})}


def test_a_section_at_its_defaults_is_closed_and_says_so() -> None:
    found = shown({"name": "x", "task": "shell", "kwargs": {}})

    assert [key for key, section in found.items() if section.is_open] == ["what", "when"]
    assert found["limits"].summary == "no time limit; retries: none"
    assert found["where"].summary == "queue default, priority 5"
    assert found["history"].summary == "kept as the installation says"
    assert found["told"].summary == "the channels that hear of every job"


@pytest.mark.parametrize(
    "fields, key, summary",
    [
        ({"retry": {"max_attempts": 3}}, "limits", "no time limit; retries: 2 retries"),
        ({"time_limit_seconds": 3600}, "limits", "ends after 1 hour; retries: none"),
        ({"queue": "slow", "concurrency_key": "db"}, "where", "queue slow, priority 5, key db"),
        ({"notify": []}, "told", "nobody"),
        ({"notify": [{"channel": "ops"}]}, "told", "ops"),
        ({"retention": {"keep_days": 7}}, "history", "keep days: 7"),
        ({"retry": {"max_attempts": "many"}}, "limits", "no time limit; retries: none"),
    ],
)
def test_a_section_with_a_value_of_its_own_is_open(
    fields: dict[str, Any], key: str, summary: str
) -> None:
    section = shown(fields)[key]

    assert section.is_open
    assert not section.is_default
    assert section.summary == summary


def test_a_section_with_an_error_is_open() -> None:
    found = shown({}, {"/retry/delay_seconds": ["must be a number"]})

    assert found["limits"].is_open
    assert not found["where"].is_open
