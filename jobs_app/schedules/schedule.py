"""Schedules: when a job fires, from here to the year 9998, and how to say it.

Pure, no IO: no clock, no database, no Redis. Every instant that comes in or goes
out is aware UTC; local time exists only in here and in what a person sees. The
preview and the scheduler ask the same functions.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from itertools import islice
from typing import Literal
from zoneinfo import ZoneInfo

from jobs_app.core.errors import FieldError, InvalidSchedule
from jobs_app.core.text import rfc3339
from jobs_app.schedules import cron_expression, cron_fires, timezones
from jobs_app.schedules.cron_expression import Expression

MAX_INTERVAL_SECONDS = 366 * 86_400
MAX_JITTER_SECONDS = 86_400

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LAST = datetime(9999, 1, 1, tzinfo=UTC)
_DAY = timedelta(days=1)
_TICK = timedelta(microseconds=1)
_UNITS = (("day", 86_400), ("hour", 3_600), ("minute", 60), ("second", 1))


@dataclass(frozen=True, slots=True)
class Schedule:
    """When a job fires: by exactly one of `cron`, `interval_seconds` and `at`.

    An interval fires at `anchor_at` and every N seconds after it, never before;
    without an anchor it counts from 1970. Fires lie in [`start_at`, `end_at`).
    `seed`, the job's name, settles what `H` and the jitter draw. A naive
    datetime raises ValueError; anything else that is wrong is for `check`.
    """

    cron: str | None = None
    interval_seconds: int | None = None
    anchor_at: datetime | None = None
    at: datetime | None = None
    timezone: str = "UTC"
    start_at: datetime | None = None
    end_at: datetime | None = None
    jitter_seconds: int = 0
    seed: str = ""

    def __post_init__(self) -> None:
        for instant in (self.anchor_at, self.at, self.start_at, self.end_at):
            if instant is not None:
                in_utc(instant)


@dataclass(frozen=True, slots=True)
class Fire:
    """One fire as a person sees it: the instant, in UTC and in the schedule's zone.

    `dst` is "gap" where it stands for a local time that the clock skipped, and
    "repeat" where the clock shows its local time twice.
    """

    at: datetime
    local: datetime
    dst: Literal["gap", "repeat"] | None


def check(schedule: Schedule, *, now: datetime) -> None:
    """Raise InvalidSchedule, one error for each broken field, unless it fires after *now*.

    Pointers are relative to the schedule: "/cron", "/timezone".
    """
    now = in_utc(now)
    errors = [
        *_kind_errors(schedule),
        *_zone_errors(schedule.timezone),
        *_cron_errors(schedule),
        *_interval_errors(schedule),
        *_at_errors(schedule, now),
        *_window_errors(schedule, now),
        *_jitter_errors(schedule),
    ]
    if not errors and next_fire(schedule, after=now) is None:
        errors = [_never(schedule)]
    if errors:
        raise InvalidSchedule(errors[0].detail, errors=errors)


def next_fire(schedule: Schedule, *, after: datetime) -> datetime | None:
    """Return the first fire strictly later than *after*, in UTC; None if there is none.

    A local time skipped in spring counts as the first moment after the gap, a
    fixed one that comes twice in autumn counts the first time, wildcard minutes
    or hours follow real time: Debian's cron has it so.
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

    Without *until* there may be no end to them.
    """
    last = _LAST if until is None else in_utc(until)
    fire = next_fire(schedule, after=after)
    while fire is not None and fire <= last:
        yield fire
        fire = next_fire(schedule, after=fire)


def due_at(schedule: Schedule, fire: datetime) -> datetime:
    """Return when the run of *fire* is due: up to `jitter_seconds` later, in whole milliseconds.

    The same seed and fire give the same answer for ever.
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
    """Return the next *count* fires, fewer if they end, each with its local time."""
    zone = zone_of(schedule.timezone)
    coming = islice(fires(schedule, after=after, until=until), count)
    return [_shown(schedule, zone, fire) for fire in coming]


def names_local_time(schedule: Schedule, local: datetime) -> bool:
    """Say whether *schedule* names the minute of the naive *local*, shown by the clock or not.

    False for an interval, for one instant, and for a cron expression that follows real
    time: these know no times that the clock could skip.
    """
    if schedule.cron is None:
        return False
    expression = expression_of(schedule)
    minute = local.hour * 60 + local.minute
    return (
        not expression.is_real_time
        and expression.fires_on_day(local.date())
        and expression.minute_after(minute - 1) == minute
    )


