"""Cron expressions from the values of their fields, for schedulers where all fields must match.

Pure, no IO. cron itself takes the days that match either day field, unless one of them begins
with a star. An expression is written here only if it fires on exactly the wanted days.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from itertools import pairwise

from jobs_app.jobs.importers.drafts import Refused

_ALL_DAYS = frozenset(range(1, 32))
_ALL_WEEKDAYS = frozenset(range(7))
_WEEKDAYS = ("Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday")
#: The days of a month on which its first, second, … fifth Monday can lie.
_WEEKS = tuple(frozenset(range(first, min(first + 7, 32))) for first in (1, 8, 15, 22, 29))
#: Fewer values are written one by one.
_SHORTEST_RANGE = 3

EITHER_DAY = (
    "It fires on days that match both their number in the month and their weekday ({days}; "
    "{weekdays}). A cron expression here matches either of them."
)
ADVICE = "Let a job fire on the weekdays, and its task return on the other days of the month."


@dataclass(frozen=True, slots=True)
class CronValues:
    """The values of the five fields, all of which must match; a weekday of 0 is a Sunday.

    With `has_star` minutes or hours were written with a star: then steps are, too, so that the
    job follows real time through clock changes.
    """

    minutes: Collection[int]
    hours: Collection[int]
    days: Collection[int]
    months: Collection[int]
    weekdays: Collection[int]
    has_star: bool = False


def cron_of(values: CronValues) -> str:
    """Return a cron expression with the fires of *values*. Raises Refused if there is none."""
    fields = (values.minutes, values.hours, values.days, values.months, values.weekdays)
    if not all(fields):
        raise Refused("One of its fields has no value, so that it never fires.")
    minutes = _field(values.minutes, 0, 59, is_starred=values.has_star)
    hours = _field(values.hours, 0, 23, is_starred=values.has_star)
    days, weekdays = _day_fields(frozenset(values.days), frozenset(values.weekdays))
    return f"{minutes} {hours} {days} {_field(values.months, 1, 12)} {weekdays}"


def _day_fields(days: frozenset[int], weekdays: frozenset[int]) -> tuple[str, str]:
    """Return the day-of-month and the day-of-week that match where both match."""
    if days >= _ALL_DAYS or weekdays >= _ALL_WEEKDAYS:
        return _field(days, 1, 31), _field(weekdays, 0, 6)
    weeks = [number for number, week in enumerate(_WEEKS, 1) if week <= days]
    if days == frozenset().union(*(_WEEKS[number - 1] for number in weeks)):
        return "*", ",".join(f"{day}#{week}" for day in sorted(weekdays) for week in weeks)
    # A field that begins with a star must match, too.
    if step := _step(days, 1, 31):
        return f"*/{step}", _field(weekdays, 0, 6)
    if step := _step(weekdays, 0, 6):
        return _field(days, 1, 31), f"*/{step}"
    names = ", ".join(_WEEKDAYS[day] for day in sorted(weekdays))
    problem = EITHER_DAY.format(days=_field(days, 1, 31), weekdays=names)
    raise Refused(problem, ADVICE)


def _step(values: Collection[int], low: int, high: int) -> int | None:
    """Return the step of a star that gives *values* from *low* to *high*; None if none does."""
    first, *others = sorted(values)
    if first != low:
        return None
    step = others[0] - first if others else high - low + 1
    return step if set(values) == set(range(low, high + 1, step)) else None


def _field(values: Collection[int], low: int, high: int, *, is_starred: bool = False) -> str:
    if set(values) == set(range(low, high + 1)):
        return "*"
    if is_starred and len(values) > 1 and (step := _step(values, low, high)):
        return f"*/{step}"
    numbers = sorted(values)
    steps = {after - before for before, after in pairwise(numbers)}
    if len(numbers) >= _SHORTEST_RANGE and len(steps) == 1 and steps != {1}:
        return f"{numbers[0]}-{numbers[-1]}/{steps.pop()}"
    return ",".join(_terms(numbers))


def _terms(numbers: list[int]) -> Iterator[str]:
    """Yield *numbers*, which are sorted, with ranges for those that follow each other."""
    rest = list(numbers)
    while rest:
        length = next(
            (n for n in range(1, len(rest)) if rest[n] != rest[0] + n),
            len(rest),
        )
        if length >= _SHORTEST_RANGE:
            yield f"{rest[0]}-{rest[length - 1]}"
        else:
            yield from map(str, rest[:length])
        rest = rest[length:]
