"""Days counted from the end of a month, and working days: `L-3`, `15W`, `L-3W`. Pure, no IO.

cronsim reads the other days of a month, also `L` and `LW`.
"""

import re
from calendar import monthrange
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from cronsim.explain import Day, join, ordinal

_TERM = re.compile(r"(?:L-(?P<before>[0-9]{1,9})|(?P<day>[0-9]{1,9}))(?P<working>W)?")
_SATURDAY, _SUNDAY = 5, 6


@dataclass(frozen=True, slots=True)
class MonthDay:
    """A day of each month: `day`, or the one so many days `before` the last.

    A `working` one is the nearest day from Monday to Friday within the month. A month that
    is too short has no such day.
    """

    day: int | None
    before: int
    working: bool

    @property
    def shortest_month(self) -> int:
        """The number of days that a month needs to have it."""
        return self.before + 1 if self.day is None else self.day

    def in_month(self, year: int, month: int) -> int | None:
        """Return the number of the day in a month; None if the month has no such day."""
        weekday, last = _shape(year, month)
        day = last - self.before if self.day is None else self.day
        if not 1 <= day <= last:
            return None
        return _nearest_working(day, (weekday + day - 1) % 7, last) if self.working else day

    @property
    def text(self) -> str:
        """The term as the expression has it."""
        day = f"L-{self.before}" if self.day is None else str(self.day)
        return f"{day}{'W' if self.working else ''}"

    @property
    def words(self) -> str:
        """The day in English: "the working day nearest the 15th of the month"."""
        if self.day == 1:
            return "the first working day of the month"
        if self.day is None:
            count = "" if self.before == 1 else f"{ordinal(self.before)} "
            day = f"the {count}day before the last day of the month"
        else:
            day = f"the {ordinal(self.day)} of the month"
        return f"the working day nearest {day}" if self.working else day


def read(term: str) -> MonthDay | None:
    """Return the day that *term* names, whether a month has it or not; None for another term."""
    match = _TERM.fullmatch(term)
    if match is None or (match["day"] and not match["working"]):
        return None
    day = None if match["day"] is None else int(match["day"])
    return MonthDay(day, int(match["before"] or 0), bool(match["working"]))


def divide(field: str) -> tuple[list[MonthDay], list[str]]:
    """Return the terms of a day-of-month field that are read here, and the others."""
    terms = field.split(",")
    days = [day for term in terms if (day := read(term)) is not None]
    return days, [term for term in terms if read(term) is None]


class DayWords(Day):
    """The day-of-month field of cronsim's sentence, with days that cronsim does not know."""

    def __init__(self, days: Sequence[MonthDay], others: Sequence[str]) -> None:
        # Any day will do if there are no others: `format` does not say it.
        super().__init__(",".join(others) or "1")
        self._others, self._days = others, days
        # cronsim has shorter sentences for a single number, and for each day.
        self.single_value = None
        self.star = self.star and bool(others)

    def format(self) -> str:
        days = [day.words for day in self._days]
        others = [super().format()] if self._others else []
        # In the order of a month: numbers begin it, `L` and `LW` end it.
        is_end = {"L", "LW"}.issuperset(self._others)
        return join([*days, *others] if is_end else [*others, *days])


def _nearest_working(day: int, weekday: int, last: int) -> int:
    """Return the nearest day from Monday to Friday to *day*; *weekday* 0 is a Monday."""
    if weekday == _SATURDAY:
        return day - 1 if day > 1 else day + 2
    if weekday == _SUNDAY:
        return day + 1 if day < last else day - 2
    return day


@lru_cache(maxsize=4096)
def _shape(year: int, month: int) -> tuple[int, int]:
    return monthrange(year, month)
