"""Intervals of the calendar: every so many days, weeks, months or years, at one local time.

Pure, no IO. They count from an anchor, whose local time all fires keep. A month without the
day of the anchor has the fire on its last day. Near clock changes the rules are those of cron:
a time that is skipped fires at the first moment after the gap, one that comes twice fires once.
"""

import re
from calendar import monthrange
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from jobs_app.core.text import counted
from jobs_app.schedules import timezones

_DAY = timedelta(days=1)
_LAST_YEAR = 9998
#: The longest interval of each unit is ten years.
MOST = {"day": 3660, "week": 520, "month": 120, "year": 10}
_NAMES = {
    name: unit
    for unit, names in {
        "day": "d day days",
        "week": "w wk wks week weeks",
        "month": "mo mos month months",
        "year": "y yr yrs year years",
    }.items()
    for name in names.split()
}
_TEXT = re.compile(r"\s*(?P<number>[0-9]{1,9})?\s*(?P<unit>[A-Za-z]+)\s*")
_MONTHS_OF_YEAR = 12


@dataclass(frozen=True, slots=True)
class CalendarInterval:
    """So many days, weeks, months or years."""

    number: int
    unit: str

    def __str__(self) -> str:
        return counted(self.number, self.unit)

    @property
    def days(self) -> int | None:
        """The number of days; None for months, which differ."""
        return {"day": self.number, "week": 7 * self.number}.get(self.unit)

    @property
    def months(self) -> int:
        """The number of months; 0 for days and weeks."""
        per_unit = {"month": 1, "year": _MONTHS_OF_YEAR}.get(self.unit, 0)
        return self.number * per_unit


class Series:
    """The fires of an interval from its anchor on; the anchor itself is the first.

    `first` is the local time of the anchor, naive.
    """

    __slots__ = ("anchor", "first", "interval", "zone")

    def __init__(self, interval: CalendarInterval, zone: ZoneInfo, anchor: datetime) -> None:
        self.interval, self.zone, self.anchor = interval, zone, anchor
        self.first = anchor.astimezone(zone).replace(tzinfo=None)

    def next_fire(self, after: datetime) -> datetime | None:
        """Return the first fire later than *after*; None if none is before the year 9999."""
        index = max(self._index_near(after) - 1, 0)
        while (fire := self._fire(index)) is not None and fire <= after:
            index += 1
        return fire

    def previous_fire(self, before: datetime) -> datetime | None:
        """Return the last fire earlier than *before*; None if there is none."""
        index = self._index_before(before)
        return None if index < 0 else self._fire(index)

    def count(self, after: datetime, until: datetime) -> int:
        """Return the number of fires in (after, until]."""
        if self.interval == CalendarInterval(1, "day") and self.first.time() == time():
            # Midnight of a day that the zone skipped as a whole is also that of the next day.
            return len({*self._fires(after, until)})
        tick = timedelta(microseconds=1)
        return max(self._index_before(until + tick) - self._index_before(after + tick), 0)

    def has_local_time(self, local: datetime) -> bool:
        """Return whether the naive minute *local* is one of the series, skipped or not."""
        return any(
            (nominal := self._local(index)) is not None
            and nominal.replace(second=0, microsecond=0) == local.replace(second=0, microsecond=0)
            for index in self._indexes_near(local.replace(tzinfo=UTC))
        )

    def replaces_skipped_time(self, fire: datetime) -> bool:
        """Return whether *fire* comes at the end of a gap in place of a skipped time."""
        shown = fire.astimezone(self.zone).replace(tzinfo=None)
        return any(
            self._fire(index) == fire and self._local(index) != shown
            for index in self._indexes_near(fire)
        )

    def _fires(self, after: datetime, until: datetime) -> Iterator[datetime]:
        fire = self.next_fire(after)
        while fire is not None and fire <= until:
            yield fire
            fire = self.next_fire(fire)

    def _indexes_near(self, instant: datetime) -> range:
        near = self._index_near(instant)
        return range(max(near - 1, 0), near + 3)

    def _index_near(self, instant: datetime) -> int:
        """Return the index of a fire at most one away from the last one by *instant*."""
        first, day = self.first, instant.astimezone(self.zone).replace(tzinfo=None)
        if (days := self.interval.days) is not None:
            return (day - first) // (days * _DAY)
        months = (day.year - first.year) * _MONTHS_OF_YEAR + day.month - first.month
        return months // self.interval.months

    def _index_before(self, before: datetime) -> int:
        """Return the index of the last fire earlier than *before*; -1 if there is none."""
        index = self._index_near(before) + 1
        while index >= 0 and ((fire := self._fire(index)) is None or fire >= before):
            index -= 1
        return max(index, -1)

    def _fire(self, index: int) -> datetime | None:
        """Return a fire in UTC; None after the year 9998."""
        if index == 0:
            return self.anchor
        local = self._local(index)
        return None if local is None else _instant(self.zone, local)

    def _local(self, index: int) -> datetime | None:
        """Return the local time of a fire, skipped or not; None after the year 9998."""
        first = self.first
        if (days := self.interval.days) is not None:
            try:
                local = first + index * days * _DAY
            except OverflowError:
                return None
            return local if local.year <= _LAST_YEAR else None
        months = first.month - 1 + index * self.interval.months
        year, month = first.year + months // _MONTHS_OF_YEAR, months % _MONTHS_OF_YEAR + 1
        if year > _LAST_YEAR:
            return None
        return first.replace(year=year, month=month, day=min(first.day, monthrange(year, month)[1]))


def read(text: str) -> CalendarInterval | None:
    """Return the interval that *text* says, as "2 weeks", "month" or "14d"; None if none."""
    match = _TEXT.fullmatch(text)
    unit = _NAMES.get(match["unit"].lower()) if match else None
    if match is None or unit is None:
        return None
    return CalendarInterval(int(match["number"] or 1), unit)


def is_within(interval: CalendarInterval) -> bool:
    """Return whether *interval* is from one unit to ten years."""
    return 1 <= interval.number <= MOST[interval.unit]


def _instant(zone: ZoneInfo, local: datetime) -> datetime:
    """Return the first moment at which the clock shows the naive *local* or a later time."""
    day: date = local.date()
    midnight = timezones.plain_midnight(zone, day)
    if midnight is not None:
        return midnight + (local - datetime.combine(day, time()))
    periods = timezones.offset_periods(zone, day)
    period = next(period for period in periods if local < period.local_end)
    return period.instant(max(local, period.local_start))
