"""Warnings about valid schedules that may surprise their authors. Pure, no IO."""

import re
from calendar import day_name, month_name
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from itertools import islice
from zoneinfo import ZoneInfo

from jobs_app.core.text import counted
from jobs_app.schedules import cron_expression, cron_fires, timezones
from jobs_app.schedules.cron_expression import Expression
from jobs_app.schedules.description import duration
from jobs_app.schedules.schedule import (
    Fire,
    Schedule,
    expression_of,
    fires,
    in_utc,
    preview,
    series_of,
    zone_of,
)
from jobs_app.schedules.union import AnySchedule, Schedules, has_fire

_DAY = timedelta(days=1)
_LEAP_DAY = (2, 29)
#: Each month has so many days.
_SHORTEST_MONTH = 28
#: The next fires of a schedule that are compared with those of others: a month of each day.
_COMPARED_FIRES = 31
_STEPPED = re.compile(r"(?:\*|(?P<first>[0-9]+)(?:-(?P<last>[0-9]+))?)/(?P<step>[0-9]+)")


@dataclass(frozen=True, slots=True)
class _Cycle:
    """The values of one of the five fields, from `low` to `high`, which begin again."""

    unit: str
    plural: str
    low: int
    high: int
    size: int

    def value(self, number: int) -> str:
        """Return *number* in words: minute 56, or Saturday."""
        # Monday is the first name of the calendar, and 1 in cron.
        return day_name[number - 1] if self is _WEEKDAYS else f"{self.unit} {number}"


_DAYS = _Cycle("day", "days of the month", 1, 31, 31)
_WEEKDAYS = _Cycle("day", "days of the week", 0, 7, 7)
_CYCLES = (
    _Cycle("minute", "minutes", 0, 59, 60),
    _Cycle("hour", "hours", 0, 23, 24),
    _DAYS,
    _Cycle("month", "months", 1, 12, 12),
    _WEEKDAYS,
)


def warnings(schedule: AnySchedule, *, now: datetime) -> list[str]:
    """Return sentences about surprises of a valid schedule; of several, each has its number."""
    now = in_utc(now)
    if isinstance(schedule, Schedule):
        return [*_warnings(schedule, now), *_jitter_warnings(schedule, now)]
    texts = [
        f"Schedule {number}: {text}"
        for number, part in enumerate(schedule.parts, 1)
        for text in _warnings(part, now)
    ]
    # Their jitter ends at the next fire.
    return [*texts, *_shared_warnings(schedule, now)]


def _warnings(schedule: Schedule, now: datetime) -> list[str]:
    texts: list[str] = []
    if schedule.cron is not None:
        expression = expression_of(schedule)
        texts += _day_warnings(schedule, expression, now)
        texts += _step_warnings(expression)
        texts += _clock_change_warnings(schedule, expression, now)
        if not schedule.seed and cron_expression.uses_hash(schedule.cron):
            texts.append("H is drawn from the job's name: each job gets times of its own.")
    if schedule.interval_seconds is not None:
        texts += _interval_warnings(schedule, schedule.interval_seconds, now)
    if schedule.every is not None:
        texts += _calendar_warnings(schedule, now)
    return texts


def _shared_warnings(schedule: Schedules, now: datetime) -> Iterator[str]:
    """Yield the schedules that fire only when others do, as far as their next fires tell."""
    for index, part in enumerate(schedule.parts):
        others = schedule.parts[:index] + schedule.parts[index + 1 :]
        next_fires = list(islice(fires(part, after=now), _COMPARED_FIRES))
        shared = (any(has_fire(other, fire) for other in others) for fire in next_fires)
        if next_fires and all(shared):
            yield f"Schedule {index + 1} adds no fire: whenever it fires, another one does, too."


def _day_warnings(schedule: Schedule, expression: Expression, now: datetime) -> Iterator[str]:
    if expression.has_either_day:
        yield ("Both day fields are set: it fires on days that match either of them, not both.")
    zone = zone_of(schedule.timezone)
    next_fires = [fire.astimezone(zone) for fire in islice(fires(schedule, after=now), 3)]
    if next_fires and all((fire.month, fire.day) == _LEAP_DAY for fire in next_fires):
        yield "It fires on 29 February only, so in leap years only."
    elif short := expression.months_too_short():
        *names, last = (month_name[month] for month in short)
        months = f"{', '.join(names)} and {last} are" if names else f"{last} is"
        yield f"{months} too short for its day: no fire then. L is the last day of a month."
    elif expression.needs_leap_year():
        yield "February has 29 days in leap years only: no fire in other years."


