"""The next changes of the clock in some time zones: a pure function."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import pairwise

from jobs_app.core.errors import InvalidSchedule
from jobs_app.schedules import timezones
from jobs_app.schedules.schedule import Schedule, names_local_time, preview, zone_of

#: A change is announced for so long.
ANNOUNCED = timedelta(days=7)

_TICK = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class ClockChange:
    """The clock of a zone changes; `at` is the first instant with the other time, there.

    A positive `shift` leaves so much local time out, a negative one shows so much twice.
    """

    at: datetime
    timezone: str
    shift: timedelta

    @property
    def bounds(self) -> tuple[datetime, datetime]:
        """The first local time that is left out or comes twice, and the first one after it."""
        local = self.at.replace(tzinfo=None)
        return min(local - self.shift, local), max(local - self.shift, local)


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
    shifts = {
        period.start: period.offset - before.offset
        for days in range(ANNOUNCED.days + 2)
        for before, period in pairwise(
            timezones.offset_periods(zone, (after + timedelta(days=days)).date())
        )
    }
    until = after + ANNOUNCED
    return [
        ClockChange(at.astimezone(zone), name, shift)
        for at, shift in shifts.items()
        if after < at <= until
    ]


@lru_cache(maxsize=16_384)
def moved_fire(schedule: Schedule, change: ClockChange) -> datetime | None:
    """Return the fire of the first local time that *change* leaves out or shows twice.

    None if *schedule* has no such time: also where it follows real time, and not the clock.
    """
    at = change.at.astimezone(UTC)
    if change.shift > timedelta():
        fires = preview(schedule, after=at - _TICK, count=1, until=at)
        return at if fires and fires[0].dst == "gap" else None
    fires = preview(schedule, after=at + change.shift - _TICK, count=1, until=at - _TICK)
    is_named = fires and names_local_time(schedule, fires[0].local.replace(tzinfo=None))
    return fires[0].at if is_named else None
