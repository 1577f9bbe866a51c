"""Durations as people write them: 30s, 90 min, 1h30m, 15 minutes. Pure, no IO."""

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

#: The form of a duration; a number alone has no unit.
DURATION = re.compile(r"(?:\d+(?:\.\d+)?\s*[A-Za-z]+\s*)+|\d+(?:\.\d+)?", re.ASCII)
_PART = re.compile(r"(\d+(?:\.\d+)?)\s*([A-Za-z]*)", re.ASCII)


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
