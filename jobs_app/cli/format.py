"""Durations and instants as people type and read them, and text that is safe on a terminal."""

import math
import re
from bisect import bisect_left
from datetime import MAXYEAR, MINYEAR, UTC, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import click
from click.shell_completion import CompletionItem

from jobs_app.cli.completion import parts_of
from jobs_app.core import durations
from jobs_app.core.escape_sequences import plain
from jobs_app.core.text import counted, rfc3339
from jobs_app.runs.retry import RETRIED
from jobs_app.schedules import calendar_interval

#: Units of the calendar, which have no fixed length.
CALENDAR_UNITS = frozenset(["mo", "mos", "month", "months", "y", "yr", "yrs", "year", "years"])

NUMBER = re.compile(r"[\d.]+", re.ASCII)

RECENT_TIME = re.compile(
    r"(today|yesterday)(?: +(\d{1,2}:\d{2}(?::\d{2})?))?|(\d{1,2}:\d{2}(?::\d{2})?)",
    re.ASCII | re.IGNORECASE,
)

# Colours and other styles of text: the only escape sequences that reach a terminal.
SGR = re.compile(r"\x1b\[[0-9;:]*m")
# The end of a chunk that may be the start of an escape sequence or of a line end.
UNFINISHED = re.compile(
    r"(?:(?:\x1b\[|\x9b)[0-?]*[ -/]*|\x1b[\]PX^_][^\x07\x1b\x9c\n]*|\x1b[ -/]*|\r)\Z"
)
LONGEST_SEQUENCE = 1024


def coloured(text: str) -> str:
    """Return *text* as `plain` does, but with its colours."""
    styles = SGR.findall(text)
    pieces = [plain(piece) for piece in SGR.split(text)]
    return "".join(piece + style for piece, style in zip(pieces, [*styles, ""], strict=True))


def unfinished(text: str) -> str:
    """Return the end of *text* whose meaning depends on the text that follows; mostly ""."""
    match = UNFINISHED.search(text)
    return match[0] if match and len(match[0]) <= LONGEST_SEQUENCE else ""


def one_line(text: str) -> str:
    """Return *text*, plain and on one line, for a cell of a table."""
    return " ".join(plain(text).split())


class Duration(click.ParamType[float]):
    """Seconds, written as 90, 30s, 5m, 1h30m, 1.5h, 90min or 2d."""

    name = "duration"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        text = str(value).strip()
        parts = durations.parts(text)
        for _, unit in parts:
            # M is a month for some programs, and a minute for others.
            if unit == "M" or unit.lower() in CALENDAR_UNITS:
                self.fail(
                    f"{value!r} is not a duration: months and years differ in length. Write m for "
                    "minutes and d for days; monthly is the cron expression '0 0 1 * *'.",
                    param,
                    ctx,
                )
        if not parts or any(unit and unit.lower() not in durations.SECONDS for _, unit in parts):
            self.fail(
                f"{value!r} is not a duration: write 90 (seconds), 30s, 5m, 1h30m, 1.5h, 2d or 1w.",
                param,
                ctx,
            )
        seconds = sum(
            float(number) * durations.SECONDS[unit.lower() or "s"] for number, unit in parts
        )
        if not math.isfinite(seconds):
            self.fail(f"{value!r} is longer than any duration.", param, ctx)
        # The API's fields are whole seconds, and strict about it.
        return int(seconds) if seconds == int(seconds) else seconds


class Interval(click.ParamType[float | str]):
    """Seconds, written as a duration; or whole days, weeks, months or years, as "2 weeks"."""

    name = "interval"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> float | str:
        interval = calendar_interval.read(str(value))
        if interval is not None and interval.number > 0:
            return str(interval)
        return Duration().convert(value, param, ctx)


class Instant(click.ParamType[datetime]):
    """An instant: RFC 3339, or a local time.

    With *ago* also a duration, which means that long ago; `today` and `yesterday`, with a time or
    from midnight on; and a time alone, which means the last time that the clock showed it.
    """

    name = "instant"

    def __init__(self, *, ago: bool = False) -> None:
        self.takes_ago = ago

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> datetime:
        text = str(value).strip()
        try:
            # A number alone is rather a date, 20261201, than seconds.
            if self.takes_ago and durations.DURATION.fullmatch(text) and not NUMBER.fullmatch(text):
                seconds = Duration().convert(text, param, ctx)
                instant = datetime.now(UTC) - timedelta(seconds=seconds)
            elif self.takes_ago and (match := RECENT_TIME.fullmatch(text)):
                instant = _recent(*match.groups())
            else:
                instant = datetime.fromisoformat(text)
        except OverflowError:
            self.fail(f"{value!r} is longer ago than any date.", param, ctx)
        except ValueError:
            also = ", 22:00, yesterday 22:00, or 2h for two hours ago" if self.takes_ago else ""
            self.fail(
                f"{value!r} is not a time: write 2026-12-01T09:00:00Z "
                f"or 2026-12-01 09:00 (local time){also}.",
                param,
                ctx,
            )
        # In another time zone, the first and the last year may end before or after all dates.
        if not MINYEAR < instant.year < MAXYEAR:
            self.fail(f"{value!r} is too far away: the year must be 2 to 9998.", param, ctx)
        return instant


