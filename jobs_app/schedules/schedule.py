"""Schedules: the fires of a job, up to the year 9998.

Pure, no IO: no clock, no database, no Redis. Every instant that goes in or out is aware UTC.
Local time exists only in this package and in the texts that people see. The preview and the
scheduler call the same functions.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from hashlib import blake2b
from itertools import islice
from typing import Literal
from zoneinfo import ZoneInfo

from jobs_app.core.errors import FieldError, InvalidSchedule
from jobs_app.schedules import calendar_interval, cron_expression, cron_fires, timezones
from jobs_app.schedules.calendar_interval import Series
from jobs_app.schedules.cron_expression import Expression

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
#: Nothing fires from here on.
LAST = datetime(9999, 1, 1, tzinfo=UTC)
_DAY = timedelta(days=1)
_TICK = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Schedule:
    """The times of a job, by exactly one of `cron`, `interval_seconds`, `every`, `at` and `on`.

    An interval fires at `anchor_at` and every N seconds after it, never before; without an
    anchor it counts from 1970. `every` is one of the calendar, as "2 weeks". With `on` it fires
    when jobs-app starts: nobody knows when, so that it has no fire before `union.with_starts`
    has said which starts there were. Fires lie in
    [`start_at`, `end_at`). `seed`, the name of the job, determines `H` and the jitter. A naive
    datetime raises ValueError; `validation.check` finds all other faults.
    """

    cron: str | None = None
    interval_seconds: int | None = None
    every: str | None = None
    anchor_at: datetime | None = None
    at: datetime | None = None
    on: Literal["start"] | None = None
    timezone: str = "UTC"
    start_at: datetime | None = None
    end_at: datetime | None = None
    jitter_seconds: int = 0
    seed: str = ""

    def __post_init__(self) -> None:
        for instant in (self.anchor_at, self.at, self.start_at, self.end_at):
            if instant is not None:
                in_utc(instant)

    @property
    def has_anchor(self) -> bool:
        """Whether it is of a kind that counts from an anchor."""
        return self.interval_seconds is not None or self.every is not None


@dataclass(frozen=True, slots=True)
class Fire:
    """A fire for people: the instant in UTC and in the time zone of the schedule.

    `dst` is "gap" if the fire replaces a local time that the clock skipped, and "repeat" if
    the clock shows its local time twice.
    """

    at: datetime
    local: datetime
    dst: Literal["gap", "repeat"] | None


def next_fire(schedule: Schedule, *, after: datetime) -> datetime | None:
    """Return the first fire strictly later than *after*, in UTC; None if there is none.

    As in Debian's cron: a local time that is skipped in spring fires at the first moment after
    the gap; a fixed time that comes twice in autumn fires the first time; wildcard minutes or
    hours follow real time.
    """
    after = in_utc(after)
    if schedule.start_at is not None and schedule.start_at > after:
        after = in_utc(schedule.start_at) - _TICK
    fire = _next(schedule, after)
    if fire is None or (schedule.end_at is not None and fire >= schedule.end_at):
        return None
    return fire


def previous_fire(schedule: Schedule, *, before: datetime) -> datetime | None:
    """Return the last fire strictly earlier than *before*, in UTC; None if there is none."""
    before = in_utc(before)
    if schedule.end_at is not None:
        before = min(before, in_utc(schedule.end_at))
    fire = _previous(schedule, before)
    if fire is None or (schedule.start_at is not None and fire < schedule.start_at):
        return None
    return fire


def fires(
    schedule: Schedule, *, after: datetime, until: datetime | None = None
) -> Iterator[datetime]:
    """Yield the fires later than *after*, up to and including *until*, in order.

    Without *until* they may be infinite.
    """
    last = LAST if until is None else in_utc(until)
    fire = next_fire(schedule, after=after)
    while fire is not None and fire <= last:
        yield fire
        fire = next_fire(schedule, after=fire)


def count_fires(schedule: Schedule, *, after: datetime, until: datetime) -> int:
    """Return the number of fires later than *after*, up to and including *until*.

    The work does not grow with the number: a cron expression takes a few steps for each
    month, an interval one division.
    """
    after, until = in_utc(after), in_utc(until)
    if schedule.start_at is not None:
        after = max(after, in_utc(schedule.start_at) - _TICK)
    if schedule.end_at is not None:
        until = min(until, in_utc(schedule.end_at) - _TICK)
    if until <= after:
        return 0
    if schedule.cron is not None:
        expression, zone = expression_of(schedule), zone_of(schedule.timezone)
        return cron_fires.count(expression, zone, after, until)
    if schedule.interval_seconds is not None:
        anchor = _anchor(schedule)
        interval = timedelta(seconds=schedule.interval_seconds)
        first, last = max(after, anchor - _TICK), min(until, LAST - _TICK)
        return max((last - anchor) // interval - (first - anchor) // interval, 0)
    if schedule.every is not None:
        return series_of(schedule).count(after, min(until, LAST - _TICK))
    return int(schedule.at is not None and after < schedule.at <= until)


def due_at(schedule: Schedule, fire: datetime) -> datetime:
    """Return when the run of *fire* is due: up to `jitter_seconds` later, in whole milliseconds.

    The same seed and fire always give the same instant.
    """
    fire = in_utc(fire)
    if not schedule.jitter_seconds:
        return fire
    text = f"jitter\0{schedule.seed}\0{fire.isoformat()}"
    digest = blake2b(text.encode(errors="surrogatepass"), digest_size=8).digest()
    choices = schedule.jitter_seconds * 1000 + 1
    return fire + timedelta(milliseconds=int.from_bytes(digest) % choices)


def preview(
    schedule: Schedule, *, after: datetime, count: int, until: datetime | None = None
) -> list[Fire]:
    """Return the next *count* fires with their local times, fewer if they end."""
    zone = zone_of(schedule.timezone)
    next_fires = islice(fires(schedule, after=after, until=until), count)
    return [_with_local_time(schedule, zone, fire) for fire in next_fires]


def names_local_time(schedule: Schedule, local: datetime) -> bool:
    """Return whether *schedule* fires at the minute of the naive *local*, skipped or not.

    False for an interval in seconds, for one instant, and for a cron expression that follows
    real time: they have no local times that the clock could skip.
    """
    if schedule.every is not None:
        return series_of(schedule).has_local_time(local)
    if schedule.cron is None:
        return False
    expression = expression_of(schedule)
    minute = local.hour * 60 + local.minute
    return (
        not expression.is_real_time
        and expression.fires_on_day(local.date())
        and expression.minute_after(minute - 1) == minute
    )


def instants_of(timezone: str, local: datetime) -> tuple[datetime, ...]:
    """Return the instants, in UTC, at which *timezone* has the naive time *local*: 0, 1 or 2."""
    zone = zone_of(timezone)
    return tuple(
        period.instant(local)
        for period in timezones.offset_periods(zone, local.date())
        if period.local_start <= local < period.local_end
    )


def gap_of(timezone: str, local: datetime) -> tuple[datetime, datetime]:
    """Return the gap that skips the naive time *local*: its naive start, and its end in UTC."""
    periods = timezones.offset_periods(zone_of(timezone), local.date())
    index = next(n for n, period in enumerate(periods) if local < period.local_end)
    return periods[index - 1].local_end, periods[index].start


def is_repeated(timezone: str, instant: datetime) -> bool:
    """Return whether the clock shows the local time of *instant* twice."""
    return timezones.is_repeated(instant.astimezone(zone_of(timezone)))


def in_utc(instant: datetime) -> datetime:
    """Return *instant* in UTC; raises ValueError if it has no time zone."""
    if instant.tzinfo is UTC:
        return instant
    if instant.utcoffset() is None:
        raise ValueError(f"{instant!r} has no time zone")
    try:
        return instant.astimezone(UTC)
    except OverflowError:
        # Within hours of the first or last day of the calendar: nothing fires there.
        return _EPOCH if instant.year == 1 else LAST


def zone_of(name: str) -> ZoneInfo:
    """Return the time zone *name*; raises InvalidSchedule if this machine does not have it."""
    try:
        return timezones.load(name)
    # struct.error: the file of the zone is truncated.
    except (KeyError, ValueError, OSError, struct.error) as error:
        errors = [unknown_zone(name)]
        raise InvalidSchedule(errors[0].detail, errors=errors) from error


def expression_of(schedule: Schedule) -> Expression:
    """Return the parsed expression of a cron schedule, from a cache."""
    return cron_expression.parse(schedule.cron or "", schedule.seed)


def series_of(schedule: Schedule) -> Series:
    """Return the fires of an interval of the calendar, from a cache; raises InvalidSchedule."""
    return _series(schedule.every or "", schedule.timezone, _anchor(schedule))


@lru_cache(maxsize=16_384)
def _series(every: str, timezone: str, anchor: datetime) -> Series:
    interval = calendar_interval.read(every)
    if interval is None:
        raise InvalidSchedule(f"{every!r} is not an interval of the calendar.")
    return Series(interval, zone_of(timezone), anchor)


def _next(schedule: Schedule, after: datetime) -> datetime | None:
    """Return the first fire later than *after*, without regard to the window."""
    if schedule.cron is not None:
        return cron_fires.next_fire(expression_of(schedule), zone_of(schedule.timezone), after)
    if schedule.interval_seconds is not None:
        anchor = _anchor(schedule)
        interval = timedelta(seconds=schedule.interval_seconds)
        try:
            fire = anchor + max((after - anchor) // interval + 1, 0) * interval
        except OverflowError:
            return None
        return fire if fire < LAST else None
    if schedule.every is not None:
        return series_of(schedule).next_fire(after)
    if schedule.at is not None and schedule.at > after:
        return in_utc(schedule.at)
    return None


def _previous(schedule: Schedule, before: datetime) -> datetime | None:
    """Return the last fire earlier than *before*, without regard to the window."""
    if schedule.cron is not None:
        return cron_fires.previous_fire(expression_of(schedule), zone_of(schedule.timezone), before)
    if schedule.interval_seconds is not None:
        anchor = _anchor(schedule)
        interval = timedelta(seconds=schedule.interval_seconds)
        count = (min(before, LAST) - anchor - _TICK) // interval
        return anchor + count * interval if count >= 0 else None
    if schedule.every is not None:
        return series_of(schedule).previous_fire(before)
    if schedule.at is not None and schedule.at < before:
        return in_utc(schedule.at)
    return None


def anchored(schedule: Schedule, *, at: datetime, anchor_at: datetime | None = None) -> Schedule:
    """Return *schedule* with an anchor if it is an interval; one of its own stays.

    Else it is *anchor_at*, the present one of its job. A new one is `start_at`, so that the
    first fire comes then, else *at* on the whole second.
    """
    if not schedule.has_anchor or schedule.anchor_at is not None:
        return schedule
    if anchor_at is None:
        # No fire comes after the last instant, so that the check refuses such a start itself.
        has_start = schedule.start_at is not None and schedule.start_at < LAST
        # On the whole second: fires are easier to read.
        anchor_at = schedule.start_at if has_start else at.replace(microsecond=0)
    return replace(schedule, anchor_at=anchor_at)


def _anchor(schedule: Schedule) -> datetime:
    return _EPOCH if schedule.anchor_at is None else in_utc(schedule.anchor_at)


def _with_local_time(schedule: Schedule, zone: ZoneInfo, fire: datetime) -> Fire:
    local = fire.astimezone(zone)
    dst: Literal["gap", "repeat"] | None = None
    if replaces_skipped_time(schedule, fire):
        dst = "gap"
    elif timezones.is_repeated(local):
        dst = "repeat"
    return Fire(at=fire, local=local, dst=dst)


def replaces_skipped_time(schedule: Schedule, fire: datetime) -> bool:
    """Return whether *fire* replaces a local time that the clock skips."""
    if schedule.every is not None:
        return series_of(schedule).replaces_skipped_time(fire)
    return schedule.cron is not None and cron_fires.replaces_skipped_time(
        expression_of(schedule), zone_of(schedule.timezone), fire
    )


def unknown_zone(name: str) -> FieldError:
    """Return the error for a time zone that does not exist, with a suggestion."""
    suggestion = " or ".join(timezones.suggestions(name))
    hint = (
        f"did you mean {suggestion}?" if suggestion else "give an IANA name, such as Europe/Paris."
    )
    return FieldError("/timezone", "unknown_timezone", f"There is no time zone {name!r}; {hint}")