def describe(schedule: Schedule) -> str:
    """Return the schedule as one English sentence without a full stop."""
    zone = schedule.timezone
    zone_text = zone if zone == "UTC" else f"{zone} time"
    if schedule.cron is not None:
        text = f"{expression_of(schedule).explain()}, {zone_text}"
    elif schedule.interval_seconds is not None:
        text = f"Every {duration(schedule.interval_seconds, every=True)}"
    elif schedule.at is not None:
        text = f"Once at {_local_text(schedule, schedule.at)}, {zone_text}"
    else:
        text = "Only when started by hand"
    if schedule.start_at is not None:
        text += f", from {_local_text(schedule, schedule.start_at)}"
    if schedule.end_at is not None:
        text += f", until {_local_text(schedule, schedule.end_at)}"
    if schedule.jitter_seconds:
        text += f", each up to {duration(schedule.jitter_seconds)} later"
    return text


def readings(timezone: str, local: datetime) -> tuple[datetime, ...]:
    """Return when a clock in *timezone* shows the naive *local*, in UTC: once, twice or never."""
    zone = zone_of(timezone)
    return tuple(
        stretch.instant(local)
        for stretch in timezones.stretches(zone, local.date())
        if stretch.local_start <= local < stretch.local_end
    )


def after_gap(timezone: str, local: datetime) -> tuple[datetime, datetime]:
    """Return the gap that swallows the naive *local*: its naive start, and its end in UTC."""
    stretches = timezones.stretches(zone_of(timezone), local.date())
    place = next(n for n, stretch in enumerate(stretches) if local < stretch.local_end)
    return stretches[place - 1].local_end, stretches[place].start


def is_repeated(timezone: str, instant: datetime) -> bool:
    """Say whether the clock shows the local time of *instant* twice."""
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
        # Within hours of either end of the calendar, where nothing fires.
        return _EPOCH if instant.year == 1 else _LAST


def zone_of(name: str) -> ZoneInfo:
    """Return the zone; raises InvalidSchedule if this machine knows none of that name."""
    try:
        return timezones.named(name)
    # struct.error: the zone's file is there and ends too early.
    except (KeyError, ValueError, OSError, struct.error) as error:
        errors = [_unknown_zone(name)]
        raise InvalidSchedule(errors[0].detail, errors=errors) from error


def expression_of(schedule: Schedule) -> Expression:
    """Return the parsed expression of a cron schedule, from a cache."""
    return cron_expression.parse(schedule.cron or "", schedule.seed)


