"""The span of time that an explanation is about, as it is asked for and as it is read."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from jobs_app.schedules import schedule as schedules

TICK = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class When:
    """The span that the question is about: *length* from `begin` on.

    `begin` is aware, or naive for a local time of the job's zone, which need not exist.
    """

    begin: datetime
    length: timedelta = TICK


@dataclass(frozen=True, slots=True)
class DayTime:
    """The span of *length* from `time` on, in the job's zone, `days` after today."""

    time: time
    days: int = 0
    length: timedelta = TICK

    def seen_at(self, at: datetime, timezone: str) -> When:
        """Return the span that this means at the instant *at* in *timezone*."""
        day = at.astimezone(ZoneInfo(timezone)).date() + timedelta(days=self.days)
        return When(datetime.combine(day, self.time), self.length)


@dataclass(frozen=True, slots=True)
class Day:
    """A whole day in the job's zone: `on`, or if that is None the day `days` after today."""

    on: date | None = None
    days: int = 0

    def date_at(self, at: datetime, timezone: str) -> date:
        """Return the date that this means at the instant *at* in *timezone*."""
        return self.on or at.astimezone(ZoneInfo(timezone)).date() + timedelta(days=self.days)


@dataclass(frozen=True, slots=True)
class Moment:
    """A span of *length* from `instant` on; `asked` is the local time of the question, if any.

    A local time that comes twice means the first; a skipped one means the end of the gap.
    """

    instant: datetime
    length: timedelta
    asked: datetime | None = None
    is_skipped: bool = False

    @property
    def end(self) -> datetime:
        """The end of the span, exclusive."""
        return self.instant + self.length


def rough_instant(when: When) -> datetime:
    """Return the instant, reading a local time as UTC: its zone is not known yet."""
    return when.begin if when.begin.tzinfo else when.begin.replace(tzinfo=UTC)


def read(when: When, timezone: str) -> Moment:
    """Return the span of *when*, with a local time read in *timezone*."""
    if when.begin.tzinfo is not None:
        return Moment(when.begin.astimezone(UTC), when.length)
    instants = schedules.instants_of(timezone, when.begin)
    if instants:
        return Moment(instants[0], when.length, when.begin)
    _, end = schedules.gap_of(timezone, when.begin)
    return Moment(end, when.length, when.begin, is_skipped=True)


def bounds(day: date, timezone: str) -> tuple[datetime, datetime]:
    """Return the first instant of *day* in *timezone* and the first one after it, in UTC."""
    midnight = datetime.combine(day, time())
    begin, end = (read(When(midnight + timedelta(days=days)), timezone) for days in (0, 1))
    return begin.instant, end.instant
