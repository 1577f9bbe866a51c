"""Schedules come back from JSON as they were."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from jobs_app.schedules.schedule import Schedule
from jobs_app.schedules.schedule_json import (
    NAMED,
    documents,
    from_documents,
    schedules_in,
    text_of,
)
from jobs_app.schedules.union import Schedules
from tests.schedules.examples import NOW, cron

KINDS = (
    Schedule(cron="30 2 * * *", timezone="Europe/Paris", start_at=NOW, seed="a"),
    Schedule(interval_seconds=30, anchor_at=NOW, jitter_seconds=5, seed="a"),
    Schedule(every="2 weeks", anchor_at=NOW, end_at=NOW, seed="a"),
    Schedule(at=NOW, seed="a"),
)


@pytest.mark.parametrize("schedule", [None, *KINDS, Schedules(KINDS)])
def test_a_definition_keeps_its_schedules(schedule):
    definition = documents(schedule)

    assert from_documents(definition, seed="a") == schedule


def test_the_first_schedule_is_there_for_readers_of_one():
    assert documents(Schedules(KINDS))["schedule"] == documents(KINDS[0])["schedule"]
    assert "schedules" not in documents(KINDS[0])


def test_equal_schedules_have_one_text():
    in_paris = NOW.astimezone(timezone(timedelta(hours=1)))
    same = (Schedule(seed="b", at=in_paris), Schedule(timezone="UTC", cron="@daily"))

    assert text_of(same) == text_of((Schedule(at=NOW), cron("@daily")))
    assert schedules_in(text_of(KINDS), "a") == KINDS
    assert text_of(()) is None


@pytest.mark.parametrize(
    "schedule, is_named",
    [
        (Schedule(cron="@daily", timezone="Asia/Shanghai"), False),
        (Schedule(cron="0 0 * * THU"), False),
        (Schedule(cron="h 2 * * *"), True),
        (Schedule(cron="@daily", jitter_seconds=1), True),
        (Schedule(interval_seconds=30), False),
    ],
)
def test_a_text_tells_whether_a_schedule_depends_on_the_name(schedule, is_named):
    text = str(text_of((cron("@daily"), schedule)))

    assert (NAMED in text) == is_named
    assert schedules_in(text, "") == (cron("@daily"), schedule)


def test_instants_are_utc_on_every_machine():
    (schedule,) = schedules_in(text_of((Schedule(at=datetime(2026, 1, 1, tzinfo=UTC)),)), "")

    assert schedule.at == datetime(2026, 1, 1, tzinfo=UTC)
