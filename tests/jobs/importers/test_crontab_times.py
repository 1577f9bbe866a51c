"""The times of a line are those of cron, or the line is refused."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jobs_app.jobs.importers.crontab_times import field_times, macro_times, merged_fires
from jobs_app.jobs.importers.drafts import Refused
from jobs_app.schedules import cron_expression
from tests.profiles import examples

BOUNDS = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 7))
START = datetime(2027, 1, 1, tzinfo=UTC)


def vixie_set(text: str, low: int, high: int) -> set[int]:
    """Return the numbers of one field, as get_list and get_range of Vixie's entry.c set bits."""
    bits: set[int] = set()
    for term in text.split(","):
        span, _, step = term.partition("/")
        first, _, last = span.partition("-")
        begin, end = (low, high) if span == "*" else (int(first), int(last or first))
        bits |= set(range(begin, end + 1, int(step or 1)))
    return bits


def vixie_fires(fields: list[str], at: datetime) -> bool:
    """Return whether Vixie's cron starts the line in this minute: find_jobs of cron.c."""
    minute, hour, day, month, weekday = (
        vixie_set(text, *bounds) for text, bounds in zip(fields, BOUNDS, strict=True)
    )
    if weekday & {0, 7}:
        weekday |= {0, 7}
    is_day, is_weekday = at.day in day, at.isoweekday() % 7 in weekday
    has_star = fields[2].startswith("*") or fields[4].startswith("*")
    is_date = (is_day and is_weekday) if has_star else (is_day or is_weekday)
    return at.minute in minute and at.hour in hour and at.month in month and is_date


def a_field(low: int, high: int) -> st.SearchStrategy[str]:
    number = st.integers(low, high)
    step = st.integers(1, high).map("/{}".format) | st.just("")
    spans = st.tuples(number, number).map(sorted).map(lambda ends: f"{ends[0]}-{ends[1]}")
    term = (
        st.builds("{}{}".format, st.just("*"), step)
        | st.builds("{}{}".format, spans, step)
        | number.map(str)
    )
    return st.lists(term, min_size=1, max_size=2).map(",".join)


@settings(max_examples=examples(120), deadline=None)
@given(st.tuples(*(a_field(low, high) for low, high in BOUNDS)), st.integers(0, 366 * 1440))
def test_each_minute_fires_as_in_vixie_s_cron(fields, minute):
    try:
        times = field_times(list(fields))
    except Refused:
        # No month has such a day.
        assert not fields[2].startswith("*")
        return
    expression = cron_expression.parse(times.cron or "")
    for number in (0, 1, 60, 1440, 10_080):
        at = START + timedelta(minutes=minute + number)
        is_minute = at.hour * 60 + at.minute in expression.minutes_of_day
        fires = is_minute and expression.fires_on_day(at.date())
        assert fires == vixie_fires(list(fields), at), (fields, at)


@pytest.mark.parametrize(
    "cron, zone, words",
    [
        ("0,30 2 * * *", "Europe/Berlin", "skips 2 of its times on 2027-03-28"),
        ("30 2 * * *", "Europe/Berlin", ""),
        ("*/5 2 * * *", "Europe/Berlin", ""),
        ("0,30 2 * * *", "UTC", ""),
        ("0,30 4 * * *", "Europe/Berlin", ""),
    ],
)
def test_times_that_the_clock_skips_together_are_one_run_here_and_several_in_cron(
    cron, zone, words
):
    text = merged_fires(cron, zone, now=datetime(2026, 11, 30, tzinfo=UTC))

    assert words in text
    assert bool(text) is bool(words)


def test_a_field_that_only_jobs_app_reads_names_the_way_to_make_the_job_by_hand():
    with pytest.raises(Refused) as raised:
        field_times(["0", "4", "L", "*", "*"])

    assert "jobs-app job create NAME --cron '0 4 L * *'" in raised.value.advice


@pytest.mark.parametrize(
    "macro, advice",
    [
        ("@fortnightly", "Five fields cannot say each second week."),
        ("@biweekly", "If it means twice a week: 0 0 * * 1,4."),
        ("@bimonthly", "If it means each second month: 0 0 1 */2 *."),
        ("@trimonthly", "cron knows @annually, @daily,"),
        ("@Daily", "Write @daily."),
        ("@montly", "Write @monthly."),
        ("@rebot", "Write @reboot."),
        ("@x", "cron knows @annually, @daily,"),
    ],
)
def test_only_the_same_time_is_suggested_for_a_word(macro: str, advice: str) -> None:
    with pytest.raises(Refused) as refusal:
        macro_times(macro)

    assert refusal.value.advice.startswith(advice)