def _next(schedule: Schedule, after: datetime) -> datetime | None:
    """Return the first fire later than *after*, whatever the window says."""
    if schedule.cron is not None:
        return cron_fires.next_fire(expression_of(schedule), zone_of(schedule.timezone), after)
    if schedule.interval_seconds is not None:
        anchor = _anchor(schedule)
        interval = timedelta(seconds=schedule.interval_seconds)
        try:
            fire = anchor + max((after - anchor) // interval + 1, 0) * interval
        except OverflowError:
            return None
        return fire if fire < _LAST else None
    if schedule.at is not None and schedule.at > after:
        return in_utc(schedule.at)
    return None


def _previous(schedule: Schedule, before: datetime) -> datetime | None:
    """Return the last fire earlier than *before*, whatever the window says."""
    if schedule.cron is not None:
        return cron_fires.previous_fire(expression_of(schedule), zone_of(schedule.timezone), before)
    if schedule.interval_seconds is not None:
        anchor = _anchor(schedule)
        interval = timedelta(seconds=schedule.interval_seconds)
        passed = (min(before, _LAST) - anchor - _TICK) // interval
        return anchor + passed * interval if passed >= 0 else None
    if schedule.at is not None and schedule.at < before:
        return in_utc(schedule.at)
    return None


def _anchor(schedule: Schedule) -> datetime:
    return _EPOCH if schedule.anchor_at is None else in_utc(schedule.anchor_at)


def _shown(schedule: Schedule, zone: ZoneInfo, fire: datetime) -> Fire:
    local = fire.astimezone(zone)
    dst: Literal["gap", "repeat"] | None = None
    if schedule.cron is not None and cron_fires.stands_for_skipped(
        expression_of(schedule), zone, fire
    ):
        dst = "gap"
    elif timezones.is_repeated(local):
        dst = "repeat"
    return Fire(at=fire, local=local, dst=dst)


def _local_text(schedule: Schedule, instant: datetime) -> str:
    try:
        local = instant.astimezone(zone_of(schedule.timezone)).replace(tzinfo=None)
    except OverflowError:
        return _stamp(instant)
    has_seconds = local.second or local.microsecond
    return local.isoformat(" ", "auto" if has_seconds else "minutes")


def duration(seconds: int, *, every: bool = False) -> str:
    """Return "90 seconds", "2 hours"; and with *every*, "hour" for one hour."""
    unit, size = next((unit, size) for unit, size in _UNITS if seconds % size == 0)
    number = seconds // size
    if number == 1:
        return unit if every else f"1 {unit}"
    return f"{number:,} {unit}s"


def _kind_errors(schedule: Schedule) -> Iterator[FieldError]:
    given = [name for name in ("cron", "interval_seconds", "at") if _is_given(schedule, name)]
    if not given:
        yield FieldError("", "required", "One of cron, interval_seconds and at is needed.")
    elif len(given) > 1:
        names = " and ".join(given)
        yield FieldError("", "exclusive", f"Give one of {names}: a job has one schedule.")
    if schedule.anchor_at is not None and given and "interval_seconds" not in given:
        yield FieldError("/anchor_at", "not_supported", "Only an interval has an anchor.")


def _is_given(schedule: Schedule, name: str) -> bool:
    return getattr(schedule, name) is not None


def _zone_errors(name: str) -> Iterator[FieldError]:
    if not timezones.is_known(name):
        yield _unknown_zone(name)


def _unknown_zone(name: str) -> FieldError:
    close = " or ".join(timezones.suggestions(name))
    hint = f"did you mean {close}?" if close else "give an IANA name, such as Europe/Paris."
    return FieldError("/timezone", "unknown_timezone", f"There is no time zone {name!r}; {hint}")


def _cron_errors(schedule: Schedule) -> tuple[FieldError, ...]:
    if schedule.cron is None:
        return ()
    try:
        cron_expression.parse(schedule.cron, schedule.seed)
    except InvalidSchedule as error:
        return error.errors
    return ()


def _interval_errors(schedule: Schedule) -> Iterator[FieldError]:
    interval = schedule.interval_seconds
    if interval is not None and not _is_within(interval, 1, MAX_INTERVAL_SECONDS):
        detail = f"{interval!r} is not a whole number of seconds in 1-{MAX_INTERVAL_SECONDS}."
        yield FieldError("/interval_seconds", "out_of_range", detail)
    if schedule.anchor_at is not None and schedule.anchor_at >= _LAST:
        yield FieldError("/anchor_at", "out_of_range", "The anchor lies after the year 9998.")


def _at_errors(schedule: Schedule, now: datetime) -> Iterator[FieldError]:
    if schedule.at is None:
        return
    if schedule.at <= now:
        detail = f"{_stamp(schedule.at)} has passed: it is {_stamp(now)}."
        yield FieldError("/at", "in_the_past", detail)
    elif schedule.at >= _LAST:
        yield FieldError("/at", "out_of_range", f"{_stamp(schedule.at)} is after the year 9998.")


def _window_errors(schedule: Schedule, now: datetime) -> Iterator[FieldError]:
    start, end = schedule.start_at, schedule.end_at
    if start is not None and end is not None and start >= end:
        detail = f"{_stamp(end)} is not later than start_at, {_stamp(start)}."
        yield FieldError("/end_at", "before_start", detail)
    elif end is not None and end <= now:
        detail = f"{_stamp(end)} has passed: it is {_stamp(now)}."
        yield FieldError("/end_at", "in_the_past", detail)


def _jitter_errors(schedule: Schedule) -> Iterator[FieldError]:
    jitter, interval = schedule.jitter_seconds, schedule.interval_seconds
    if not _is_within(jitter, 0, MAX_JITTER_SECONDS):
        detail = f"{jitter!r} is not a whole number of seconds in 0-{MAX_JITTER_SECONDS}."
        yield FieldError("/jitter_seconds", "out_of_range", detail)
    elif interval is not None and _is_within(interval, 1, jitter):
        detail = f"{jitter} is not less than interval_seconds, {interval}."
        yield FieldError("/jitter_seconds", "out_of_range", detail)


def _is_within(value: object, low: int, high: int) -> bool:
    """Say whether *value* is a whole number in [low, high]; True and 1.0 are none."""
    return type(value) is int and low <= value <= high


def _never(schedule: Schedule) -> FieldError:
    """Return why a schedule whose fields are all well formed has no fire to come."""
    if schedule.start_at is not None or schedule.end_at is not None:
        window = "/end_at" if schedule.end_at is not None else "/start_at"
        return FieldError(window, "never_fires", "No fire lies between start_at and end_at.")
    text = expression_of(schedule).text if schedule.cron is not None else "The schedule"
    return FieldError("/cron", "never_fires", f"{text} never fires: no date matches all fields.")


def _stamp(instant: datetime) -> str:
    return rfc3339(in_utc(instant))
