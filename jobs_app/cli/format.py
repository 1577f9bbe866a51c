"""Durations and instants as people type and read them, and text that is safe on a terminal."""

import re
from collections.abc import Iterable
from datetime import datetime
from typing import Any

import click
from click.shell_completion import CompletionItem

from jobs_app.cli.completion import parts_of
from jobs_app.cli.param_type import Choice, ParamType
from jobs_app.cli.zones import shown_zone
from jobs_app.core.durations import seconds_of
from jobs_app.core.escape_sequences import plain
from jobs_app.core.text import counted
from jobs_app.schedules import calendar_interval
from jobs_app.schedules.typed_time import TypedTime, parse

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


class Duration(ParamType[float]):
    """Seconds, written as 90, 30s, 5m, 1h30m, 1.5h, 90min or 2d."""

    name = "duration"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        try:
            seconds = seconds_of(str(value).strip())
        except ValueError as error:
            self.fail(str(error), param, ctx)
        # The API's fields are whole seconds, and strict about it.
        return int(seconds) if seconds == int(seconds) else seconds


class Interval(ParamType[float | str]):
    """Seconds, written as a duration; or whole days, weeks, months or years, as "2 weeks"."""

    name = "interval"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> float | str:
        interval = calendar_interval.read(str(value))
        if interval is not None and interval.number > 0:
            return str(interval)
        return Duration().convert(value, param, ctx)


class Instant(ParamType[TypedTime]):
    """A time as people type it, see `typed_time`; the command reads it in its zone."""

    name = "time"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> TypedTime:
        if isinstance(value, TypedTime):
            return value
        try:
            return parse(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)


class OrNone(ParamType[Any]):
    """Another type, or the word none, which means null."""

    def __init__(self, type_: ParamType[Any]) -> None:
        self.type = type_
        self.name = f"{type_.name}|none"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> object:
        if str(value).strip().lower() == "none":
            return None
        return self.type.convert(value, param, ctx)


class Choices(ParamType[list[str]]):
    """Some of a set of words, with commas between them."""

    def __init__(self, words: Iterable[str], name: str) -> None:
        self.words = [str(word) for word in words]
        self.name = name

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> list[str]:
        one = Choice(self.words)
        names = [name.strip() for name in str(value).split(",")]
        return [one.convert(name, param, ctx) for name in names if name]

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        return parts_of(self.words, incomplete)


def exact(value: str | None) -> str:
    """Return an instant of the API in the zone of the answer, which is named."""
    if value is None:
        return "-"
    return datetime.fromisoformat(value).astimezone(shown_zone()).strftime("%Y-%m-%d %H:%M:%S %Z")


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
