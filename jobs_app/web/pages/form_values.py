"""Values of a document as the texts of form controls, and back. Pure, no IO.

A form is a flat mapping of texts. The name of a control is the JSON Pointer of its value, as
`/retry/max_attempts`. Controls beside it have a prefix: `blank:/kwargs/day`.
"""

import json
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, timezone
from enum import StrEnum
from typing import Any, NoReturn

from jobs_app.core.errors import FieldError, InvalidSchedule
from jobs_app.core.text import rfc3339
from jobs_app.schedules import schedule as schedules

Values = Mapping[str, str]

#: Prefixes of the controls beside a value: its kind, what a blank text means, the zone of an
#: instant, the unit of a duration, the value that was there before, and a tick.
AS, BLANK, ZONE, UNIT, WAS, TICK = "as:", "blank:", "zone:", "unit:", "was:", "tick:"

UNITS = {"d": 86_400, "h": 3_600, "min": 60, "s": 1}

_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?", re.ASCII)
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", re.ASCII)
_LOCAL = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,6})?)?")
_INSTANT = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]{8,15}(?:Z|[+-][0-9]{2}:[0-9]{2})")
_OFFSET = re.compile(r"([+-])([0-9]{2}):([0-9]{2})", re.ASCII)


class Kind(StrEnum):
    """How a value is typed in."""

    STRING = "string"
    TEXT = "text"
    INTEGER = "integer"
    NUMBER = "number"
    BOOLEAN = "boolean"
    ENUM = "enum"
    DATE = "date"
    INSTANT = "instant"
    DURATION = "duration"
    LIST = "list"  # one item a line
    WORDS = "words"  # texts without spaces, on one line
    JSON = "json"
    NULL = "null"


class Blank(StrEnum):
    """The meaning of a control without a text."""

    UNSET = "unset"
    EMPTY = "empty"
    NULL = "null"


@dataclass(frozen=True, slots=True)
class Unset:
    """The value of a field that a document leaves out."""


UNSET = Unset()


class Unreadable(ValueError):
    """A text that stands for no value; the message is a sentence about it."""


def json_text(value: Any) -> str:
    """Return *value* as JSON for people to edit."""
    return json.dumps(
        value, ensure_ascii=False, indent=2 if isinstance(value, list | dict) else None
    )


def from_json_text(text: str) -> Any:
    """Return the value of a JSON *text*; raises Unreadable with the line of the error."""
    try:
        return json.loads(text, object_pairs_hook=_object, parse_constant=_refuse)
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise Unreadable(f"This is not valid JSON: {error.msg} at {where}.") from error
    except Unreadable:
        raise
    except (ValueError, RecursionError) as error:
        raise Unreadable("This is nested too deeply, or has a number that is too long.") from error


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    names = [name for name, _ in pairs]
    for name in names:
        if names.count(name) > 1:
            raise Unreadable(f"This is not valid JSON: it has the name {name!r} twice.")
    return dict(pairs)


def _refuse(name: str) -> NoReturn:
    raise Unreadable(f"This is not valid JSON: {name} is not a JSON number.")


def number_from(text: str) -> Any:
    """Return the number that *text* is; any other text as it is, for the server to refuse."""
    text = text.strip()
    try:
        return json.loads(text) if _NUMBER.fullmatch(text) else text
    except ValueError:  # a number of thousands of digits
        return text


def is_number(value: Any) -> bool:
    """Tell whether *value* is a number of JSON that is not too large to reckon with."""
    is_kind = isinstance(value, int | float) and not isinstance(value, bool)
    # False for infinity, and for whole numbers that are too large for a float.
    return is_kind and abs(value) <= sys.float_info.max


def is_date(value: Any) -> bool:
    """Tell whether *value* is the text of a day that exists."""
    try:
        return isinstance(value, str) and bool(_DATE.fullmatch(value) and date.fromisoformat(value))
    except ValueError:
        return False


# ---- durations ----


def duration_texts(seconds: float) -> tuple[str, str]:
    """Return *seconds* as a number and the largest unit that divides them."""
    unit = next((unit for unit, size in UNITS.items() if seconds and seconds % size == 0), "s")
    number = seconds / UNITS[unit]
    return (str(int(number)) if number.is_integer() else repr(number)), unit


