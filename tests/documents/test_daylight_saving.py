"""The table of docs/daylight-saving.md is what the scheduler does."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from jobs_app.core.settings import Settings
from jobs_app.jobs.schedule_input import schedules_from
from jobs_app.schedules.union import fires
from tests.documents.pages import ROOT

PARIS = ZoneInfo("Europe/Paris")
#: Midnight before the clock goes forward, and before it goes back.
SPRING = datetime(2027, 3, 28, tzinfo=PARIS)
AUTUMN = datetime(2027, 10, 31, tzinfo=PARIS)
PAGE = ROOT / "docs" / "daylight-saving.md"


def local_fires(schedule: dict[str, object], midnight: datetime) -> list[str]:
    """Return the local times of the fires up to 04:00, with their distance from UTC."""
    union = schedules_from(
        {"schedule": {"timezone": "Europe/Paris", **schedule}}, Settings(), seed=""
    )
    assert union is not None
    begin = midnight.astimezone(UTC) - timedelta(seconds=1)
    end = midnight.replace(hour=4).astimezone(UTC) - timedelta(seconds=1)
    found = fires(union, after=begin, until=end)
    return [f"{fire.astimezone(PARIS):%H:%M %z}" for fire in found]


@pytest.mark.parametrize(
    "schedule, spring, autumn",
    [
        ({"cron": "30 2 * * *"}, ["03:00 +0200"], ["02:30 +0200"]),
        ({"cron": "0,30 2 * * *"}, ["03:00 +0200"], ["02:00 +0200", "02:30 +0200"]),
        (
            {"cron": "0 * * * *"},
            ["00:00 +0100", "01:00 +0100", "03:00 +0200"],
            ["00:00 +0200", "01:00 +0200", "02:00 +0200", "02:00 +0100", "03:00 +0100"],
        ),
        (
            {"every": "1 day", "anchor_at": datetime(2027, 1, 1, 2, 30, tzinfo=PARIS)},
            ["03:00 +0200"],
            ["02:30 +0200"],
        ),
    ],
    ids=["fixed", "two fixed", "hourly", "daily"],
)
def test_the_clock_changes_as_the_page_says(
    schedule: dict[str, object], spring: list[str], autumn: list[str]
) -> None:
    documented = [str(value) for name, value in schedule.items() if name in ("cron", "every")]

    assert all(text in PAGE.read_text() for text in documented)
    assert local_fires(schedule, SPRING) == spring
    assert local_fires(schedule, AUTUMN) == autumn
