"""Fires under other zone data, worked out by another process."""

from datetime import UTC, datetime, timedelta

from jobs_app.schedules import zone_data, zone_fires
from jobs_app.schedules.schedule import Schedule
from tests.factories import DAY, NOON


def test_a_zone_with_the_data_of_another_fires_as_that_one() -> None:
    tokyo = zone_data.zone_file("Asia/Tokyo")
    assert tokyo is not None
    daily = Schedule(cron="0 9 * * *", timezone="Europe/Paris", seed="a")
    other = Schedule(cron="0 9 * * *", timezone="UTC", seed="b")

    found = zone_fires.fires_with(
        {"Europe/Paris": tokyo}, [daily, other], after=NOON, until=NOON + 2 * DAY
    )

    midnight = datetime(2026, 6, 16, tzinfo=UTC)
    assert found[0] == [midnight, midnight + DAY]
    nine = midnight + timedelta(hours=9)
    assert found[1] == [nine, nine + DAY]
    assert zone_fires.fires_of(daily, after=NOON, until=NOON + DAY) != found[0][:1]
