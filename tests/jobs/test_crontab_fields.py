"""Schedules that a crontab says in the same way."""

from typing import Any

import pytest

from jobs_app.jobs.crontab_fields import has_same_fires


@pytest.mark.parametrize(
    "line, schedule",
    [
        ("0 0 * * *", {"cron": "@daily"}),
        ("0 9 * 1-3 1-5", {"cron": "0 9 * JAN-MAR mon-fri"}),
        ("5-59/15 * * * *", {"cron": "5/15 * * * *"}),
        ("*/10 * * * *", {"interval_seconds": 600, "anchor_at": "2026-01-01T00:20:00Z"}),
    ],
)
def test_a_line_has_the_fires_of_a_schedule_in_other_words(
    line: str, schedule: dict[str, Any]
) -> None:
    assert has_same_fires({"cron": line}, schedule, seed="nightly")


@pytest.mark.parametrize(
    "schedule",
    [
        {"cron": "0 1 * * *"},
        {"on": "start"},
        {"at": "2026-01-01T00:00:00Z"},
        {"cron": "0 3 L * *"},
        {},
    ],
)
def test_another_schedule_has_other_fires(schedule: dict[str, Any]) -> None:
    assert not has_same_fires({"cron": "0 0 * * *"}, schedule, seed="nightly")


def test_a_hash_has_the_fires_of_its_job_alone() -> None:
    minutes = [
        number
        for number in range(60)
        if has_same_fires({"cron": f"{number} * * * *"}, {"cron": "H * * * *"}, seed="nightly")
    ]

    assert len(minutes) == 1
