"""How expressions are followed, where the clock does not change: as cronsim does, and quickly."""

from datetime import UTC, datetime, timedelta
from itertools import islice
from time import process_time
from zoneinfo import ZoneInfo

import pytest
from cronsim import CronSim
from hypothesis import given, settings
from hypothesis import strategies as st

from jobs_app.core.errors import InvalidSchedule
from jobs_app.schedules import cron_expression, cron_fires
from tests.profiles import examples

NOON = datetime(2026, 1, 15, 12, tzinfo=UTC)
UTC_ZONE = ZoneInfo("UTC")


@given(
    st.tuples(
        *map(
            st.sampled_from,
            (
                ("*", "*/7", "0", "5,35", "10-20/3"),
                ("*", "*/5", "2", "9-17", "0,23"),
                ("*", "*/3", "L", "LW", "1,15", "31"),
                ("*", "2", "JUN-AUG", "*/5"),
                ("*", "1-5", "7", "5L", "2#5", "*/2"),
            ),
        )
    ).map(" ".join),
    st.datetimes(datetime(1971, 1, 1), datetime(2100, 1, 1)),  # noqa: DTZ001 - UTC is added below
)
@settings(max_examples=examples(300), deadline=None)
def test_in_utc_we_agree_with_cronsim(text, moment):
    after = moment.replace(tzinfo=UTC)
    try:
        expression = cron_expression.parse(text)
    except InvalidSchedule:
        return

    expected = next(CronSim(text, after), None)

    assert cron_fires.next_fire(expression, UTC_ZONE, after) == expected


@pytest.mark.parametrize("text", ["0 0 29 2 */7", "0 0 */31 * 1#5", "*" + ",*" * 123 + " * * * *"])
def test_the_sparsest_and_the_longest_expressions_do_not_stall_a_tick(text):
    begin = process_time()
    expression = cron_expression.parse(text)
    list(islice(_walk(expression), 2))

    # It takes some 10 ms; an unbounded search, minutes.
    assert process_time() - begin < 0.5


def _walk(expression: cron_expression.Expression):
    fire: datetime | None = NOON - timedelta(minutes=1)
    while fire is not None:
        fire = cron_fires.next_fire(expression, UTC_ZONE, fire)
        yield fire
