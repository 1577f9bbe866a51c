"""Schedules as English sentences."""

import pytest

from jobs_app.schedules.description import describe
from jobs_app.schedules.schedule import Schedule
from tests.schedules.examples import DAY, NOW, SECOND, cron


@pytest.mark.parametrize(
    "schedule, sentence",
    [
        (
            cron("30 2 * * 1-5", "Europe/Paris"),
            "At 02:30 on Monday through Friday, Europe/Paris time",
        ),
        (cron("@daily"), "At 00:00 every day, UTC"),
        (cron("0 9 22 * *"), "At 09:00 on the 22nd day of every month, UTC"),
        (cron("0 9 11 * *"), "At 09:00 on the 11th day of every month, UTC"),
        (cron("H 4 * * *", seed="report"), "At 04:35 every day, UTC"),
        (Schedule(interval_seconds=30), "Every 30 seconds"),
        (Schedule(interval_seconds=3600), "Every hour"),
        (Schedule(interval_seconds=5400), "Every 90 minutes"),
        (Schedule(at=NOW, timezone="Europe/Paris"), "Once at 2026-01-15 13:00, Europe/Paris time"),
        (Schedule(at=NOW + SECOND), "Once at 2026-01-15 12:00:01, UTC"),
        (
            cron("@hourly", start_at=NOW, end_at=NOW + DAY, jitter_seconds=60),
            "At the start of every hour, UTC, from 2026-01-15 12:00, until 2026-01-16 12:00,"
            " each up to 1 minute later",
        ),
    ],
)
def test_a_schedule_is_described_in_one_sentence(schedule, sentence):
    assert describe(schedule) == sentence
