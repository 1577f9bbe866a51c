"""A time as a person types it: 02:30, yesterday, "last night", 2h, 2026-12-01 09:00. Pure, no IO.

One grammar for the options of all commands and for the API.
"""

import re
from bisect import bisect_left
from dataclasses import dataclass
from datetime import MAXYEAR, MINYEAR, UTC, date, datetime, time, timedelta, tzinfo
from zoneinfo import ZoneInfo

from jobs_app.core.durations import NoDuration, seconds_of
from jobs_app.core.text import shortened

FORMS = (
    "write 02:30, yesterday, tomorrow 02:30, last night, 2h, 2026-12-01, 2026-12-01 09:00,"
    " or with its offset 2026-12-01T09:00:00Z"
)

DAYS = {"today": 0, "yesterday": -1, "tomorrow": 1}
#: The most characters of a text that is no time in its error.
_MOST_SHOWN = 60
_CLOCK_WORDS = {"noon": "12:00", "midnight": "00:00"}

_CLOCK = r"\d{1,2}:\d{2}(?::\d{2}(?:\.\d{1,9})?)?"
_DAY = r"\d{4}-\d{2}-\d{2}|\d{8}|today|yesterday|tomorrow"
_TIME = re.compile(
    rf"(?P<day>{_DAY})(?:(?: |(?<=\d)T)(?P<clock>{_CLOCK})(?P<offset> ?Z|[+-]\d\d:?\d\d)?)?"
    rf"|(?P<alone>{_CLOCK})(?: +(?P<later_day>{_DAY}))?",
    re.ASCII | re.IGNORECASE,
)
_SHIFT = re.compile(r"(?P<ahead>in +)?(?P<duration>.+?)(?P<ago> +ago)?", re.IGNORECASE)

#: The last night begins and ends at these times of the clock.
_NIGHT_BEGIN, _NIGHT_LENGTH = time(18), timedelta(hours=12)


class NoTime(ValueError):
    """A text that is not written as a time; `why` is the rest of the sentence."""

    def __init__(self, text: str, why: str) -> None:
        super().__init__(f"{text!r} is not a time: {why}.")
        self.why = why


@dataclass(frozen=True, slots=True)
class TypedTime:
    """A time that is not bound to a clock and a zone yet.

    It is `shift` from now, ahead or back; or `clock` of a day, which is the date `on`, or `days`
    after today. `length` is that of its smallest unit, or of the last night.
    """

    length: timedelta
    shift: timedelta | None = None
    is_signed: bool = False
    on: date | None = None
    days: int | None = None
    clock: time | None = None
    offset: tzinfo | None = None

    @property
    def needs_zone(self) -> bool:
        """Tell whether it means different instants in different zones."""
        return self.shift is None and self.offset is None


def parse(text: str) -> TypedTime:
    """Return the time that *text* names; raises ValueError with a sentence."""
    words = " ".join(text.split())
    for word, clock in _CLOCK_WORDS.items():
        words = re.sub(rf"\b{word}\b", clock, words, flags=re.IGNORECASE)
    if words.lower() == "now":
        return TypedTime(timedelta(minutes=1), timedelta(), is_signed=True)
    if words.lower() == "last night":
        return TypedTime(_NIGHT_LENGTH, days=-1, clock=_NIGHT_BEGIN)
    match = _TIME.fullmatch(words)
    if match and match["offset"] and match["day"].lower() in DAYS:
        raise _no_time(text, "only a date goes with an offset")
    if match:
        try:
            return _of_clock(**match.groupdict(default=""))
        except ValueError as error:
            raise _no_time(text, "there is no such time") from error
    match = _SHIFT.fullmatch(words)
    # A number alone is rather a date than seconds.
    if match is None or match["duration"].isdigit() or (match["ahead"] and match["ago"]):
        raise _no_time(text, FORMS)
    try:
        shift = timedelta(seconds=seconds_of(match["duration"]))
    except NoDuration as error:
        raise _no_time(text, FORMS) from error
    except OverflowError as error:
        raise _no_time(text, "it is further away than any date") from error
    is_signed = bool(match["ahead"] or match["ago"])
    return TypedTime(timedelta(minutes=1), -shift if match["ago"] else shift, is_signed=is_signed)


def _no_time(text: str, why: str) -> NoTime:
    return NoTime(shortened(text, _MOST_SHOWN), why)


