"""The five fields of a line of a crontab for a schedule, as Debian's cron reads them. Pure."""

import re
from collections.abc import Mapping
from typing import Any

from jobs_app.core.errors import InvalidInput
from jobs_app.schedules.cron_fields import resolve

#: The last value of minute, hour, day of month and month, up to which `5/15` goes.
_LAST = (59, 23, 31, 12)

_NAMES = {
    name: str(number)
    for names, first in (
        ("JAN FEB MAR APR MAY JUN JUL AUG SEP OCT NOV DEC", 1),
        ("SUN MON TUE WED THU FRI SAT", 0),
    )
    for number, name in enumerate(names.split(), first)
}
_PLAIN = re.compile(r"(?:\*|\d+(?:-\d+)?)(?:/\d+)?")
_OPEN_STEP = re.compile(r"(\d+)/(\d+)")


class NoLineError(Exception):
    """A job that no line of a crontab can say; the text says why."""


def has_same_fires(one: Mapping[str, Any], other: Mapping[str, Any], *, seed: str) -> bool:
    """Tell whether a crontab says both schedules with the same fields; *seed* is for `H`.

    Their zones do not count. Schedules that no line of a crontab can say do not have the same.
    """
    try:
        return fields_of(one, seed) == fields_of(other, seed)
    except NoLineError:
        return False


def fields_of(schedule: Mapping[str, Any], seed: str) -> str:
    """Return the five fields of *schedule*, or @reboot; raises NoLineError."""
    if schedule.get("at") is not None:
        raise NoLineError("it runs once, for which there is at(1)")
    if schedule.get("on") is not None:
        return "@reboot"
    if (cron := schedule.get("cron")) is None:
        return _interval_fields(schedule)
    try:
        fields = resolve(str(cron), seed).split(" ")
    except InvalidInput as error:
        raise NoLineError(f"its expression {cron!r} cannot be read") from error
    return " ".join(
        ",".join(_term(term, index, str(cron)) for term in field.split(","))
        for index, field in enumerate(fields)
    )


def _term(term: str, index: int, cron: str) -> str:
    """Return a term of the field number *index* as Debian's cron reads it; raises NoLineError."""
    for name, number in _NAMES.items():
        term = term.replace(name, number)
    if (match := _OPEN_STEP.fullmatch(term)) and index < len(_LAST):
        return f"{match[1]}-{_LAST[index]}/{match[2]}"
    if match or not _PLAIN.fullmatch(term):
        raise NoLineError(f"cron cannot read {term!r} in {cron!r}")
    return term


def _interval_fields(schedule: Mapping[str, Any]) -> str:
    """Return the fields of an interval that divides the hour; raises NoLineError.

    Others begin anew at midnight in a crontab, and not here.
    """
    seconds, anchor = schedule.get("interval_seconds"), str(schedule.get("anchor_at") or "")
    if seconds is None:
        raise NoLineError(f"cron has nothing for every {schedule.get('every')}")
    minute, second = _minute_of(anchor)
    if seconds % 60 or 3600 % seconds or second:
        raise NoLineError(f"no line of cron means every {seconds} s from {anchor}")
    step = seconds // 60
    first = minute % step
    if step == 60:
        return f"{first} * * * *"
    return f"*/{step} * * * *" if first == 0 else f"{first}-59/{step} * * * *"


def _minute_of(instant: str) -> tuple[int, bool]:
    """Return the minute of an RFC 3339 instant, and whether it has seconds."""
    match = re.search(r"T\d\d:(\d\d):(\d\d(?:\.\d+)?)", instant)
    return (int(match[1]), float(match[2]) != 0) if match else (0, False)
