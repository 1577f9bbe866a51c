"""Schedules as English sentences."""

from datetime import UTC, datetime

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
        (Schedule(every="2 weeks"), "Every 2 weeks, UTC"),
        (
            Schedule(every="2 weeks", anchor_at=NOW, timezone="Europe/Paris"),
            "Every 2 weeks on Thursday at 13:00, Europe/Paris time",
        ),
        (Schedule(every="1 day", anchor_at=NOW + SECOND), "Every day at 12:00:01, UTC"),
        (Schedule(every="3 months", anchor_at=NOW), "Every 3 months on the 15th day at 12:00, UTC"),
        (
            Schedule(every="1 month", anchor_at=NOW + 16 * DAY),
            "Every month on the 31st or last day at 12:00, UTC",
        ),
        (
            Schedule(every="1 year", anchor_at=NOW),
            "Every year on the 15th of January at 12:00, UTC",
        ),
        (
            Schedule(every="1 year", anchor_at=datetime(2028, 2, 29, 12, tzinfo=UTC)),
            "Every year on the 29th or 28th of February at 12:00, UTC",
        ),
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


@pytest.mark.parametrize(
    "cron, text",
    [
        ("*/5 * * * *", "Every 5 minutes"),
        ("*/2 * * * *", "Every 2 minutes"),
        ("*/30 * * * *", "Every 30 minutes"),
        ("*/7 * * * *", "Every seventh minute of every hour"),
        ("*/45 * * * *", "Every 45th minute of every hour"),
        (
            "*/5 9-17 * * MON-FRI",
            "Every 5 minutes from 09:00 through 17:59 on Monday through Friday",
        ),
        ("0-30/10 * * * *", "Every 10 minutes from 0 through 30 of every hour"),
        ("*/5 */2 * * *", "Every 5 minutes of every second hour"),
        ("0 */2 * * *", "Every 2 hours"),
        ("15 */6 * * MON", "Every 6 hours at minute 15 on Monday"),
        ("0 */5 * * *", "At minute 0 past every fifth hour"),
        ("30 2 1,15 * *", "At 02:30 on the 1st and the 15th day of the month"),
        ("0 0 1,2,3 * *", "At 00:00 on the first, the second, and the third day of the month"),
        ("0 0 2,13,22 * *", "At 00:00 on the 2nd, the 13th, and the 22nd day of the month"),
        ("0 0 */2 * *", "At 00:00 on every second day of the month"),
        ("0 0 * * */2", "At 00:00 on every second day of the week"),
        ("0 9 1 * *", "At 09:00 on the first day of every month"),
        ("* * * * *", "Every minute"),
        ("0 9 LW * *", "At 09:00 on the last working day of every month"),
        ("0 9 1W * *", "At 09:00 on the first working day of the month"),
        ("0 9 22W MAR *", "At 09:00 on the working day nearest the 22nd of the month in March"),
        (
            "0 9 LW,1W * *",
            "At 09:00 on the first working day of the month and the last working day of the month",
        ),
        ("0 9 L-1 * *", "At 09:00 on the day before the last day of the month"),
        ("0 9 L-3 * *", "At 09:00 on the third day before the last day of the month"),
        (
            "0 9 15W,1,LW * 5",
            "At 09:00 on the first day of the month and the last working day of the month and the"
            " working day nearest the 15th of the month and on Friday",
        ),
        ("0 12 * * MON#2", "At 12:00 on the second Monday of the month"),
    ],
)
def test_a_cron_expression_is_described_as_people_say_it(cron: str, text: str) -> None:
    assert describe(Schedule(cron=cron)) == f"{text}, UTC"
