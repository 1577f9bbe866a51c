"""Last and working days of a month, each month of a leap year's cycle against brute force."""

from datetime import date

import pytest

from jobs_app.schedules import month_days
from tests.schedules.examples import DAY

#: Each weekday begins a month of each length within 28 years.
MONTHS = [(year, month) for year in range(2000, 2028) for month in range(1, 13)]
TERMS = [
    *(f"L-{number}" for number in (1, 3, 27, 28, 30)),
    *(f"{number}W" for number in (1, 2, 3, 15, 28, 29, 30, 31)),
    "L-1W",
    "L-2W",
    "L-30W",
]


@pytest.mark.parametrize("term", TERMS)
def test_a_day_is_the_one_that_brute_force_finds(term):
    month_day = month_days.read(term)
    assert month_day is not None

    for year, month in MONTHS:
        expected = working_or_last_day(term, year, month)
        assert month_day.in_month(year, month) == expected, (year, month)


def working_or_last_day(term: str, year: int, month: int) -> int | None:
    """Return the day by a list of the whole month; None if it has no such day."""
    first = date(year, month, 1)
    days = [day for n in range(31) if (day := first + n * DAY).month == month]
    name = term.removesuffix("W")
    index = len(days) - 1 - int(name[2:]) if name.startswith("L-") else int(name) - 1
    if not 0 <= index < len(days):
        return None
    if term == name:
        return days[index].day
    working = [day for day in days if f"{day:%a}" not in ("Sat", "Sun")]
    return min(working, key=lambda day: abs(day - days[index])).day


@pytest.mark.parametrize("term", ["L", "LW", "15", "1-5W", "*W", "MONW", "L-", "W"])
def test_other_terms_are_left_to_cronsim(term):
    assert month_days.read(term) is None


def test_the_terms_of_a_field_are_divided():
    days, others = month_days.divide("1,15W,LW,L-3")

    assert [day.text for day in days] == ["15W", "L-3"]
    assert others == ["1", "LW"]
