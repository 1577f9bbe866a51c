"""The next changes of the clock."""

from datetime import UTC, datetime, timedelta

from jobs_app.schedules.clock_changes import clock_changes

#: The clock of Paris and Berlin goes forward.
SPRING = datetime(2027, 3, 28, 1, tzinfo=UTC)
WEEK = timedelta(days=7)


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