def _of_clock(day: str, later_day: str, clock: str, alone: str, offset: str) -> TypedTime:
    """Return the time with these parts; raises ValueError if one does not exist."""
    day, clock = (day or later_day).lower(), clock or alone
    unit = timedelta(days=1)
    if clock:
        unit = timedelta(seconds=1) if clock.count(":") > 1 else timedelta(minutes=1)
    return TypedTime(
        length=timedelta(microseconds=1) if "." in clock else unit,
        on=date.fromisoformat(day) if day and day not in DAYS else None,
        days=DAYS.get(day),
        clock=_clock(clock) if clock else None,
        offset=_offset(offset),
    )


def _clock(text: str) -> time:
    hour, _, rest = text.partition(":")
    return time.fromisoformat(f"{hour:0>2}:{rest}")


def _offset(text: str) -> tzinfo | None:
    # Python reads an offset behind a time only.
    return time.fromisoformat(f"00:00{text.strip().upper()}").tzinfo if text else None


def instant_of(typed: TypedTime, *, at: datetime, zone: tzinfo | None, is_ahead: bool) -> datetime:
    """Return the instant, in UTC, that *typed* means at the instant *at* in *zone*.

    A time of the clock without a day is the next one if *is_ahead*, else the last one; so it is
    with a duration. *zone* None is that of this machine. Raises ValueError with a sentence.
    """
    try:
        instant = _instant(typed, at, zone, is_ahead=is_ahead)
    except OverflowError as error:
        raise ValueError("This is too far away: the year must be 2 to 9998.") from error
    # In another time zone, the first and the last year may end before or after all dates.
    if not MINYEAR < instant.year < MAXYEAR:
        raise ValueError("This is too far away: the year must be 2 to 9998.")
    return instant


def _instant(typed: TypedTime, at: datetime, zone: tzinfo | None, *, is_ahead: bool) -> datetime:
    if typed.shift is not None:
        is_ago = not typed.is_signed and not is_ahead
        return at.astimezone(UTC) + (-typed.shift if is_ago else typed.shift)
    today = at.astimezone(zone).date()
    day = typed.on or today + timedelta(days=typed.days or 0)
    local = datetime.combine(day, typed.clock or time())
    if typed.offset is not None:
        return local.replace(tzinfo=typed.offset).astimezone(UTC)
    instant = real_instant(local, zone)
    if typed.on is None and typed.days is None:
        if is_ahead and instant <= at:
            return real_instant(local + timedelta(days=1), zone)
        if not is_ahead and instant > at:
            return real_instant(local - timedelta(days=1), zone)
    return instant


def skipped_note(typed: TypedTime, instant: datetime, zone: ZoneInfo) -> str:
    """Return a sentence if the clock of *zone* skips what was typed, which became *instant*.

    Else return "".
    """
    local = instant.astimezone(zone)
    clock = typed.clock or time()
    if not typed.needs_zone or clock == local.time():
        return ""
    return f"The clock of {zone.key} skips {clock:%H:%M} that day: {local:%Y-%m-%d %H:%M} is meant."


def real_instant(local: datetime, zone: tzinfo | None) -> datetime:
    """Return the instant, in UTC, of the naive *local* in *zone*, or in the zone of the machine.

    A local time that the clock skips is the first moment after the gap; of two, the first.
    """
    aware = local.replace(tzinfo=zone)
    # PEP 495: in a gap, fold=1 takes the offset after it, which gives the earlier instant.
    try:
        before, after = aware.replace(fold=1).timestamp(), aware.timestamp()
    except (ValueError, OverflowError):
        # Python looks a day around the time: the first and the last one of all have no such day.
        return aware.astimezone(UTC)
    if before >= after:
        return aware.astimezone(UTC)
    seconds = range(int(before) - 1, int(after) + 1)

    def offset(second: int) -> timedelta | None:
        return datetime.fromtimestamp(second, UTC).astimezone(zone).utcoffset()

    # The clock changes once between the two.
    old = offset(seconds[0])
    change = bisect_left(seconds, True, key=lambda second: offset(second) != old)
    return datetime.fromtimestamp(seconds[change], UTC)


def named(instant: datetime, zone: ZoneInfo) -> str:
    """Return *instant* in *zone* for a person, with its name: `2026-11-29 22:00 CET`."""
    return f"{instant.astimezone(zone):%Y-%m-%d %H:%M %Z} ({zone.key})"