class OrNone(click.ParamType[Any]):
    """Another type, or the word none, which means null."""

    def __init__(self, type_: click.ParamType[Any]) -> None:
        self.type = type_
        self.name = f"{type_.name}|none"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> object:
        if str(value).strip().lower() == "none":
            return None
        return self.type.convert(value, param, ctx)


class Outcomes(click.ParamType[list[str]]):
    """Outcomes of an attempt that may be tried again, with commas between them."""

    name = "OUTCOME,…"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> list[str]:
        one = click.Choice([state.value for state in RETRIED])
        names = [name.strip() for name in str(value).split(",")]
        return [one.convert(name, param, ctx) for name in names if name]

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        return parts_of([state.value for state in RETRIED], incomplete)


def _recent(day: str | None, clock: str | None, clock_alone: str | None) -> datetime:
    """Return the local time of a match of `RECENT_TIME`; raises ValueError if there is none."""
    now = datetime.now()  # noqa: DTZ005  # the person's own clock, as in `date`
    hour, _, rest = (clock or clock_alone or "0:00").partition(":")
    at = datetime.combine(now, time.fromisoformat(f"{hour:0>2}:{rest}"))
    if (day or "").lower() == "yesterday" or (day is None and at > now):
        at -= timedelta(days=1)
    return at


def api_instant(instant: datetime, zone: ZoneInfo | None = None) -> str:
    """Return *instant* in UTC with Z; one without an offset is in *zone*, else in local time.

    A local time that the clock skips is the first moment after the gap; of two, the first.
    """
    return rfc3339(_real_instant(instant, zone) if instant.tzinfo is None else instant)


def _real_instant(local: datetime, zone: ZoneInfo | None) -> datetime:
    """Return the instant of the naive *local* in *zone*, or in the zone of the machine."""
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


def exact(value: str | None) -> str:
    """Return an instant of the API in the terminal's own time zone."""
    if value is None:
        return "-"
    return datetime.fromisoformat(value).astimezone().strftime("%Y-%m-%d %H:%M:%S %Z")


def relative(value: str | None, *, at: datetime) -> str:
    """Return an instant of the API relative to *at*: "in 3 min", "2 h ago"."""
    if value is None:
        return "-"
    seconds = (datetime.fromisoformat(value) - at).total_seconds()
    if abs(seconds) < 0.5:
        return "now"
    span = _span(abs(seconds))
    return f"in {span}" if seconds > 0 else f"{span} ago"


def _span(seconds: float) -> str:
    """Return one number and one unit."""
    for limit, divisor, unit in (
        (90, 1, "s"),
        (90 * 60, 60, "min"),
        (36 * 3600, 3600, "h"),
        (60 * 86_400, 86_400, "days"),
        (730 * 86_400, 30.44 * 86_400, "months"),
    ):
        if seconds < limit:
            return f"{round(seconds / divisor)} {unit}"
    return counted(round(seconds / (365.25 * 86_400)), "year")


def duration(seconds: float | None) -> str:
    """Return a duration with its units: "0.42 s", "3 min 5 s", "2 h 0 min"; "-" for None.

    An integer gets no decimals: it was set or rounded, not measured.
    """
    if seconds is None:
        return "-"
    if seconds < 10 and isinstance(seconds, float):
        return f"{seconds:.2f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    if whole < 86_400:
        return f"{whole // 3600} h {whole % 3600 // 60} min"
    return f"{whole // 86_400} d {whole % 86_400 // 3600} h"


def how_far(progress: dict[str, Any] | None) -> str:
    """Return a run's progress on one line, as in "40 %, 4,000 of 10,000 rows"; "" for none."""
    if not progress:
        return ""
    fraction, message = progress.get("fraction"), progress.get("message")
    parts = [] if fraction is None else [f"{int(round(fraction * 100, 4))} %"]
    return ", ".join(parts + ([one_line(message)] if message else []))