def duration_from(text: str, unit: str) -> Any:
    """Return the seconds of a number in *unit*; a text that is no number as it is."""
    number = number_from(text)
    if not is_number(number):
        return number
    seconds = number * UNITS.get(unit, 1)
    return int(seconds) if float(seconds).is_integer() else seconds


# ---- instants ----


def is_instant(value: Any) -> bool:
    """Tell whether *value* is the text of an instant with its offset."""
    return _parsed(value) is not None


def _parsed(value: Any) -> datetime | None:
    if not isinstance(value, str) or not _INSTANT.fullmatch(value):
        return None
    try:
        return datetime.fromisoformat(value.replace("Z", "+00:00"))
    except ValueError:
        return None


def instant_texts(value: str, zone: str) -> tuple[str, str]:
    """Return the instant *value* as a local time, and the zone of it.

    The zone is *zone*, or an offset if the clock there shows that time twice.
    """
    instant = _parsed(value)
    if instant is None:
        return value, zone
    try:
        local = instant.astimezone(schedules.zone_of(zone))
    except (InvalidSchedule, OverflowError):
        local, zone = instant.astimezone(UTC), "UTC"
    naive = local.replace(tzinfo=None)
    if len(schedules.instants_of(zone, naive)) > 1:
        zone = _offset_text(local.utcoffset() or timedelta())
    # A control of a browser knows no more than milliseconds.
    precision = "milliseconds" if naive.microsecond else "auto" if naive.second else "minutes"
    return naive.isoformat(timespec=precision), zone


def instant_from(text: str, zone: str, was: str = "") -> str:
    """Return the instant of the local time *text* in *zone*, which may be an offset.

    *was* is the instant that the form showed: it comes back as it was written if the texts are
    still those of it. Raises Unreadable.
    """
    text, zone = text.strip(), zone.strip()
    if is_instant(text):
        return text
    local = _local(text)
    if was:
        shown, shown_zone = instant_texts(was, zone)
        # A browser writes the same time with fewer zeros.
        if (_local(shown), shown_zone) == (local, zone):
            return was
    try:
        return rfc3339(_in_zone(local, zone))
    except (InvalidSchedule, OverflowError) as error:
        raise Unreadable(getattr(error, "detail", "This is too far away.")) from error


def _local(text: str) -> datetime:
    if not _LOCAL.fullmatch(text):
        raise Unreadable("Give a day and a time, as in 2026-12-01 09:00.")
    try:
        return datetime.fromisoformat(text.replace(" ", "T"))
    except ValueError as error:
        raise Unreadable("There is no such day or time.") from error


def _in_zone(local: datetime, zone: str) -> datetime:
    if offset := _OFFSET.fullmatch(zone):
        hours, minutes = int(offset[2]), int(offset[3])
        shift = timedelta(hours=hours, minutes=minutes) * (-1 if offset[1] == "-" else 1)
        return local.replace(tzinfo=timezone(shift))
    if not zone:
        raise Unreadable("Name the time zone, such as Europe/Paris or UTC.")
    instants = schedules.instants_of(zone, local)
    if len(instants) == 1:
        return instants[0]
    shown = f"{local:%H:%M} on {local:%d %b %Y}"
    if not instants:
        raise Unreadable(f"{shown} does not exist in {zone}: the clock skips it.")
    offsets = [
        _offset_text(i.astimezone(schedules.zone_of(zone)).utcoffset() or timedelta())
        for i in instants
    ]
    raise Unreadable(
        f"{shown} comes twice in {zone}: write {' or '.join(offsets)} in place of the zone."
    )


def _offset_text(offset: timedelta) -> str:
    sign, minutes = ("-" if offset < timedelta() else "+"), abs(offset) // timedelta(minutes=1)
    return f"{sign}{minutes // 60:02}:{minutes % 60:02}"


def utc_text(text: str, zone: str) -> str:
    """Return the local time *text* of *zone* in UTC, for people; "" if it is none."""
    try:
        instant = _parsed(instant_from(text, zone)) if text else None
    except Unreadable:
        return ""
    if instant is None:
        return ""
    return f"{instant.astimezone(UTC):%a %d %b %Y %H:%M:%S} UTC"


def unreadable(pointer: str, error: Unreadable) -> FieldError:
    """Return *error* as the error of a field."""
    return FieldError(pointer, "unreadable", str(error))
