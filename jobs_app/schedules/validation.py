"""Validation of a schedule: one error for each broken field. Pure, no IO."""

from collections.abc import Iterator
from datetime import UTC, datetime

from jobs_app.core.errors import FieldError, InvalidSchedule
from jobs_app.core.text import counted, rfc3339, shortened
from jobs_app.schedules import calendar_interval, cron_expression, timezones
from jobs_app.schedules.schedule import (
    LAST,
    Schedule,
    expression_of,
    in_utc,
    next_fire,
    unknown_zone,
)

MAX_INTERVAL_SECONDS = 366 * 86_400
MAX_JITTER_SECONDS = 86_400
# From here on the local time of every zone is known.
_FIRST_ANCHOR = datetime(1970, 1, 2, tzinfo=UTC)


def check(schedule: Schedule, *, now: datetime) -> None:
    """Raise InvalidSchedule unless *schedule* is valid and fires after *now*.

    It has an error for each broken field, with pointers relative to the schedule: "/cron".
    """
    now = in_utc(now)
    errors = [
        *_kind_errors(schedule),
        *([] if timezones.is_known(schedule.timezone) else [unknown_zone(schedule.timezone)]),
        *_cron_errors(schedule),
        *_interval_errors(schedule),
        *_every_errors(schedule),
        *_at_errors(schedule, now),
        *_on_errors(schedule),
        *_window_errors(schedule, now),
        *_jitter_errors(schedule),
    ]
    if not errors and schedule.on is None and next_fire(schedule, after=now) is None:
        errors = [_never_fires(schedule)]
    if errors:
        raise InvalidSchedule(errors[0].detail, errors=errors)


def _kind_errors(schedule: Schedule) -> Iterator[FieldError]:
    fields = ("cron", "interval_seconds", "every", "at", "on")
    kinds = [name for name in fields if getattr(schedule, name) is not None]
    if not kinds:
        yield FieldError(
            "", "required", "One of cron, interval_seconds, every, at and on is needed."
        )
    elif len(kinds) > 1:
        names = " and ".join(kinds)
        yield FieldError("", "exclusive", f"Give one of {names}: a job has one schedule.")
    if schedule.anchor_at is not None and kinds and not schedule.has_anchor:
        yield FieldError("/anchor_at", "not_supported", "Only an interval has an anchor.")


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
        detail = _seconds_detail("The interval", 1, MAX_INTERVAL_SECONDS, interval)
        yield FieldError("/interval_seconds", "out_of_range", detail)
    # An interval of the calendar counts from its local time, which the first days may not have.
    earliest = _FIRST_ANCHOR if schedule.every is not None else datetime.min.replace(tzinfo=UTC)
    if schedule.anchor_at is not None and schedule.anchor_at < earliest:
        yield FieldError("/anchor_at", "out_of_range", "The anchor lies before the year 1970.")
    if schedule.anchor_at is not None and schedule.anchor_at >= LAST:
        yield FieldError("/anchor_at", "out_of_range", "The anchor lies after the year 9998.")


def _every_errors(schedule: Schedule) -> Iterator[FieldError]:
    if schedule.every is None:
        return
    interval = calendar_interval.read(schedule.every)
    if interval is None:
        text = shortened(schedule.every, 40)
        detail = f"{text!r} is not an interval: write it as 15 minutes, 2 weeks or 3 months."
        yield FieldError("/every", "syntax", detail)
    elif not calendar_interval.is_within(interval):
        most = counted(calendar_interval.MOST[interval.unit], interval.unit)
        detail = f"{interval} is out of range: give 1 {interval.unit} to {most}."
        yield FieldError("/every", "out_of_range", detail)


def _at_errors(schedule: Schedule, now: datetime) -> Iterator[FieldError]:
    if schedule.at is None:
        return
    if schedule.at <= now:
        detail = f"{_text(schedule.at)} has passed: it is {_text(now.replace(microsecond=0))}."
        yield FieldError("/at", "in_the_past", detail)
    elif schedule.at >= LAST:
        yield FieldError("/at", "out_of_range", f"{_text(schedule.at)} is after the year 9998.")


def _on_errors(schedule: Schedule) -> Iterator[FieldError]:
    if schedule.on is None:
        return
    for name in ("start_at", "end_at"):
        if getattr(schedule, name) is not None:
            detail = f"{name} does not go with on: pause the job while it is not to start."
            yield FieldError(f"/{name}", "not_supported", detail)


def _window_errors(schedule: Schedule, now: datetime) -> Iterator[FieldError]:
    start, end = schedule.start_at, schedule.end_at
    if start is not None and end is not None and start >= end:
        detail = f"{_text(end)} is not later than start_at, {_text(start)}."
        yield FieldError("/end_at", "before_start", detail)
    elif end is not None and end <= now:
        detail = f"{_text(end)} has passed: it is {_text(now.replace(microsecond=0))}."
        yield FieldError("/end_at", "in_the_past", detail)


def _jitter_errors(schedule: Schedule) -> Iterator[FieldError]:
    jitter, interval = schedule.jitter_seconds, schedule.interval_seconds
    if not _is_within(jitter, 0, MAX_JITTER_SECONDS):
        detail = _seconds_detail("The jitter", 0, MAX_JITTER_SECONDS, jitter)
        yield FieldError("/jitter_seconds", "out_of_range", detail)
    elif interval is not None and _is_within(interval, 1, jitter):
        detail = f"{jitter} is not less than interval_seconds, {interval}."
        yield FieldError("/jitter_seconds", "out_of_range", detail)


def _seconds_detail(what: str, low: int, high: int, value: object) -> str:
    return f"{what} must be a whole number of seconds from {low} to {high:,}, not {value!r}."


def _is_within(value: object, low: int, high: int) -> bool:
    """Return whether *value* is a whole number in [low, high]; True and 1.0 are not."""
    return type(value) is int and low <= value <= high


def _never_fires(schedule: Schedule) -> FieldError:
    """Return the error of a schedule with valid fields that has no further fire."""
    if schedule.start_at is not None or schedule.end_at is not None:
        window = "/end_at" if schedule.end_at is not None else "/start_at"
        return FieldError(window, "never_fires", "No fire lies between start_at and end_at.")
    text = expression_of(schedule).text if schedule.cron is not None else "The schedule"
    return FieldError("/cron", "never_fires", f"{text} never fires: no date matches all fields.")


def _text(instant: datetime) -> str:
    return rfc3339(in_utc(instant))