def _step_warnings(expression: Expression) -> Iterator[str]:
    """Yield the steps that do not divide their field: the last is shorter than the others."""
    for cycle, text in zip(_CYCLES, expression.text.split(), strict=True):
        match = _STEPPED.fullmatch(text)
        if match is None:
            continue
        first, last = int(match["first"] or cycle.low), int(match["last"] or cycle.high)
        step = int(match["step"])
        # A range that ends earlier, or begins later, is meant to.
        if first - cycle.low < step and last >= cycle.low + cycle.size - 1:
            yield from _last_step_warnings(cycle, text, range(first, last + 1, step))


def _last_step_warnings(cycle: _Cycle, text: str, values: range) -> Iterator[str]:
    """Yield a warning if the step from the last of *values* to the next first one differs."""
    step, first = values.step, values[0]
    # Sunday is both 0 and 7.
    last = next(value for value in reversed(values) if value < first + cycle.size)
    rest = first + cycle.size - last
    # Months differ in length, so that no step divides them all.
    if step == 1 or (rest == step and cycle is not _DAYS):
        return
    if first == last:
        yield f"{text} is the same as {first}: {cycle.plural} end at {cycle.high}."
    elif cycle is _DAYS:
        yield (
            f"{text} counts days of a month, and each month starts it again: day {last} is"
            f" followed by day {first}, not by the day {counted(step, 'day')} later."
        )
    else:
        yield (
            f"{text} does not divide {cycle.size}: {cycle.value(last)} is followed by"
            f" {cycle.value(first)}, after {counted(rest, cycle.unit)} instead of {step}."
        )


def _clock_change_warnings(
    schedule: Schedule, expression: Expression, now: datetime
) -> Iterator[str]:
    """Yield the effects of the clock changes of the next year, each kind once."""
    zone = zone_of(schedule.timezone)
    kinds = set()
    for day in _changed_days(expression, zone, now):
        for kind, text in _effects_of_change(expression, zone, day):
            if kind not in kinds:
                kinds.add(kind)
                yield text


def _effects_of_change(
    expression: Expression, zone: ZoneInfo, day: date
) -> Iterator[tuple[str, str]]:
    """Yield the effects of a clock change on *day*, each with its kind and its sentence."""
    fires_of_day = cron_fires.fires_on_changed_day(expression, zone, day)
    if not fires_of_day:
        yield "none", f"The clock skips its times on {day}: it does not fire then."
    for fire in fires_of_day:
        local = fire.astimezone(zone)
        if cron_fires.replaces_skipped_time(expression, zone, fire):
            text = f"The clock skips one of its times on {day}: it fires at {local:%H:%M} instead."
            yield "gap", text
        elif timezones.is_repeated(local) and not expression.is_real_time:
            yield "repeat", f"{local:%H:%M} comes twice on {day}: it fires the first time only."


def _changed_days(expression: Expression, zone: ZoneInfo, now: datetime) -> Iterator[date]:
    today = now.astimezone(zone).date()
    for number in range(366):
        day = today + number * _DAY
        if timezones.plain_midnight(zone, day) is None and expression.fires_on_day(day):
            yield day


def _interval_warnings(schedule: Schedule, seconds: int, now: datetime) -> Iterator[str]:
    day = 86_400
    if seconds >= 3_600 and seconds % day and day % seconds:
        yield (
            f"{duration(seconds).capitalize()} do not divide a day: it fires at other times"
            " each day."
        )
    zone = zone_of(schedule.timezone)
    offsets = {(now + number * 30 * _DAY).astimezone(zone).utcoffset() for number in range(13)}
    if seconds % day == 0 and len(offsets) > 1:
        yield (
            "An interval in seconds counts real hours: its local time moves when the clock is"
            f" changed. every: {counted(seconds // day, 'day')} keeps it."
        )


def _calendar_warnings(schedule: Schedule, now: datetime) -> Iterator[str]:
    """Yield the effects of short months, and of the clock changes of the next year."""
    series = series_of(schedule)
    day = series.first.day
    if schedule.anchor_at is not None and series.interval.months and day > _SHORTEST_MONTH:
        yield f"In a month without a day {day} it fires on the last day."
    kinds = set()
    for fire in preview(schedule, after=now, count=366, until=now + 366 * _DAY):
        if fire.dst is not None and fire.dst not in kinds:
            kinds.add(fire.dst)
            yield _moved(fire)


def _moved(fire: Fire) -> str:
    day = fire.local.date()
    if fire.dst == "gap":
        return f"The clock skips one of its times on {day}: it fires at {fire.local:%H:%M} instead."
    return f"{fire.local:%H:%M} comes twice on {day}: it fires the first time only."


def _jitter_warnings(schedule: Schedule, now: datetime) -> Iterator[str]:
    jitter = timedelta(seconds=schedule.jitter_seconds)
    next_fires = list(islice(fires(schedule, after=now), 2))
    if len(next_fires) > 1 and next_fires[1] - next_fires[0] <= jitter:
        yield "The jitter is not shorter than the time between fires: runs may change places."
