"""The next changes of the clock in some time zones: a pure function."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from jobs_app.core.errors import InvalidSchedule
from jobs_app.schedules import timezones
from jobs_app.schedules.schedule import zone_of

#: A change is announced for so long.
ANNOUNCED = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class ClockChange:
    """The clock of a zone changes; `at` is the first instant with the other time, there."""

    at: datetime
    timezone: str


def clock_changes(names: Iterable[str], *, after: datetime) -> list[ClockChange]:
    """Return the changes in the zones *names* within a week after *after*, the next one first."""
    changes = [change for name in set(names) for change in _of_zone(name, after)]
    return sorted(changes, key=lambda change: (change.at, change.timezone))


def _of_zone(name: str, after: datetime) -> Iterable[ClockChange]:
    try:
        zone = zone_of(name)
    except InvalidSchedule:
        # This machine does not have it; the job says so.
        return []
    starts = {
        period.start
        for days in range(ANNOUNCED.days + 2)
        for period in timezones.offset_periods(zone, (after + timedelta(days=days)).date())[1:]
    }
    until = after + ANNOUNCED
    return [ClockChange(at.astimezone(zone), name) for at in starts if after < at <= until]
