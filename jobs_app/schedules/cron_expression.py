"""Cron expressions: parsed once, with the days and minutes that they match.

Pure, no IO. An expression means the same as in Debian's cron, with `H`, macros, and last,
working and n-th days in addition. cronsim gives its fields, its days and its sentence;
`cron_fires` follows it through the clock changes of a zone.
"""

import re
from bisect import bisect_left, bisect_right
from datetime import UTC, date, datetime
from functools import lru_cache

from cronsim import CronSim, CronSimError
from cronsim.explain import Expression as Explanation

from jobs_app.core.errors import FieldError
from jobs_app.schedules import month_days
from jobs_app.schedules.cron_fields import refusal, resolve

_LONGEST = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)


class Expression:
    """A five-field expression, parsed once and shared by all jobs that have the same one.

    It compares by identity, so that it is a cheap key of caches.
    """

    __slots__ = (
        "_days",
        "_month_days",
        "_other_days",
        "has_either_day",
        "is_real_time",
        "minutes",
        "minutes_of_day",
        "months",
        "text",
    )

    def __init__(self, text: str) -> None:
        self.text = text
        minute, hour, day, month, weekday = text.split()
        self._month_days, self._other_days = month_days.divide(day)
        # cronsim wants a day also where all days are ours.
        others = ",".join(self._other_days) or "1"
        # Raises CronSimError if no date can match: 30 February.
        cronsims = f"{minute} {hour} {others} {month} {weekday}"
        self._days = CronSim(cronsims, datetime(2000, 1, 1, tzinfo=UTC))
        self.minutes = tuple(sorted(self._days.minutes))
        self.minutes_of_day = _minutes_of_day(tuple(sorted(self._days.hours)), self.minutes)
        self.months = frozenset(self._days.months)
        # Debian's rule: with a star in front, a job follows real time through clock changes.
        self.is_real_time = minute.startswith("*") or hour.startswith("*")
        self.has_either_day = not (day.startswith("*") or weekday.startswith("*"))

    def fires_on_day(self, day: date) -> bool:
        """Return whether the date matches, without regard to clock changes."""
        if day.month not in self.months:
            return False
        if not self._month_days:
            return self._days.match_day(day)
        on_day = bool(self._other_days) and self._days.match_dom(day)
        on_day = on_day or any(
            one.in_month(day.year, day.month) == day.day for one in self._month_days
        )
        on_weekday = self._days.match_dow(day)
        return on_day or on_weekday if self.has_either_day else on_day and on_weekday

    def minute_after(self, minute_of_day: int) -> int | None:
        """Return the first matching minute of a day later than *minute_of_day*."""
        index = bisect_right(self.minutes_of_day, minute_of_day)
        return self.minutes_of_day[index] if index < len(self.minutes_of_day) else None

    def minute_before(self, minute_of_day: int) -> int | None:
        """Return the last matching minute of a day earlier than *minute_of_day*."""
        index = bisect_left(self.minutes_of_day, minute_of_day)
        return self.minutes_of_day[index - 1] if index else None

    def months_too_short(self) -> list[int]:
        """Return the numbers of the months that are too short for the day-of-month."""
        # A day-of-week beside it may match in any month.
        if self.has_either_day:
            return []
        needed = self.shortest_month
        return [month for month in sorted(self.months) if _LONGEST[month - 1] < needed]

    def needs_leap_year(self) -> bool:
        """Return whether all its days are ones that February has in leap years only."""
        is_february = self.months == {2} and not self.has_either_day
        return is_february and self.shortest_month == _LONGEST[1]

    @property
    def shortest_month(self) -> int:
        """The number of days that a month needs for one of the days of the month."""
        # cronsim has L as a negative day, which each month has.
        others = [max(day, 1) for day in self._days.days] if self._other_days else []
        return min([*others, *(day.shortest_month for day in self._month_days)])

    def explain(self) -> str:
        """Return the expression in English: "At 02:30 on Monday through Friday"."""
        return _explained(self)

    def explanation(self) -> Explanation:
        """Return the parts from which cronsim makes the sentence."""
        minute, hour, day, month, weekday = self.text.split()
        if not self._month_days:
            return Explanation([minute, hour, day, month, weekday])
        explanation = Explanation([minute, hour, "1", month, weekday])
        explanation.day = month_days.DayWords(self._month_days, self._other_days)
        explanation.day_and = not self.has_either_day
        return explanation


@lru_cache(maxsize=1024)
def _explained(expression: Expression) -> str:
    """Return *expression* in English; a list of jobs asks for the same ones again and again."""
    sentence = expression.explanation().explain()
    sentence = sentence.replace("the last weekday of", "the last working day of")
    return re.sub(r"\b([0-9]*[02-9])?([123])th\b", _ordinal, sentence)


@lru_cache(maxsize=4096)
def _minutes_of_day(hours: tuple[int, ...], minutes: tuple[int, ...]) -> tuple[int, ...]:
    """Return the matching minutes of a day; expressions with the same ones share the tuple."""
    return tuple(hour * 60 + minute for hour in hours for minute in minutes)


def parse(cron: str, seed: str = "") -> Expression:
    """Return the parsed expression of *cron*, with every `H` drawn from *seed*.

    Raises InvalidSchedule with one error for each field that cannot be read.
    """
    return _parse(cron, seed if uses_hash(cron) else "")


def uses_hash(cron: str) -> bool:
    """Return whether *cron* has an `H`, so that its fires depend on the seed."""
    return "H" in cron.upper().replace("THU", "") and not cron.lstrip().startswith("@")


@lru_cache(maxsize=65_536)
def _parse(cron: str, seed: str) -> Expression:
    return _compile(resolve(cron, seed))


@lru_cache(maxsize=4096)
def _compile(text: str) -> Expression:
    detail = f"{text} never fires: none of its months has such a day."
    never_fires = refusal([FieldError("/cron", "never_fires", detail)])
    try:
        expression = Expression(text)
    except CronSimError as error:
        # All fields are valid here: only a day that no month has is left.
        raise never_fires from error
    if len(expression.months_too_short()) == len(expression.months):
        raise never_fires
    return expression


def _ordinal(match: re.Match[str]) -> str:
    """Return 21st, 22nd, 23rd for cronsim's 21th, 22th, 23th."""
    ending = {"1": "st", "2": "nd", "3": "rd"}[match[2]]
    return f"{match[1] or ''}{match[2]}{ending}"
