"""Cron expressions as a whole: any text is read or refused, and read once."""

from hypothesis import given, settings
from hypothesis import strategies as st

from jobs_app.core.errors import InvalidSchedule
from jobs_app.schedules import cron_expression
from tests.profiles import examples


@given(st.text(alphabet="0123456789*/,-#LWH()@ MONJAFEBSU?\t\n", max_size=40))
@settings(max_examples=examples(500), deadline=None)
def test_any_text_is_either_read_or_refused(text):
    try:
        expression = cron_expression.parse(text, "seed")
    except InvalidSchedule:
        return

    assert expression.explain()
    assert len(expression.text.split()) == 5


def test_a_step_on_a_range_of_one_does_not_run_on():
    assert cron_expression.parse("5-5/10 * * * *").minutes == (5,)


def test_thu_is_a_day_and_no_hash():
    assert not cron_expression.uses_hash("0 9 * * THU")
    assert cron_expression.uses_hash("H 9 * * THU")


def test_the_same_expression_is_read_once_for_all_jobs():
    assert cron_expression.parse("*/5 * * * *", "one") is cron_expression.parse(
        "*/5 * * * *", "other"
    )
