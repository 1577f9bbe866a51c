"""Time zones: their names, and the periods of real time with one UTC offset each.

Pure, no IO except for the data of zones, through zoneinfo. This module does not know
schedules; `cron_fires` asks it how a local day maps to real time.
"""

import itertools
from bisect import bisect_left
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo, available_timezones

from jobs_app.core.text import closest

_DAY = timedelta(days=1)
# No zone is further from UTC, so that a local day lies within its UTC day and this margin.
_MARGIN = timedelta(hours=16)
# Since 1970 no zone has changed its offset twice within a week.
_STEP = timedelta(hours=4)
#: Abbreviations that people type, which are no zones: those of summer time, mostly.
_ABBREVIATIONS = {
    "cest": ("CET", "Europe/Berlin"),
    "west": ("WET", "Europe/Lisbon"),
    "eest": ("EET", "Europe/Athens"),
    "bst": ("Europe/London",),
    "edt": ("America/New_York",),
    "cdt": ("America/Chicago",),
    "mdt": ("America/Denver",),
    "pst": ("America/Los_Angeles",),
    "pdt": ("America/Los_Angeles",),
    "msk": ("Europe/Moscow",),
    "jst": ("Asia/Tokyo",),
    "aest": ("Australia/Sydney", "Australia/Brisbane"),
    "aedt": ("Australia/Sydney",),
}
# Files in the directory of zones that are not time zones.
_NOT_ZONES = frozenset({"Factory", "localtime", "posixrules"})


@dataclass(frozen=True, slots=True)
class OffsetPeriod:
    """Real time from `start` up to `end`, both in UTC, with one UTC offset."""

    start: datetime
    end: datetime
    offset: timedelta

    @property
    def local_start(self) -> datetime:
        """The naive local time at the start."""
        return (self.start + self.offset).replace(tzinfo=None)

    @property
    def local_end(self) -> datetime:
        """The naive local time at the end, by the offset of this period."""
        return (self.end + self.offset).replace(tzinfo=None)

    def instant(self, local: datetime) -> datetime:
        """Return the instant of the naive *local* in UTC, by the offset of this period."""
        return local.replace(tzinfo=UTC) - self.offset


@lru_cache(maxsize=1024)
def load(name: str) -> ZoneInfo:
    """Return the zone *name*; raises the errors of ZoneInfo if it cannot be loaded."""
    return ZoneInfo(name)


def is_known(name: str) -> bool:
    """Return whether *name* is an IANA zone, in this exact spelling."""
    return name in names()


def suggestions(name: str) -> list[str]:
    """Return the zones that the invalid *name* may mean, most often one."""
    lower_name = name.strip().lower().replace(" ", "_")
    by_lower = {known.lower(): known for known in names()}
    if lower_name in by_lower:
        return [by_lower[lower_name]]
    if known := _ABBREVIATIONS.get(lower_name):
        return [zone for zone in known if zone in names()]
    cities = sorted(
        known for lower, known in by_lower.items() if lower.rpartition("/")[2] == lower_name
    )
    # Not another abbreviation: PST is not EST.
    spelt_out = [lower for lower, known in by_lower.items() if not known.isupper()]
    suggestion = closest(lower_name, spelt_out, cutoff=0.75)
    return cities or ([] if suggestion is None else [by_lower[suggestion]])


@lru_cache(maxsize=16_384)
def plain_midnight(zone: ZoneInfo, day: date) -> datetime | None:
    """Return the start of *day* in UTC if the day has 24 hours of one offset.

    None means that the clock is changed on that day: the day skips or repeats some times,
    or does not exist (30 December 2011 in Samoa).
    """
    begin = datetime.combine(day, time(), zone)
    offset = begin.utcoffset()
    # The first of two midnights, and the last of the next two: this finds changes at the edges.
    if offset is None or offset != (begin + _DAY).replace(fold=1).utcoffset():
        return None
    return begin.replace(tzinfo=UTC) - offset


@lru_cache(maxsize=16_384)
def changed_days(zone: ZoneInfo, year: int, month: int) -> frozenset[int]:
    """Return the days of a month that are not plain, or follow such a day."""
    first = date(year, month, 1)
    days = [day for number in range(31) if (day := first + number * _DAY).month == month]
    return frozenset(
        day.day
        for day in days
        if plain_midnight(zone, day) is None or plain_midnight(zone, day - _DAY) is None
    )


@lru_cache(maxsize=1024)
def offset_periods(zone: ZoneInfo, day: date) -> tuple[OffsetPeriod, ...]:
    """Return the periods of *day*, in order and without holes.

    The first begins before the day, the last ends after it.
    """
    begin = datetime.combine(day, time(), UTC) - _MARGIN
    end = begin + _DAY + 2 * _MARGIN
    bounds = [begin]
    for number in range((end - begin) // _STEP):
        mark = begin + number * _STEP
        if _offset(zone, mark) != _offset(zone, mark + _STEP):
            bounds.append(_change(zone, mark))
    bounds.append(end)
    return tuple(
        OffsetPeriod(start, stop, _offset(zone, start))
        for start, stop in itertools.pairwise(bounds)
    )


def is_repeated(local: datetime) -> bool:
    """Return whether the clock shows *local* twice; *local* is aware and exists."""
    return local.replace(fold=0).utcoffset() != local.replace(fold=1).utcoffset()


def skipped_before(zone: ZoneInfo, instant: datetime) -> timedelta:
    """Return how much local time is skipped just before *instant*, zero if none."""
    earlier = _offset(zone, instant - timedelta(seconds=1))
    return max(_offset(zone, instant) - earlier, timedelta())


def _change(zone: ZoneInfo, mark: datetime) -> datetime:
    """Return the first second after *mark* with another offset."""
    before = _offset(zone, mark)
    seconds = range(int(_STEP.total_seconds()) + 1)
    second = bisect_left(
        seconds, True, key=lambda later: _offset(zone, mark + timedelta(seconds=later)) != before
    )
    return mark + timedelta(seconds=second)


def _offset(zone: ZoneInfo, instant: datetime) -> timedelta:
    return instant.astimezone(zone).utcoffset() or timedelta()


@lru_cache(maxsize=1)
def names() -> frozenset[str]:
    return frozenset(available_timezones()) - _NOT_ZONES
