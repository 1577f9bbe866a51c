"""Time zones as stretches of real time with one offset each, and their names.

Pure, no IO: the only thing read is the zone's data, through zoneinfo. Nothing
here knows what a schedule is; `cron` asks how a local day maps to real time.
"""

import itertools
from bisect import bisect_left
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo, available_timezones

from jobs_app.core.text import closest

_DAY = timedelta(days=1)
# No zone is further from UTC than this, so a local day lies within its UTC day and a margin.
_MARGIN = timedelta(hours=16)
# Since 1970 no zone has changed its offset twice within a week.
_STEP = timedelta(hours=4)
# What the directory of zones holds that names no place.
_NOT_ZONES = frozenset({"Factory", "localtime", "posixrules"})


@dataclass(frozen=True, slots=True)
class Stretch:
    """Real time from `start` up to `end`, both UTC, over which the offset is the same."""

    start: datetime
    end: datetime
    offset: timedelta

    @property
    def local_start(self) -> datetime:
        """What the local clock reads at the start, without a zone."""
        return (self.start + self.offset).replace(tzinfo=None)

    @property
    def local_end(self) -> datetime:
        """What the local clock would read at the end if nobody changed it."""
        return (self.end + self.offset).replace(tzinfo=None)

    def instant(self, local: datetime) -> datetime:
        """Return when the local clock reads *local*, in UTC, by this stretch's offset."""
        return local.replace(tzinfo=UTC) - self.offset


@lru_cache(maxsize=1024)
def named(name: str) -> ZoneInfo:
    """Return the zone *name*; raises as ZoneInfo does if there is none."""
    return ZoneInfo(name)


def is_known(name: str) -> bool:
    """Say whether *name* is an IANA zone, spelt exactly."""
    return name in _names()


def suggestions(name: str) -> list[str]:
    """Return the zones that somebody who wrote *name* may have meant, most often one."""
    wanted = name.strip().lower().replace(" ", "_")
    by_lower = {known.lower(): known for known in _names()}
    if wanted in by_lower:
        return [by_lower[wanted]]
    cities = sorted(
        known for lower, known in by_lower.items() if lower.rpartition("/")[2] == wanted
    )
    # Two of three letters are too few for a suggestion: PST is not EST.
    suggestion = closest(wanted, by_lower, cutoff=0.75)
    return cities or ([] if suggestion is None else [by_lower[suggestion]])


@lru_cache(maxsize=16_384)
def plain_midnight(zone: ZoneInfo, day: date) -> datetime | None:
    """Return when *day* begins, in UTC, if it has 24 hours of one offset.

    None says that the clock is changed on that day: it skips or repeats some of
    its times, or has none at all (30 December 2011 in Samoa).
    """
    begin = datetime.combine(day, time(), zone)
    offset = begin.utcoffset()
    # Asking for the first of two midnights and the last of the next two finds changes at the edges.
    if offset is None or offset != (begin + _DAY).replace(fold=1).utcoffset():
        return None
    return begin.replace(tzinfo=UTC) - offset


@lru_cache(maxsize=1024)
def stretches(zone: ZoneInfo, day: date) -> tuple[Stretch, ...]:
    """Return the stretches that *day* falls into, in order and without holes.

    They begin before the day does and end after it.
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
        Stretch(start, stop, _offset(zone, start)) for start, stop in itertools.pairwise(bounds)
    )


def is_repeated(local: datetime) -> bool:
    """Say whether the clock shows the time of *local* twice; aware, one that exists."""
    return local.replace(fold=0).utcoffset() != local.replace(fold=1).utcoffset()


def skipped_before(zone: ZoneInfo, instant: datetime) -> timedelta:
    """Return how much local time is skipped just before *instant*; zero as a rule."""
    earlier = _offset(zone, instant - timedelta(seconds=1))
    return max(_offset(zone, instant) - earlier, timedelta())


def _change(zone: ZoneInfo, mark: datetime) -> datetime:
    """Return the first second after *mark* at which the offset is another."""
    before = _offset(zone, mark)
    seconds = range(int(_STEP.total_seconds()) + 1)
    found = bisect_left(
        seconds, True, key=lambda second: _offset(zone, mark + timedelta(seconds=second)) != before
    )
    return mark + timedelta(seconds=found)


def _offset(zone: ZoneInfo, instant: datetime) -> timedelta:
    return instant.astimezone(zone).utcoffset() or timedelta()


@lru_cache(maxsize=1)
def _names() -> frozenset[str]:
    return frozenset(available_timezones()) - _NOT_ZONES
