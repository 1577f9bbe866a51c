"""Schedules and durations in English. Pure, no IO."""

from datetime import datetime

from jobs_app.core.text import rfc3339
from jobs_app.schedules.schedule import Schedule, expression_of, in_utc, zone_of

_UNITS = (("day", 86_400), ("hour", 3_600), ("minute", 60), ("second", 1))


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


def duration(seconds: int, *, every: bool = False) -> str:
    """Return "90 seconds", "2 hours"; with *every*, "hour" for one hour."""
    unit, size = next((unit, size) for unit, size in _UNITS if seconds % size == 0)
    number = seconds // size
    if number == 1:
        return unit if every else f"1 {unit}"
    return f"{number:,} {unit}s"


def _local_text(schedule: Schedule, instant: datetime) -> str:
    try:
        local = instant.astimezone(zone_of(schedule.timezone)).replace(tzinfo=None)
    except OverflowError:
        return rfc3339(in_utc(instant))
    has_seconds = local.second or local.microsecond
    return local.isoformat(" ", "auto" if has_seconds else "minutes")
