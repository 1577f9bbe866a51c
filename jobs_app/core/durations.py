"""Durations as people write them: 30s, 90 min, 1h30m, 15 minutes. Pure, no IO."""

import math
import re

#: The length of each unit in seconds, by all its names.
SECONDS = {
    name: seconds
    for names, seconds in {
        "s sec secs second seconds": 1,
        "m min mins minute minutes": 60,
        "h hr hrs hour hours": 3600,
        "d day days": 86_400,
        "w wk wks week weeks": 604_800,
    }.items()
    for name in names.split()
}

#: Units of the calendar, which have no fixed length.
CALENDAR_UNITS = frozenset(["mo", "mos", "month", "months", "y", "yr", "yrs", "year", "years"])

#: The form of a duration; a number alone has no unit.
DURATION = re.compile(r"(?:\d+(?:\.\d+)?\s*[A-Za-z]+\s*)+|\d+(?:\.\d+)?", re.ASCII)
_PART = re.compile(r"(\d+(?:\.\d+)?)\s*([A-Za-z]*)", re.ASCII)


class NoDuration(ValueError):
    """A text that is not written as a duration."""


def parts(text: str) -> list[tuple[str, str]]:
    """Return the numbers in *text* with their units, known or not; [] if it is no duration."""
    return _PART.findall(text) if DURATION.fullmatch(text) else []


def whole_seconds(text: str) -> int | None:
    """Return the length of *text*; None unless it is whole seconds, with known units."""
    units = parts(text.strip())
    # M is a month for some programs, and a minute for others.
    if not units or any(unit == "M" or unit.lower() not in SECONDS for _, unit in units):
        return None
    seconds = sum((float(number) * SECONDS[unit.lower()] for number, unit in units), 0.0)
    return int(seconds) if seconds.is_integer() else None


def seconds_of(text: str) -> float:
    """Return the seconds of a duration; raises ValueError with a sentence.

    It is a NoDuration if *text* is nothing like a duration.
    """
    units = parts(text)
    for _, unit in units:
        # M is a month for some programs, and a minute for others.
        if unit == "M" or unit.lower() in CALENDAR_UNITS:
            raise ValueError(
                f"{text!r} is not a duration: months and years differ in length. Write m for "
                "minutes and d for days; monthly is the cron expression '0 0 1 * *'."
            )
    if not units or any(unit and unit.lower() not in SECONDS for _, unit in units):
        raise NoDuration(
            f"{text!r} is not a duration: write 90 (seconds), 30s, 5m, 1h30m, 1.5h, 2d or 1w."
        )
    seconds = sum(float(number) * SECONDS[unit.lower() or "s"] for number, unit in units)
    if not math.isfinite(seconds):
        raise ValueError(f"{text!r} is longer than any duration.")
    return seconds
