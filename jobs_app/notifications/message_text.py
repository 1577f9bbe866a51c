"""Texts of a message: the ends of logs, errors, instants and durations. Pure, no IO."""

import re
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

#: Limits for the end of a run's log, and for the beginning of its error.
LOG_LINES = 20
LOG_CHARACTERS = 4000
ERROR_LINES = 10
ERROR_CHARACTERS = 2000

# Escape sequences of terminals (colours, titles, links), and all other control characters.
_ESCAPE_SEQUENCES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-_])")
_CONTROL_CHARACTERS = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)


def first_lines(message: str) -> str:
    """Return the first lines of *message*, without control characters."""
    lines = without_control_characters(message).strip().splitlines()
    kept = "\n".join(lines[:ERROR_LINES])
    is_cut = len(lines) > ERROR_LINES or len(kept) > ERROR_CHARACTERS
    return kept[:ERROR_CHARACTERS] + ("\n…" if is_cut else "")


def last_lines(log: str, *, lines: int = LOG_LINES, characters: int = LOG_CHARACTERS) -> str:
    """Return the last *lines* of *log*, at most so many *characters*, without control ones."""
    kept = "\n".join(log_lines(log)[-lines:])
    return kept if len(kept) <= characters else "…" + kept[-characters:]


def log_lines(log: str) -> list[str]:
    """Return the lines of *log*, without control characters."""
    return [line.rstrip() for line in without_control_characters(log).rstrip().splitlines()]


def without_control_characters(dirty: str) -> str:
    """Return *dirty* without characters that move a cursor, colour or reorder text."""
    # A progress bar rewrites its line after each "\r": keep the last version.
    unescaped = _ESCAPE_SEQUENCES.sub("", dirty).replace("\r\n", "\n")
    lines = (line.rstrip("\r").rpartition("\r")[2] for line in unescaped.split("\n"))
    return _CONTROL_CHARACTERS.sub("", "\n".join(lines))


def one_line(dirty: str) -> str:
    """Return *dirty* as a single line, so that it cannot add a header to a mail."""
    return " ".join(without_control_characters(dirty).split())


def local_time(when: datetime | None, zone: str) -> str:
    """Return an instant in *zone*, followed by UTC if *zone* is not UTC."""
    if when is None:
        return "unknown"
    in_utc = f"{when.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
    if zone == "UTC":
        return in_utc
    try:
        local = when.astimezone(ZoneInfo(zone))
    except (KeyError, ValueError, OSError):
        return in_utc
    return f"{local:%Y-%m-%d %H:%M:%S} {zone} ({in_utc})"


def duration_text(seconds: float | None) -> str:
    """Return a duration as text, in its two largest units."""
    rest = round(seconds or 0)
    parts = []
    for size, unit in ((86_400, "d"), (3600, "h"), (60, "min"), (1, "s")):
        count, rest = divmod(rest, size)
        if count:
            parts.append(f"{count} {unit}")
    return " ".join(parts[:2]) or "0 s"
