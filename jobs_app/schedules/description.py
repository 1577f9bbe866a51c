"""Schedules and durations in English. Pure, no IO."""

import re
from calendar import day_name, month_name
from datetime import datetime

from jobs_app.core.text import counted, rfc3339
from jobs_app.schedules.schedule import Schedule, expression_of, in_utc, series_of, zone_of
from jobs_app.schedules.union import AnySchedule, parts_of

_UNITS = (("day", 86_400), ("hour", 3_600), ("minute", 60), ("second", 1))

_LEAP_DAY = (2, 29)
#: Each month has so many days.
_SHORTEST_MONTH = 28

_ORDINALS = ["second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth"]
_ORDINAL = rf"({'|'.join(_ORDINALS)}|\d+(?:st|nd|rd|th))"


def describe(schedule: AnySchedule) -> str:
    """Return the schedule as one English sentence without a full stop."""
    first, *others = map(_described, parts_of(schedule))
    return "; and ".join([first, *(text[:1].lower() + text[1:] for text in others)])


def _described(schedule: Schedule) -> str:
    zone = schedule.timezone
    zone_text = zone if zone == "UTC" else f"{zone} time"
    if schedule.cron is not None:
        text = f"{plain_words(expression_of(schedule).explain())}, {zone_text}"
    elif schedule.interval_seconds is not None:
        text = f"Every {duration(schedule.interval_seconds, every=True)}"
    elif schedule.every is not None:
        text = f"{_every(schedule)}, {zone_text}"
    elif schedule.at is not None:
        text = f"Once at {_local_text(schedule, schedule.at)}, {zone_text}"
    elif schedule.on is not None:
        text = "When jobs-app starts"
    else:
        text = "Only when started by hand"
    if schedule.start_at is not None:
        text += f", from {_local_text(schedule, schedule.start_at)}"
    if schedule.end_at is not None:
        text += f", until {_local_text(schedule, schedule.end_at)}"
    if schedule.jitter_seconds:
        text += f", each up to {duration(schedule.jitter_seconds)} later"
    return text


def _every(schedule: Schedule) -> str:
    """Return an interval of the calendar: "Every 2 weeks on Friday at 09:00"."""
    series = series_of(schedule)
    interval, first = series.interval, series.first
    every = f"Every {interval.unit if interval.number == 1 else interval}"
    if schedule.anchor_at is None:
        return every
    at = first.time().replace(microsecond=0).isoformat("auto").removesuffix(":00")
    if interval.unit == "day":
        return f"{every} at {at}"
    if interval.unit == "week":
        return f"{every} on {day_name[first.weekday()]} at {at}"
    day = _nth(first.day)
    if interval.unit == "year":
        leap = " or 28th" if (first.month, first.day) == _LEAP_DAY else ""
        return f"{every} on the {day}{leap} of {month_name[first.month]} at {at}"
    return f"{every} on the {day}{' or last' if first.day > _SHORTEST_MONTH else ''} day at {at}"


def _nth(number: int) -> str:
    """Return 1st, 2nd, 3rd, 4th."""
    if number // 10 == 1:
        return f"{number}th"
    return f"{number}{ {1: 'st', 2: 'nd', 3: 'rd'}.get(number % 10, 'th') }"


def plain_words(sentence: str) -> str:
    """Return cronsim's sentence about a cron expression as people would say it.

    "Every fifth minute of every hour" is "Every 5 minutes". A step that divides no hour or day
    keeps its ordinal: every seventh minute is not every 7 minutes, since each hour starts anew.
    """
    sentence = re.sub(rf"^Every {_ORDINAL} minute( of every hour| past)?(?!\w)", _minutes, sentence)
    sentence = re.sub(rf"^At minute (\d+) past every {_ORDINAL} hour\b", _hours, sentence)
    sentence = re.sub(r"on the [^A-Z]*? day of month", _days, sentence)
    return sentence.replace("day of month", "day of the month").replace(
        "day of week", "day of the week"
    )


def _minutes(match: re.Match[str]) -> str:
    step, suffix = _number(match[1]), match[2] or ""
    if 60 % step:
        return match[0]
    return f"Every {counted(step, 'minute')}" + (" of" if suffix == " past" else "")


def _hours(match: re.Match[str]) -> str:
    minute, step = int(match[1]), _number(match[2])
    if 24 % step:
        return match[0]
    return f"Every {counted(step, 'hour')}" + (f" at minute {minute}" if minute else "")


def _days(match: re.Match[str]) -> str:
    """Write the first days as the later ones are, where a sentence has both: 1st and 15th."""
    if not re.search(r"\d", match[0]):
        return match[0]
    numbers = dict(
        zip(_ORDINALS, ["2nd", "3rd", "4th", "5th", "6th", "7th", "8th", "9th"], strict=True)
    )
    words = re.compile(r"\b(first|" + "|".join(_ORDINALS) + r")\b")
    return words.sub(lambda word: numbers.get(word[0], "1st"), match[0])


def _number(ordinal: str) -> int:
    if ordinal in _ORDINALS:
        return _ORDINALS.index(ordinal) + 2
    return int(ordinal.rstrip("stndrh"))


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
