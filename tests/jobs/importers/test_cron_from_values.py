"""An expression is written only if it has exactly the fires of its values, both days matching."""

from contextlib import suppress
from datetime import date, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jobs_app.jobs.importers.cron_from_values import CronValues, cron_of
from jobs_app.jobs.importers.drafts import Refused
from jobs_app.schedules import cron_expression
from tests.profiles import examples

FULL = {
    "minutes": range(60),
    "hours": range(24),
    "days": range(1, 32),
    "months": range(1, 13),
    "weekdays": range(7),
}
YEAR = [date(2026, 1, 1) + number * timedelta(days=1) for number in range(366)]


def cron(*, has_star: bool = False, **values: object) -> str:
    return cron_of(CronValues(**(FULL | values), has_star=has_star))  # type: ignore[arg-type]  # FULL has every field


@pytest.mark.parametrize(
    "values, expected",
    [
        ({}, "* * * * *"),
        ({"minutes": {0}, "hours": {7}}, "0 7 * * *"),
        ({"minutes": {0, 15, 30, 45}}, "0-45/15 * * * *"),
        ({"minutes": {0, 15, 30, 45}, "has_star": True}, "*/15 * * * *"),
        ({"minutes": {0}, "hours": {22, 23, 0, 1}}, "0 0,1,22,23 * * *"),
        ({"minutes": {1, 2, 3, 40}, "hours": {8}, "weekdays": {1, 2, 3, 4, 5}}, "1-3,40 8 * * 1-5"),
        (
            {"minutes": {0}, "hours": {0}, "days": {2, 31}, "months": {3, 6, 9, 12}},
            "0 0 2,31 3-12/3 *",
        ),
        # The first and the third Monday.
        (
            {"minutes": {0}, "hours": {0}, "days": {*range(1, 8), *range(15, 22)}, "weekdays": {1}},
            "0 0 * * 1#1,1#3",
        ),
        # The first of a month, if it is no weekend.
        (
            {"minutes": {0}, "hours": {0}, "days": {1}, "weekdays": range(1, 6)},
            "0 0 */31 * 1-5",
        ),
        ({"minutes": {0}, "hours": {0}, "days": {13}, "weekdays": {0}}, "0 0 13 * */7"),
    ],
)
def test_values_are_written_as_short_as_they_can_be(values, expected):
    assert cron(**values) == expected


@given(
    st.one_of(
        st.sets(st.integers(1, 31), min_size=1),
        st.integers(1, 31).map(lambda step: {*range(1, 32, step)}),
        st.sets(st.integers(0, 4), min_size=1).map(
            lambda weeks: {day for day in range(1, 32) if (day - 1) // 7 in weeks}
        ),
    ),
    st.one_of(
        st.sets(st.integers(0, 6), min_size=1),
        st.integers(1, 7).map(lambda step: {*range(0, 7, step)}),
    ),
)
@settings(max_examples=examples(60), deadline=None)
def test_the_days_are_those_that_match_both_fields(days, weekdays):
    text = None
    with suppress(Refused):
        text = cron(minutes={0}, hours={0}, days=days, weekdays=weekdays)
    if text is None:
        assert len(days) < 31
        assert len(weekdays) < 7
        return

    expression = cron_expression.parse(text)

    assert [day for day in YEAR if expression.fires_on_day(day)] == [
        day for day in YEAR if day.day in days and day.isoweekday() % 7 in weekdays
    ]


def test_days_that_no_expression_has_are_refused_with_what_helps():
    with pytest.raises(Refused, match=r"13; Friday.*either of them") as raised:
        cron(minutes={0}, hours={0}, days={13}, weekdays={5})

    assert "its task return" in raised.value.advice


def test_a_field_without_a_value_is_refused():
    with pytest.raises(Refused, match="never fires"):
        cron(minutes=())
