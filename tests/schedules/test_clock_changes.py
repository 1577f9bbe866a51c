"""The next changes of the clock."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from jobs_app.schedules.clock_changes import clock_changes, moved_fire
from jobs_app.schedules.schedule import Schedule

#: The clock of Paris and Berlin goes forward.
SPRING = datetime(2027, 3, 28, 1, tzinfo=UTC)
WEEK = timedelta(days=7)
HOUR = timedelta(hours=1)
#: It goes back.
AUTUMN = datetime(2027, 10, 31, 1, tzinfo=UTC)
#: A quarter past two in Paris.
NIGHT = datetime(2027, 1, 1, 1, 15, tzinfo=UTC)


def test_a_change_is_announced_for_a_week() -> None:
    names = ["Europe/Paris", "Europe/Berlin", "Europe/Paris", "UTC", "Nowhere/Gone"]

    first = clock_changes(names, after=SPRING - WEEK)

    assert [(change.at, change.timezone) for change in first] == [
        (SPRING, "Europe/Berlin"),
        (SPRING, "Europe/Paris"),
    ]
    assert first[0].at.hour == 3
    assert clock_changes(names, after=SPRING - timedelta(seconds=1)) == first
    assert clock_changes(names, after=SPRING) == []
    assert clock_changes(names, after=SPRING - WEEK - timedelta(seconds=1)) == []


def test_a_change_names_the_local_time_that_it_moves() -> None:
    (spring,) = clock_changes(["Europe/Paris"], after=SPRING - WEEK)
    (autumn,) = clock_changes(["Europe/Paris"], after=AUTUMN - WEEK)
    (island,) = clock_changes(["Australia/Lord_Howe"], after=datetime(2027, 10, 1, tzinfo=UTC))

    bounds = [[str(local) for local in change.bounds] for change in (spring, autumn, island)]
    assert bounds == [
        ["2027-03-28 02:00:00", "2027-03-28 03:00:00"],
        ["2027-10-31 02:00:00", "2027-10-31 03:00:00"],
        ["2027-10-03 02:00:00", "2027-10-03 02:30:00"],
    ]


@pytest.mark.parametrize(
    "facts, in_spring, in_autumn",
    [
        ({"cron": "30 2 * * *"}, SPRING, AUTUMN - HOUR / 2),
        ({"cron": "0 2 * * *"}, SPRING, AUTUMN - HOUR),
        ({"cron": "0,30 1-2 28 3 *"}, SPRING, None),
        ({"cron": "0 3 * * *"}, None, None),
        ({"cron": "59 1 * * *"}, None, None),
        ({"cron": "30 2 * * MON"}, None, None),
        ({"cron": "*/10 * * * *"}, None, None),
        ({"cron": "30 * * * *"}, None, None),
        ({"cron": "30 2 * * *", "end_at": SPRING}, None, None),
        ({"cron": "30 2 * * *", "start_at": SPRING + HOUR}, None, AUTUMN - HOUR / 2),
        ({"every": "1 day", "anchor_at": NIGHT}, SPRING, AUTUMN - 3 * HOUR / 4),
        ({"interval_seconds": 3600}, None, None),
        ({"at": SPRING}, None, None),
    ],
)
def test_a_schedule_with_a_time_in_that_hour_is_moved(
    facts: dict[str, Any], in_spring: datetime | None, in_autumn: datetime | None
) -> None:
    schedule = Schedule(**facts, timezone="Europe/Paris")

    moved = [
        moved_fire(schedule, change)
        for at in (SPRING, AUTUMN)
        for change in clock_changes(["Europe/Paris"], after=at - WEEK)
    ]

    assert moved == [in_spring, in_autumn]
